"""`make bench`: our launch beside that of ZenML's stock Lightning orchestrator, unmodified.

Both run the same two-step pipeline from a laptop, on a fresh studio each, on the same local cloud, in this one call.
That the stock orchestrator completes is also a proof of the local cloud by a client that we did not write.
"""

from __future__ import annotations

import os
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


def main() -> int:
    """Prints the figures; returns 1 when a run does not complete or ours takes more than half of the stock's."""
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        # The stock orchestrator uploads to absolute paths, which older SDKs and (assumed) the platform understood.
        knobs = Knobs(strip_home_prefix=True)
        with services(folder / "services", github=False, knobs=knobs) as stack:
            figures = {name: run(stack, folder / name, name, more) for name, more in NAMES.items()}
    stock, ours = figures["stock"], figures["ours"]
    ratios = Figures(ours.wall / stock.wall, ours.machine / stock.machine, ours.calls / stock.calls)
    print(f"{'':24}{'stock':>10}{'ours':>10}{'ratio':>10}")
    print(f"{'wall time, s':24}{stock.wall:>10.1f}{ours.wall:>10.1f}{ratios.wall:>10.2f}")
    print(f"{'machine-seconds':24}{stock.machine:>10.1f}{ours.machine:>10.1f}{ratios.machine:>10.2f}")
    print(f"{'API calls':24}{stock.calls:>10}{ours.calls:>10}{ratios.calls:>10.2f}")
    return 0 if max(ratios.wall, ratios.machine, ratios.calls) <= 0.5 else 1


def run(stack: Stack, folder: Path, name: str, more: dict[str, str]) -> Figures:
    """Runs the pipeline from a laptop's folder and waits until its studio is gone."""
    cloud = stack.lightning
    assert isinstance(cloud, LightningCloud)
    folder.mkdir()
    (folder / "run.py").write_text(PIPELINE)
    # Beside the code, not in it: what lies in the source root is packed, and ZENML_CONFIG_PATH holds keys.
    environment = client_environment(stack, ZENML_CONFIG_PATH=str(folder.with_name(f"{name}-config")), **more)
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
    sys.exit(main())
