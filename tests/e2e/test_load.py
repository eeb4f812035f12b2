"""Many of everything: launches, steps, lines, files, bytes. Each test prints what it measured."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.chaos import Fault, chaos
from localcloud.lightning import LightningCloud
from localcloud.runner import Finished, Step, descendants
from localcloud.stack import Stack
from scene import REPOSITORY, Actions, github_of, wait_for

pytestmark = [pytest.mark.load, pytest.mark.timeout(3600)]

MEMORY_LIMIT = 300_000_000
"""Bytes that the Action's processes may hold in all."""

PIPELINE = """
from zenml import pipeline, step


@step
def one(number: int) -> int:
    return number + 1


@pipeline(enable_cache=False)
def small():
    one(1)


@pipeline(enable_cache=False)
def wide():
    for number in range(20):
        for _ in range(15):
            number = one(number)
"""


def at_once(steps: Sequence[Step]) -> list[Finished]:
    with ThreadPoolExecutor(len(steps)) as pool:
        return list(pool.map(Step.run, steps))


@contextmanager
def memory() -> Iterator[list[int]]:
    """A block in which the memory of the Action's processes is measured; the last item is the most that they held."""
    most, over = [0], threading.Event()

    def measure() -> None:
        while not over.wait(0.2):
            most.append(max(most[-1], sum(_resident(pid) for pid in _of_the_action())))

    thread = threading.Thread(target=measure, name="memory")
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _of_the_action() -> list[int]:
    mains = [pid for pid in descendants(os.getpid()) if b"lightning_zenml.action" in _read(pid, "cmdline")]
    return [*mains, *(other for main in mains for other in descendants(main) if other not in mains)]


def _resident(pid: int) -> int:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def test_fifty_launches_at_once_against_rate_limits(cloud: LightningCloud, actions: Actions, stack: Stack) -> None:
    before = len(cloud.studios)
    steps, numbers = [], []
    for _ in range(50):
        steps.append(actions.step({"run.py": "print('hello')"}))
        numbers.append(actions.number)
    began = time.monotonic()
    with chaos(stack) as proxied:
        address = {"LIGHTNING_CLOUD_URL": proxied.lightning.url}
        limited = proxied.lightning.fault(Fault.status(429, retry_after="1"), share=0.2)
        finished = at_once([replace(step, env={**step.env, **address}) for step in steps])
    print(f"50 launches: {time.monotonic() - began:.0f} s, {limited.met} of {limited.seen} calls were limited")
    assert [one.exit_code for one in finished] == [0] * 50, "\n".join(one.log for one in finished if one.exit_code)
    assert [len(github_of(stack).comments(REPOSITORY, number)) for number in numbers] == [1] * 50
    assert len(cloud.studios) - before == 50
    wait_for(lambda: all(studio.deleted for studio in cloud.studios[before:]))


def test_twenty_launches_on_one_named_studio(cloud: LightningCloud, actions: Actions) -> None:
    code = "import pathlib, time\nmark = pathlib.Path.home() / 'mine'\nmark.mkdir()\ntime.sleep(1)\nmark.rmdir()\n"
    steps = [actions.step({"run.py": code}, studio_name="crowded") for _ in range(20)]
    began = time.monotonic()
    finished = at_once(steps)
    print(f"20 launches, one after the other: {time.monotonic() - began:.0f} s")
    # Two at a time would have met at the folder.
    assert [one.exit_code for one in finished] == [0] * 20, "\n".join(one.log for one in finished if one.exit_code)
    wait_for(lambda: not cloud.running())


def test_three_hundred_steps(actions: Actions, stack: Stack) -> None:
    step = actions.step({"run.py": PIPELINE + "\n\nwide()\n"})
    began = time.monotonic()
    with memory() as most:
        finished = step.run()
    print(f"300 steps: {time.monotonic() - began:.0f} s, {most[-1] / 1e6:.0f} MB in the Action")
    assert finished.exit_code == 0, finished.log
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={finished.outputs['run-id']}&size=1&status=completed")
    assert steps["total"] == 300
    assert len(actions.comment()) < 65_536
    assert most[-1] < MEMORY_LIMIT


def test_a_gigabyte_of_log(cloud: LightningCloud, actions: Actions) -> None:
    line = "x" * 99
    program = f"for _ in range(10_000_000):\n    print('{line}')\nprint('the last line')\n"
    step = actions.step({"run.py": program})
    began = time.monotonic()
    with memory() as most:
        finished = step.run()
    print(f"1 GB of log: {time.monotonic() - began:.0f} s, {most[-1] / 1e6:.0f} MB in the Action")
    assert finished.exit_code == 0
    assert "the last line" in finished.log
    assert most[-1] < MEMORY_LIMIT


def test_a_hundred_thousand_files(actions: Actions) -> None:
    files = {f"data/{number // 1000}/{number}.csv": f"{number}\n" * 20 for number in range(100_000)}
    count = "import pathlib\nassert len(list(pathlib.Path('data').rglob('*.csv'))) == 100_000\n"
    step = actions.step({**files, "run.py": count})
    began = time.monotonic()
    with memory() as most:
        finished = step.run()
    print(f"100,000 files: {time.monotonic() - began:.0f} s, {most[-1] / 1e6:.0f} MB in the Action")
    assert finished.exit_code == 0, finished.log
    assert most[-1] < MEMORY_LIMIT


def test_a_repository_of_two_gigabytes(actions: Actions) -> None:
    measure = (
        "import pathlib\nassert sum(path.stat().st_size for path in pathlib.Path('data').iterdir()) == 2 * 10**9\n"
    )
    step = actions.step({"run.py": measure})
    (step.workspace / "data").mkdir()
    for number in range(8):
        with (step.workspace / f"data/{number}.bin").open("wb") as file:
            for _ in range(10):
                file.write(os.urandom(25_000_000))
    began = time.monotonic()
    with memory() as most:
        finished = step.run()
    print(f"2 GB: {time.monotonic() - began:.0f} s, {most[-1] / 1e6:.0f} MB in the Action")
    assert finished.exit_code == 0, finished.log
    assert most[-1] < MEMORY_LIMIT
