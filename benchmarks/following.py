"""How closely a launch is followed, and by how many calls: `make bench-following`.

One launch that says nothing and one that writes 10,000 lines a second, each on a studio of the local cloud, where it
waits for commands and where it doesn't. Each line holds the time at which it was written, and so does the last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.lightning import LightningCloud

PROGRAM = """
import sys, time
seconds, lines = map(float, sys.argv[1:])
start, written = time.time(), 0
while (now := time.time()) < start + seconds:
    due = int((now - start) * lines) - written
    print("".join(f"{now} line\\n" for _ in range(due)), end="", flush=True)
    written += due
    time.sleep(0.01)
print(time.time(), "last", written, flush=True)
"""
WAYS = {
    "silent": (0, True),
    "10,000 lines/s": (10_000, True),
    "silent, looked at": (0, False),
    "10,000 lines/s, looked at": (10_000, False),
}
"""Lines a second, and whether the local cloud answers a command when it has ended: else we look whether it has."""


@dataclass(frozen=True)
class Figures:
    """What following took.

    Args:
        calls: requests that follow, to Lightning's API, a minute.
        delay: seconds from a line to its being told, the 95th percentile; 0 where there are none.
        end: seconds from the end of the program to its being told.
        lines: number of lines told.
    """

    calls: float
    delay: float
    end: float
    lines: int


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long each launch goes on")
    parser.add_argument("--json", type=Path, help="file that the figures are written to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        repository = Path(scratch) / "repository"
        repository.mkdir()
        (repository / "program.py").write_text(PROGRAM)
        with LightningCloud(Path(scratch) / "cloud") as cloud:
            taken = {}
            for way, (lines, cloud.knobs.waits_for_commands) in WAYS.items():
                taken[way] = follow(cloud, repository, arguments.seconds, lines)
    print(f"{'':26}{'calls a minute':>16}{'p95 of a line, s':>18}{'the end, s':>12}{'lines':>10}")
    for way, figures in taken.items():
        print(f"{way:26}{figures.calls:>16.1f}{figures.delay:>18.1f}{figures.end:>12.1f}{figures.lines:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps({way: asdict(figures) for way, figures in taken.items()}, indent=2))


def follow(cloud: LightningCloud, repository: Path, seconds: float, lines: float) -> Figures:
    """Follows one launch of the program to its end."""
    credentials = Credentials(
        user_id=cloud.user_id, api_key=cloud.api_key, teamspace=cloud.teamspace, organization=cloud.organization
    )
    lightning = Lightning.connect(credentials, url=cloud.url)
    spec = LaunchSpec(
        name="bench",
        owner="a benchmark",
        archive=pack(Repository.open(repository)),
        command=f"python program.py {seconds} {lines}",
    )
    launch = Launcher(lightning).launch(spec)
    began, before, pending = time.time(), len(cloud.requests), ""
    delays, last, count = [], 0.0, 0
    for update in launch.follow():
        now = time.time()
        *whole, pending = (pending + update.log).split("\n")
        for line in whole:
            written, _, kind = line.partition(" ")
            if kind == "line":
                delays.append(now - float(written))
            elif kind.startswith("last"):
                last, count = float(written), int(kind.split()[1])
    # The studio keeps itself awake.
    calls = sum("/execute" in request.path for request in cloud.requests[before:]) / (now - began) * 60
    launch.release()
    if len(delays) != count:
        raise SystemExit(f"{count} lines were written, {len(delays)} told")
    delay = statistics.quantiles(delays, n=20)[-1] if delays else 0.0
    return Figures(calls=calls, delay=delay, end=now - last, lines=len(delays))


if __name__ == "__main__":
    main()
