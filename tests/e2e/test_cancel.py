"""The workflow is cancelled by SIGINT, SIGTERM or SIGKILL: nothing is left running, the comment is final."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.runner import Finished, Step
from scene import Actions, wait_for

MOMENTS = {
    "packaging": "Check and package",
    "starting": "Starting cancelled on",
    "uploading": "Uploading",
    "commands": "a command begins",
    "running": "the run begins",
    "releasing": "Release the studio",
}


SLOW = {
    "run.py": "import pathlib, time\nfrom zenml import pipeline, step\n"
    "@step\ndef wait() -> None:\n    print('waiting now', flush=True)\n"
    "    try:\n        time.sleep(600)\n    finally:\n        pathlib.Path('~/saved').expanduser().touch()\n"
    "@pipeline(enable_cache=False)\ndef slow():\n    wait()\nslow()\n"
}


def step_of(actions: Actions, **inputs: str) -> Step:
    """A step without requirements of its own, which prints where it stands."""
    return actions.step(
        {"run.py": "", "unique": os.urandom(8).hex()},
        commands='echo "a command begins"; sleep "${PAUSE:-2}"',
        run='echo "the run begins"; sleep "${PAUSE:-2}"; echo "the run ends"',
        **inputs,
    )


@pytest.fixture
def studio(actions: Actions, cloud: LightningCloud) -> str:
    """A stopped studio that has ZenML installed, so that no test waits for that."""
    if not any(one.name == "cancelled" and not one.deleted for one in cloud.studios):
        assert actions.step(studio_name="cancelled", run="true").run().exit_code == 0
        wait_for(lambda: not cloud.running())
    return "cancelled"


def at(moment: str, number: signal.Signals) -> Callable[[str], signal.Signals | None]:
    """Sends the signal when the log comes to the moment."""
    return lambda line: number if MOMENTS[moment] in line and "Command" not in line and "Run:" not in line else None


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(moment, number, id=f"{moment}-{number.name}", marks=() if at_once else pytest.mark.slow)
        for place, moment in enumerate(MOMENTS)
        for turn, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
        # Each moment once, each signal twice, and what differs most.
        for at_once in [turn == place % 3 or (moment, number) == ("running", signal.SIGKILL)]
    ],
)
def test_nothing_is_left_running_and_the_comment_is_final(
    cloud: LightningCloud, actions: Actions, studio: str, moment: str, number: signal.Signals
) -> None:
    # Time to be cancelled in.
    cloud.knobs.setup_seconds = 1
    finished = step_of(actions, studio_name=studio).run(interrupt=at(moment, number))
    killed = number is signal.SIGKILL
    expected = {-signal.SIGKILL} if killed else {128 + number}
    # Cancelled while it releases, the run may have ended before the signal came.
    assert finished.exit_code in expected | ({0} if moment == "releasing" else set()), finished.log
    assert finished.post_exit_code == 0
    wait_for(lambda: not cloud.running())
    # Keys lie in these.
    launches = cloud.studio(studio).home / ".lightning_zenml/launches"
    assert [path for path in launches.rglob("*") if path.name in {"bundle.tar", "env"}] == []
    comment = actions.comment()
    assert "was cancelled" in comment or (moment == "releasing" and "completed" in comment), comment


LOSES_THE_FIRST = """
import io, signal

install = signal.signal

def install_lossy(number, handler):
    if not callable(handler) or handler is signal.default_int_handler:
        return install(number, handler)
    came = []

    def handle(number, frame):
        if came:
            handler(number, frame)
            return
        came.append(number)

        class Response(io.RawIOBase):
            def close(self):
                if not self.closed:
                    super().close()
                    handler(number, frame)

        Response()

    return install(number, handle)

