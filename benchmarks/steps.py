"""What a trivial step costs in the studio, beside `python -c "import zenml"` in the same round: `make bench-steps`.

Pipelines run as in a studio that a launch has prepared, with a real ZenML server and artifact store on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.process import StepProcess
from localcloud.stack import Stack, client_environment, services

PIPELINE = """
import atexit, json, os, time
from zenml import pipeline, step

if __name__ != "__main__":

    def tell():
        began = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        with open(f"{os.environ['TOLD']}/{os.getpid()}", "w") as told:
            json.dump({"began": began, "ended": ended, "cpu": time.process_time()}, told)

    atexit.register(tell)


@step
def first() -> int:
    return 1


@step
def next_one(number: int) -> int:
    return number + 1


@pipeline(enable_cache=False)
def chain():
    number = first()
    for _ in range(int(os.environ["WIDE"]) // 5):
        number = next_one(number)


@pipeline(enable_cache=False)
def wide():
    for number in range(int(os.environ["WIDE"])):
        first(id=f"step_{number}")


if __name__ == "__main__":
    {"chain": chain, "wide": wide}[os.environ["PIPELINE"]]()
"""
STORE = "zenml.integrations.s3.artifact_stores.s3_artifact_store"


@dataclass(frozen=True)
class Figures:
    """What was measured in one round, in seconds.

    Args:
        import_zenml: CPU of `python -c "import zenml"`.
        copy: CPU of a trivial step, the second to the last of a chain.
        copy_wall: the same, wall time of its process.
        fresh: CPU of such a step with `fork_steps=False`.
        wide: wall time of trivial steps side by side, by their number.
    """

    import_zenml: float
    copy: float
    copy_wall: float
    fresh: float
    wide: float


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; one shows that all of this still works")
    parser.add_argument("--wide", type=int, default=20, help="steps side by side; a fifth of them in a row")
    arguments = parser.parse_args()
    rounds, wide = arguments.rounds, arguments.wide
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        with services(folder / "services", lightning=False, github=False) as stack:
            taken = []
            for number in range(1, rounds + 1):
                taken.append(measure(stack, folder / str(number), wide))
                print(f"round {number} of {rounds}: {taken[-1]}", file=sys.stderr, flush=True)
            memory = measure_memory(stack, folder)
    floor = statistics.median(figures.import_zenml for figures in taken)
    print(f"{f'median of {rounds}':52}{'s':>8}{'ratio':>8}")
    for row, figure in {
        'python -c "import zenml", CPU': "import_zenml",
        "one more trivial step, CPU": "copy",
        "one more trivial step, wall time of its process": "copy_wall",
        "one more trivial step with fork_steps=False, CPU": "fresh",
        f"{wide} trivial steps side by side, wall time a step": "wide",
    }.items():
        seconds = statistics.median(getattr(one, figure) for one in taken)
        print(f"{row:52}{seconds:>8.2f}{seconds / floor:>8.2f}")
    for row, (resident, own) in memory.items():
        print(f"{row:52}{resident:>5.0f} MB, {own:.0f} MB of them shared with no other process")


def measure(stack: Stack, folder: Path, steps: int) -> Figures:
    """Runs everything once, in turns; so many steps side by side, a fifth of them in a row."""
    folder.mkdir()
    before = os.times().children_user + os.times().children_system
    subprocess.run([sys.executable, "-c", "import zenml"], env=client_environment(stack), check=True)
    import_zenml = os.times().children_user + os.times().children_system - before
    copies, fresh, wide = (
        run(stack, folder / name, pipeline, steps, forked=forked)
        for name, pipeline, forked in (("copies", "chain", True), ("fresh", "chain", False), ("wide", "wide", True))
    )
    return Figures(
        import_zenml=import_zenml,
        copy=statistics.median(step["cpu"] for step in copies[1:]),
        copy_wall=statistics.median(step["ended"] - step["began"] for step in copies[1:]),
        fresh=statistics.median(step["cpu"] for step in fresh[1:]),
        wide=(max(step["ended"] for step in wide) - wide[0]["began"]) / len(wide),
    )


def run(stack: Stack, folder: Path, pipeline: str, steps: int, *, forked: bool) -> list[dict[str, float]]:
    """Runs a pipeline; what its steps tell of themselves, in the order of their start."""
    code, launch, told = (folder / name for name in ("code", "launch", "told"))
    for one in (code, launch, told):
        one.mkdir(parents=True)
    (code / "run.py").write_text(PIPELINE)
    environment = client_environment(
        stack,
        ZENML_CONFIG_PATH=str(folder / "client"),
        PIPELINE=pipeline,
        WIDE=str(steps),
        TOLD=str(told),
        LIGHTNING_ZENML_SETTINGS=json.dumps({"fork_steps": forked}),
        LIGHTNING_ZENML_LAUNCH_ID="bench",
        LIGHTNING_ZENML_LAUNCH_DIR=str(launch),
        LIGHTNING_ZENML_CODE=str(code),
        LIGHTNING_ZENML_MACHINE="CPU",
    )
    done = subprocess.run([sys.executable, "run.py"], cwd=code, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{pipeline}: exit code {done.returncode}\n{done.stdout.decode()[-6000:]}")
    return sorted((json.loads(path.read_text()) for path in told.iterdir()), key=lambda step: step["began"])


def measure_memory(stack: Stack, folder: Path) -> dict[str, tuple[float, float]]:
    """MB of the processes that wait for a step: resident, and shared with no other process."""
    environment = client_environment(stack, ZENML_CONFIG_PATH=str(folder / "client"))
    forks = ForkServer(environment, folder, [STORE], sys.stderr)
    copies = [StepProcess(environment, folder, sys.stderr, forks=forks) for _ in range(2)]
    fresh = StepProcess(environment, folder, sys.stderr)
    try:
        return {"a copy that waits": memory_of(copies[0].pid), "a fresh process that waits": settled_memory(fresh.pid)}
    finally:
        for process in (*copies, fresh):
            process.kill()
        forks.close()


def settled_memory(pid: int) -> tuple[float, float]:
    """Memory of a process once its imports are done."""
    memory = memory_of(pid)
    while True:
        time.sleep(1)
        before, memory = memory, memory_of(pid)
        if memory == before:
            return memory


def memory_of(pid: int) -> tuple[float, float]:
    """MB that a process has in memory, and has alone."""
    rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    sizes = {row[0]: int(row[1]) / 1024 for row in rows}
    return sizes["Rss:"], sizes["Private_Clean:"] + sizes["Private_Dirty:"]


if __name__ == "__main__":
    main()
