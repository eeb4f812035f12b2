"""Our launch beside that of ZenML's stock Lightning orchestrator, unmodified: `make bench`.

Both run the same two-step pipeline from a laptop, on the same local cloud, in turns, in this one call: the stock
orchestrator on a fresh studio, ours on a fresh one, on a named one that has run the pipeline before, and asynchronously
on a fresh one. That the stock orchestrator completes is also a proof of the local cloud by a client that we did not
write. ZenML's local orchestrator runs it in the laptop's own process: no launch elsewhere can undercut that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

from localcloud.lightning import Knobs, LightningCloud
from localcloud.stack import ARTIFACT_STORE, Stack, client_environment, register_stack, services

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
BASELINE = "stock, fresh studio"
NAMED = {"LIGHTNING_ZENML_SETTINGS": json.dumps({"main_studio_name": "warm"})}
WAYS = {
    BASELINE: {"LIGHTNING_ZENML_STOCK": "1"},
    "ours, fresh studio": {},
    "ours, warm named studio": NAMED,
    "ours, async": {"LIGHTNING_ZENML_SETTINGS": json.dumps({"synchronous": False})},
}
"""Variables of the client, by the way in which the pipeline is run."""
FLOOR = "no launch, ZenML's local"


@dataclass(frozen=True)
class Figures:
    """What one run took.

    Args:
        wall: seconds of the laptop's command.
        up: seconds of it after the studio's machine was up; 0 where there is none.
        machine: seconds that machines were billed.
        calls: requests to Lightning's API and storage, until the studio is given back.
        sent: kilobytes of their bodies.
    """

    wall: float
    up: float
    machine: float
    calls: float
    sent: float


COLUMNS = {"wall": "wall, s", "up": "since up, s", "machine": "machine-s", "calls": "API calls", "sent": "sent, kB"}


def main() -> None:
    """Prints the medians; ends with an error when a run does not complete, whatever it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; one shows that all of this still works")
    parser.add_argument("--json", type=Path, help="file that all figures are written to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        # The stock orchestrator uploads to absolute paths, which older SDKs and (assumed) the platform understood.
        knobs = Knobs(strip_home_prefix=True)
        with services(folder / "services", github=False, knobs=knobs) as stack:
            run(stack, folder / "first", "the named studio's first run", NAMED)
            ways = {**WAYS, FLOOR: {"ZENML_ACTIVE_STACK_ID": local_stack(stack)}}
            taken: dict[str, list[Figures]] = {way: [] for way in ways}
            for number in range(1, arguments.rounds + 1):
                for index, (way, more) in enumerate(ways.items()):
                    taken[way].append(run(stack, folder / f"{number}-{index}", way, more))
                    print(f"round {number} of {arguments.rounds}, {way}: {taken[way][-1]}", file=sys.stderr, flush=True)
    medians = {way: median(figures) for way, figures in taken.items()}
    print(table(medians, arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(record(taken, medians), indent=2))


def local_stack(stack: Stack) -> str:
    """Registers a stack with ZenML's local orchestrator and the same artifact store; returns its id."""
    artifact_store, orchestrator = (
        stack.zenml.request("GET", f"components?type={kind}&name={name}")["items"][0]["id"]
        for kind, name in (("artifact_store", ARTIFACT_STORE), ("orchestrator", "default"))
    )
    return register_stack(stack.zenml, "local", artifact_store, orchestrator)


def median(figures: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(*(statistics.median(getattr(one, field.name) for one in figures) for field in fields(Figures)))


def table(medians: dict[str, Figures], rounds: int) -> str:
    """Figures as a table, each with its ratio to the baseline's."""
    lines = [f"{f'median of {rounds}':24}" + "".join(f"{name:>19}" for name in COLUMNS.values())]
    for way, figures in medians.items():
        cells = [(getattr(figures, name), getattr(medians[BASELINE], name)) for name in COLUMNS]
        lines.append(f"{way:24}" + "".join(f"{f'{own:.1f} ({own / stock:.2f})':>19}" for own, stock in cells))
    return "\n".join(lines)


def record(taken: dict[str, list[Figures]], medians: dict[str, Figures]) -> dict[str, object]:
    """All figures, with what they were measured on."""
    versions = {name: version(name) for name in ("zenml", "lightning-sdk", "uv")}
    return {
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()},
        "versions": versions,
        "runs": {way: [asdict(one) for one in figures] for way, figures in taken.items()},
        "medians": {way: asdict(figures) for way, figures in medians.items()},
    }


def run(stack: Stack, folder: Path, way: str, more: dict[str, str]) -> Figures:
    """Runs the pipeline from a laptop's folder and waits until its studio is given back."""
    cloud = stack.lightning
    assert isinstance(cloud, LightningCloud)
    folder.mkdir()
    (folder / "run.py").write_text(PIPELINE)
    # Beside the code, not in it: what lies in the source root is packed, and ZENML_CONFIG_PATH holds keys.
    environment = client_environment(stack, ZENML_CONFIG_PATH=str(folder.with_name(f"{folder.name}-config")), **more)
    billed, calls, intervals = sum(cloud.machine_seconds().values()), len(cloud.requests), len(cloud.intervals)
    started = time.time()
    completed = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    ended = time.time()
    while cloud.running():
        time.sleep(0.05)
    newest = stack.zenml.request("GET", "runs?sort_by=desc:created&size=1")["items"][0]
    status = newest["body"]["status"]
    if completed.returncode != 0 or status != "completed":
        print(completed.stdout[-6000:], completed.stderr[-6000:], sep=os.linesep)
        raise SystemExit(f"{way}: exit code {completed.returncode}, the run is {status}")
    requests = cloud.requests[calls:]
    return Figures(
        wall=ended - started,
        up=ended - min((interval.start for interval in cloud.intervals[intervals:]), default=ended),
        machine=sum(cloud.machine_seconds().values()) - billed,
        calls=len(requests),
        sent=sum(request.size for request in requests) / 1000,
    )


if __name__ == "__main__":
    main()
