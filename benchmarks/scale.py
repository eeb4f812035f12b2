"""How our overhead grows with steps, with launches at once and with the size of the code: `make bench-scale`.

Steps run as in a studio that a launch has prepared, before a real ZenML server whose requests are counted on their way;
launches and code go to the local cloud. Twice as much of anything is to take twice as long at most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.chaos import Proxy
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack, client_environment, services

PIPELINE = """
import os
from zenml import pipeline, step


@step
def trivial() -> int:
    return 1


@pipeline(enable_cache=False)
def wide():
    for number in range(int(os.environ["STEPS"])):
        trivial(id=f"step_{number}")


if __name__ == "__main__":
    wide()
"""
WIDTH, HEIGHT, MARGIN = 260, 170, 46


@dataclass(frozen=True)
class Point:
    """One measurement.

    Args:
        size: of what there was: steps, launches at once, or megabytes of code.
        seconds: wall time of all of it.
        cpu: CPU time of the processes that were started here for it, and of this one.
        requests: to the ZenML server, or to Lightning.
    """

    size: float
    seconds: float
    cpu: float
    requests: int


def main() -> None:
    """Prints a table, and writes the plots if a file for them is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 10, 30, 100, 300])
    parser.add_argument("--launches", type=int, nargs="*", default=[1, 5, 20, 50])
    parser.add_argument("--megabytes", type=int, nargs="*", default=[1, 30, 300, 2000])
    parser.add_argument("--svg", type=Path, help="file that the plots are drawn in")
    parser.add_argument("--json", type=Path, help="file that the figures are written to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        taken = {
            "steps": measure_steps(folder / "steps", arguments.steps),
            "launches at once": measure_launches(folder / "launches", arguments.launches),
            "MB of code": measure_code(folder / "code", arguments.megabytes),
        }
    for unit, points in taken.items():
        print(f"{unit:18}{'s':>9}{'CPU s':>9}{'requests':>10}   each more:{'s':>8}{'CPU s':>8}{'requests':>10}")
        for point in points:
            more = ""
            if point is not points[0]:
                size, first = point.size - points[0].size, points[0]
                rates = (point.seconds - first.seconds) / size, (point.cpu - first.cpu) / size
                more = f"{rates[0]:>21.3f}{rates[1]:>8.3f}{(point.requests - first.requests) / size:>10.1f}"
            print(f"{point.size:<18g}{point.seconds:>9.2f}{point.cpu:>9.2f}{point.requests:>10}{more}")
    if arguments.svg:
        arguments.svg.write_text(drawn(taken))
    if arguments.json:
        about = {"cores": os.cpu_count(), "python": platform.python_version(), "zenml": version("zenml")}
        figures = {unit: [asdict(point) for point in points] for unit, points in taken.items()}
        arguments.json.write_text(json.dumps({"about": about, "figures": figures}, indent=1))


def measure_steps(folder: Path, sizes: Sequence[int]) -> list[Point]:
    """A pipeline of so many steps side by side, from its command to its end."""
    if not sizes:
        return []
    folder.mkdir()
    with services(folder / "services", lightning=False, github=False) as stack:
        # The first compiles what all import.
        run_steps(stack, folder / "first", 1)
        return [run_steps(stack, folder / str(size), size) for size in sizes]


