"""Our launch beside that of ZenML's stock Lightning orchestrator, unmodified: `make bench`.

Both run the same two-step pipeline from a laptop, on a fresh studio each, on the same local cloud, in turns, in this
one call. That the stock orchestrator completes is also a proof of the local cloud by a client that we did not write.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.lightning import Knobs, LightningCloud
from localcloud.stack import Stack, client_environment, services

PIPELINE = """
from zenml import pipeline, step
from zenml.config import DockerSettings


@step
def load() -> int:
    return 20


@step
def train(number: int) -> int:
    return number * 2


@pipeline(enable_cache=False, settings={"docker": DockerSettings(requirements=["s3fs", "boto3", "lightning-sdk"])})
def two_steps():
    train(load())


if __name__ == "__main__":
    two_steps()
"""
NAMES = {"stock": {"LIGHTNING_ZENML_STOCK": "1"}, "ours": {}}


@dataclass(frozen=True)
class Figures:
    """What one run took.

    Args:
        wall: seconds of the laptop's command.
        machine: seconds that machines were billed.
        calls: requests to Lightning's API and storage.
    """

    wall: float
    machine: float
    calls: int


ROWS = {"wall time, s": "wall", "machine-seconds": "machine", "API calls": "calls"}


def main() -> None:
    """Prints the medians; ends with an error when a run does not complete, whatever it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; one shows that all of this still works")
    rounds = parser.parse_args().rounds
    taken: dict[str, list[Figures]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        # The stock orchestrator uploads to absolute paths, which older SDKs and (assumed) the platform understood.
        knobs = Knobs(strip_home_prefix=True)
        with services(folder / "services", github=False, knobs=knobs) as stack:
            for number in range(1, rounds + 1):
                for name, more in NAMES.items():
                    taken[name].append(run(stack, folder / f"{name}-{number}", name, more))
                    print(f"round {number} of {rounds}, {name}: {taken[name][-1]}", file=sys.stderr, flush=True)
    print(f"{f'median of {rounds}':24}{'stock':>10}{'ours':>10}{'ratio':>10}")
    for row, figure in ROWS.items():
        stock, ours = (statistics.median(getattr(figures, figure) for figures in taken[name]) for name in NAMES)
        print(f"{row:24}{stock:>10.1f}{ours:>10.1f}{ours / stock:>10.2f}")


def run(stack: Stack, folder: Path, name: str, more: dict[str, str]) -> Figures:
    """Runs the pipeline from a laptop's folder and waits until its studio is gone."""
    cloud = stack.lightning
    assert isinstance(cloud, LightningCloud)
    folder.mkdir()
    (folder / "run.py").write_text(PIPELINE)
    # Beside the code, not in it: what lies in the source root is packed, and ZENML_CONFIG_PATH holds keys.
    environment = client_environment(stack, ZENML_CONFIG_PATH=str(folder.with_name(f"{folder.name}-config")), **more)
    billed, calls, started = sum(cloud.machine_seconds().values()), len(cloud.requests), time.monotonic()
    completed = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    wall = time.monotonic() - started
    while cloud.running():
        time.sleep(0.05)
    newest = stack.zenml.request("GET", "runs?sort_by=desc:created&size=1")["items"][0]
    status = newest["body"]["status"]
    if completed.returncode != 0 or status != "completed":
        print(completed.stdout[-6000:], completed.stderr[-6000:], sep=os.linesep)
        raise SystemExit(f"{name}: exit code {completed.returncode}, the run is {status}")
    machine = sum(cloud.machine_seconds().values()) - billed
    return Figures(wall, machine, len(cloud.requests) - calls)


if __name__ == "__main__":
    main()
