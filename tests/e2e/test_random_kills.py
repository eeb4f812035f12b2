"""Whatever process is killed at whatever moment, nothing stays on, and ZenML knows that the run is over."""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from typing import Any

import pytest

from localcloud.lightning import LightningCloud
from localcloud.runner import Step
from localcloud.stack import Stack
from random_kills import SERVER, Kill
from scene import Actions, Laptop, wait_for

FIRST = int(os.environ.get("FIRST_SEED", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("SEEDS", "100")))
BOUND = 300.0
"""Seconds after which nothing may be billed any more, and every run has ended: a payload is left to itself after 90."""
AUTO_SLEEP = 720.0
"""Seconds, likewise, where main and `post` are killed before the studio's own program runs: ten idle minutes, and what
comes before and behind."""
OVER = {"completed", "failed", "stopped"}

RUN = """
import sys, time
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step
def load() -> int:
    time.sleep(3)
    return 20


@step(settings={"orchestrator.lightning": LightningOrchestratorSettings(MACHINE)})
def train(number: int) -> int:
    time.sleep(3)
    return number * 2


@pipeline(enable_cache=False)
def NAME():
    train(load())


if __name__ == "__main__":
    NAME()
"""


@pytest.mark.kills
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_kill(cloud: LightningCloud, actions: Actions, laptop: Laptop, stack: Stack, seed: int) -> None:
    kill = Kill.by(seed)
    name = f"k{uuid.uuid4().hex[:12]}"
    code = RUN.replace("NAME", name).replace("MACHINE", 'machine_type="T4"' if kill.shape == "job" else "")
    studios_before = len(cloud.studios)

    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack.zenml.request("GET", f"runs?pipeline_name={name}")["items"]
        return found

    def is_over() -> bool:
        return all(run["body"]["status"] in OVER for run in runs())

    with kill.armed(stack) as happened:
        told = from_a_laptop(laptop, code) if kill.shape == "laptop" else through_the_action(actions, code, kill)
        # The messenger may be dead and the run go on, as one that is async does.
        wait_for(lambda: not cloud.running(), AUTO_SLEEP if kill.victim == "post" else BOUND)
    fresh = [studio for studio in cloud.studios[studios_before:] if studio.name != "kept"]
    gone = {"DELETED", "STOPPED"} if kill.victim == "post" else {"DELETED"}
    wait_for(lambda: all(studio.phase in gone for studio in fresh))
    if asleep := [studio.name for studio in fresh if not studio.deleted]:
        found = json.loads(laptop.run("lightning-zenml", "sweep", "--all", "--json").stdout)
        assert [one["name"] for one in found] == asleep
    for run in runs():
        if run["body"]["status"] not in OVER:
            laptop.run("zenml", "pipeline", "runs", "refresh", run["id"])
    assert is_over(), (str(kill), runs(), told.log)
    if not happened.is_set():
        pytest.skip(f"there was no {kill}")
    if kill.victim == SERVER and not runs() and "can't be reached" in told.log:
        # It was away for longer than is waited before anything is started.
        assert fresh == [], (str(kill), told.log)
    elif kill.victim == SERVER:
        assert [run["body"]["status"] for run in runs()] == ["completed"], (str(kill), told.log)
    if told.is_the_end:
        completed = [run["body"]["status"] for run in runs()] == ["completed"]
        # A command that is killed behind its run's end has failed, though the run has not: it may have had more to do.
        only_the_command = completed and kill.victim == "controller" and "exit code 137" in told.log
        assert only_the_command or completed == (told.exit_code == 0), (str(kill), told.log)


class Told:
    """What whoever started the run was told.

    Args:
        exit_code: of the client or of the Action's main.
        log: what it wrote.
        is_the_end: whether it lived to tell how the run ended.
    """

    def __init__(self, exit_code: int, log: str, *, is_the_end: bool) -> None:
        self.exit_code = exit_code
        self.log = log
        self.is_the_end = is_the_end


def through_the_action(actions: Actions, code: str, kill: Kill) -> Told:
    inputs = {"named": {"studio_name": "kept"}, "async": {"async": "true"}}.get(kill.shape, {})
    step: Step = actions.step({"run.py": code}, **inputs)
    lines = 0

    def end_main(line: str) -> signal.Signals | None:
        """Gives post something to do."""
        nonlocal lines
        lines += 1
        return signal.SIGKILL if kill.victim == "post" and lines > kill.after else None

    finished = step.run(interrupt=end_main)
    is_the_end = kill.shape != "async" and finished.exit_code >= 0
    return Told(finished.exit_code, finished.log, is_the_end=is_the_end)


def from_a_laptop(laptop: Laptop, code: str) -> Told:
    (laptop.folder / "run.py").write_text(code)
    finished = laptop.run(sys.executable, "run.py", "on-the-laptop", check=False)
    return Told(finished.returncode, finished.stdout + finished.stderr, is_the_end=finished.returncode >= 0)