def run_steps(stack: Stack, folder: Path, steps: int) -> Point:
    """Runs one pipeline."""
    code, launch = folder / "code", folder / "launch"
    for one in (code, launch):
        one.mkdir(parents=True)
    (code / "run.py").write_text(PIPELINE)
    with Proxy("zenml", stack.zenml_url) as proxy:
        environment = client_environment(
            stack,
            ZENML_CONFIG_PATH=str(folder / "client"),
            ZENML_STORE_URL=proxy.url,
            STEPS=str(steps),
            LIGHTNING_ZENML_LAUNCH_ID="bench",
            LIGHTNING_ZENML_LAUNCH_DIR=str(launch),
            LIGHTNING_ZENML_CODE=str(code),
            LIGHTNING_ZENML_MACHINE="CPU",
        )
        began, cpu = time.monotonic(), used()
        done = subprocess.run([sys.executable, "run.py"], cwd=code, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{steps} steps: exit code {done.returncode}\n{done.stdout.decode()[-6000:]}")
        return Point(steps, time.monotonic() - began, used() - cpu, len(proxy.calls))


def measure_launches(folder: Path, sizes: Sequence[int]) -> list[Point]:
    """So many launches of an empty command at once, each on a fresh studio, until all studios are given back."""
    repository = folder / "repository"
    repository.mkdir(parents=True)
    (repository / "file").touch()
    archive = pack(Repository.open(repository))
    spec = LaunchSpec(name="bench", owner="a benchmark", archive=archive, command="true")
    points = []
    with LightningCloud(folder / "cloud") as cloud:
        for size in sizes:
            began, cpu, before = time.monotonic(), used(), len(cloud.requests)
            with ThreadPoolExecutor(size) as threads:
                list(threads.map(launch, [cloud] * size, [spec] * size))
            points.append(Point(size, time.monotonic() - began, used() - cpu, len(cloud.requests) - before))
    return points


def measure_code(folder: Path, sizes: Sequence[int]) -> list[Point]:
    """A launch of an empty command with so many megabytes of code, half of them noise, that nobody knows yet."""
    points, chance = [], random.Random(0)
    with LightningCloud(folder / "cloud") as cloud:
        for size in sizes:
            repository = folder / f"repository_{size}"
            repository.mkdir()
            for number in range(size):
                noise = chance.randbytes(500_000)
                (repository / f"{number}.bin").write_bytes(noise)
                (repository / f"{number}.txt").write_text(f"{number} is some text\n" * 25_000)
            began, cpu, before = time.monotonic(), used(), len(cloud.requests)
            archive = pack(Repository.open(repository))
            launch(cloud, LaunchSpec(name="bench", owner="a benchmark", archive=archive, command="true"))
            points.append(Point(size, time.monotonic() - began, used() - cpu, len(cloud.requests) - before))
    return points


def launch(cloud: LightningCloud, spec: LaunchSpec) -> None:
    """One launch from its beginning to its end."""
    credentials = Credentials(
        user_id=cloud.user_id, api_key=cloud.api_key, teamspace=cloud.teamspace, organization=cloud.organization
    )
    launched = Launcher(Lightning.connect(credentials, url=cloud.url)).launch(spec)
    *_, last = launched.follow()
    launched.release()
    if not last.status.succeeded:
        raise SystemExit(f"A launch has failed: {last.status}")


def used() -> float:
    """Seconds of CPU of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def drawn(taken: dict[str, list[Point]]) -> str:
    """One plot for each unit: seconds by size, with the line on which twice as much takes twice as long."""
    plots = [plot(unit, points) for unit, points in taken.items() if points]
    width, height = WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN
    moved = "".join(f'<g transform="translate({index * width} 0)">{one}</g>' for index, one in enumerate(plots))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(plots) * width} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>{moved}</svg>\n'
    )


def plot(unit: str, points: Sequence[Point]) -> str:
    """The plot of one unit."""
    most, longest = max(point.size for point in points), max(point.seconds for point in points)
    places = [
        (MARGIN + point.size / most * WIDTH, MARGIN + HEIGHT - point.seconds / longest * HEIGHT) for point in points
    ]
    first, last = points[0], points[-1]
    # From the first on, each more costs as much as the second to the last did in the mean.
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in (places[0], places[-1]))
    marks = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#2563eb"/>' for x, y in places)
    labels = "".join(
        f'<text x="{x:.0f}" y="{y - 8:.0f}" text-anchor="{"end" if point is last and point is not first else "start"}">'
        f"{point.size:g}: {point.seconds:.1f} s</text>"
        for point, (x, y) in zip(points, places, strict=True)
    )
    bottom, right = MARGIN + HEIGHT, MARGIN + WIDTH
    return (
        f'<path d="M{MARGIN} {MARGIN}V{bottom}H{right}" fill="none" stroke="#64748b"/>'
        f'<polyline points="{line}" fill="none" stroke="#94a3b8" stroke-dasharray="4 4"/>{marks}{labels}'
        f'<text x="{right}" y="{bottom + 18}" text-anchor="end">{unit}</text>'
        f'<text x="{MARGIN}" y="{MARGIN - 22}">seconds</text>'
    )


if __name__ == "__main__":
    main()
