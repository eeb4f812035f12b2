"""Whoever tells of a run, or is told of it, may be away: the run ends as it ends, and is released."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from localcloud.chaos import Chaos, Fault, chaos
from localcloud.lightning import LightningCloud
from localcloud.runner import Step
from localcloud.stack import Stack
from scene import TINY, Actions

HANG = "import time\n" + TINY.replace("return number * 2", "print('in the step', flush=True); time.sleep(300)")


@pytest.fixture
def proxied(stack: Stack) -> Iterator[Chaos]:
    with chaos(stack) as proxied:
        yield proxied


def through(proxied: Chaos, step: Step) -> Step:
    """The step with proxies before GitHub and Lightning."""
    return replace(step, api_url=proxied.github.url, env={**step.env, "LIGHTNING_CLOUD_URL": proxied.lightning.url})


def test_a_mute_github_holds_up_no_run(cloud: LightningCloud, actions: Actions, proxied: Chaos) -> None:
    step = through(proxied, actions.step(run="echo 'the run begins'; sleep 1; echo 'the run ends'"))
    # What is told meanwhile is lost, and so are the first words on the end.
    mute = proxied.github.fault(Fault.hang(6), times=5)
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert mute.met
    assert finished.outputs["status"] == "completed"
    assert "completed" in actions.comment()
    assert not cloud.running()


def test_an_end_that_nobody_saw_is_told_as_zenml_has_it(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(
        {"run.py": TINY.replace("ARGUMENT", "None"), "unique": os.urandom(8).hex()},
        run="python run.py && echo 'the run is over' && sleep 300",
    )

    def vanish(line: str) -> None:
        if "the run is over" in line and "Run:" not in line and "Command" not in line:
            cloud.knobs.vanish = set(cloud.running())

    finished = step.run(interrupt=vanish)
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "completed"
    assert any("ZenML tells how" in message for level, message in finished.annotations if level == "notice")
    assert "completed" in actions.comment()


def test_post_insists_through_an_outage(cloud: LightningCloud, actions: Actions, proxied: Chaos) -> None:
    step = through(proxied, actions.step({"run.py": HANG.replace("ARGUMENT", "None")}))
    finished = step.run(interrupt=lambda line: signal.SIGKILL if "in the step" in line else None, post=False)
    assert cloud.running()
    proxied.lightning.go_away(20)
    assert step.run_post(finished.state) == 0
    assert not cloud.running()
    assert "was cancelled" in actions.comment()