signal.signal = install_lossy
"""


def test_a_cancel_whose_exception_python_drops_is_one_all_the_same(
    cloud: LightningCloud, actions: Actions, studio: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOSES_THE_FIRST)
    step = step_of(actions, studio_name=studio)
    step = replace(step, env={**step.env, "PYTHONPATH": str(tmp_path)})
    finished = step.run(interrupt=at("commands", signal.SIGINT))
    assert (finished.exit_code, finished.post_exit_code) == (130, 0), finished.log
    assert "was cancelled" in actions.comment()
    wait_for(lambda: not cloud.running())


def test_a_second_post_is_harmless(cloud: LightningCloud, actions: Actions, studio: str) -> None:
    step = step_of(actions, studio_name=studio)
    finished = step.run(interrupt=at("running", signal.SIGKILL))
    again = step.run_post(finished.state)
    assert (finished.post_exit_code, again) == (0, 0)
    wait_for(lambda: not cloud.running())


def test_stop_on_cancel_false_leaves_the_run_and_says_so(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(run='echo "the run begins"; while ! test -e ~/go; do sleep 0.1; done', stop_on_cancel="false")
    finished = step.run(interrupt=at("running", signal.SIGINT))
    assert finished.exit_code == 130, finished.log
    assert_the_way_back_is_told(finished)
    studio = cloud.studio(finished.outputs["studio-name"])
    assert cloud.running() == [studio.name]
    (studio.home / "go").touch()
    # Nobody follows, so the studio deletes itself when the run is over.
    wait_for(lambda: studio.deleted)


@pytest.mark.parametrize("moment", [pytest.param("starting", marks=pytest.mark.slow), "uploading"])
def test_stop_on_cancel_false_leaves_no_studio_that_nothing_runs_on(
    cloud: LightningCloud, actions: Actions, studio: str, moment: str
) -> None:
    # Time to be killed in.
    cloud.knobs.setup_seconds, cloud.knobs.latency = 1, 0.5
    step = step_of(actions, studio_name=studio, stop_on_cancel="false")
    finished = step.run(interrupt=at(moment, signal.SIGKILL))
    assert (finished.exit_code, finished.post_exit_code) == (-signal.SIGKILL, 0), finished.log
    assert "was cancelled" in actions.comment()
    # The command takes two seconds, and a studio that starts is up in less: what runs after that, runs on.
    wait_for(lambda: not cloud.running(), 30)


def test_stop_on_cancel_false_and_a_kill_leave_the_run_and_say_so(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(run='echo "the run begins"; while ! test -e ~/go; do sleep 0.1; done', stop_on_cancel="false")
    finished = step.run(interrupt=at("running", signal.SIGKILL))
    assert (finished.exit_code, finished.post_exit_code) == (-signal.SIGKILL, 0), finished.log
    assert "is running" in actions.comment()
    assert finished.outputs["launch-id"] in actions.comment()
    assert_the_way_back_is_told(finished)
    studio = cloud.studio(finished.outputs["studio-name"])
    assert cloud.running() == [studio.name]
    (studio.home / "go").touch()
    wait_for(lambda: studio.deleted)


def assert_the_way_back_is_told(finished: Finished) -> None:
    (notice,) = [text for level, text in finished.annotations if level == "notice" and "goes on" in text]
    assert f"`attach: {finished.outputs['launch-id']}`" in notice


def test_a_run_that_is_stopped_in_zenml_is_told_as_stopped(
    actions: Actions, cloud: LightningCloud, studio: str
) -> None:
    def stop(line: str) -> None:
        if "waiting now" in line:
            (run,) = actions.stack.zenml.request("GET", "runs?sort_by=desc:created&size=1")["items"]
            actions.stack.zenml.request("PUT", f"runs/{run['id']}", {"status": "stopping"})

    finished = actions.step(SLOW, studio_name=studio).run(interrupt=stop)
    assert (finished.exit_code, finished.outputs["status"]) == (1, "stopped"), finished.log
    assert ("error", "The run was stopped.") in finished.annotations
    assert "was stopped" in actions.comment()
    wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_a_run_that_its_timeout_stops_says_so(actions: Actions, cloud: LightningCloud, studio: str) -> None:
    finished = actions.step(SLOW, studio_name=studio, timeout_minutes="0.5").run()
    assert (finished.exit_code, finished.outputs["status"]) == (1, "stopped"), finished.log
    assert ("error", "Stopped: it ran longer than its timeout of 0.5 minutes.") in finished.annotations
    wait_for(lambda: not cloud.running())


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_cancelled_run_is_stopped_in_zenml_too_and_its_step_has_an_orderly_end(
    actions: Actions, cloud: LightningCloud, studio: str, number: signal.Signals, exit_code: int
) -> None:
    saved = cloud.studio(studio).home / "saved"
    saved.unlink(missing_ok=True)
    step = actions.step(SLOW, studio_name=studio)
    finished = step.run(interrupt=lambda line: number if "waiting now" in line else None)
    assert (finished.exit_code, finished.post_exit_code) == (exit_code, 0), finished.log
    run = actions.stack.zenml.request("GET", f"runs/{finished.outputs['run-id']}")
    assert run["body"]["status"] == "stopped", finished.log
    assert "| <code>wait</code> | ⏹️ stopped |" in actions.comment()
    assert saved.exists()
    wait_for(lambda: not cloud.running())
