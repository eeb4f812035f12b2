"""Dynamic pipelines in place: what the controller does for the steps that it doesn't run in its own process."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from in_place import DEADLINE, Studio, log_once_silent, wait_for
from localcloud.stack import Stack

PROJECT = """
import atexit, os, signal, sys, threading, time
from pathlib import Path

from requests import ConnectionError
from requests.adapters import HTTPAdapter
from zenml import CommandStep, pipeline, step
from zenml.config.retry_config import StepRetryConfig
from zenml.enums import ExecutionMode, StepRuntime

FOLDER = Path(os.environ["TEST_FOLDER"])
APART = {"orchestrator": {"environment": {"APART": "yes"}}}


@step(enable_cache=False)
def inline() -> int:
    (FOLDER / f"inline-{os.getpid()}").touch()
    return 1


@step(enable_cache=False, runtime=StepRuntime.ISOLATED)
def hang_once(x: int) -> int:
    before = list(FOLDER.glob("hang-*"))
    (FOLDER / f"hang-{os.getpid()}").touch()
    time.sleep(0 if before else 600)
    return x + 1


@pipeline(dynamic=True)
def killed():
    COMMAND = "touch $TEST_FOLDER/command-$$; test $(ls $TEST_FOLDER/command-* | wc -l) = 2 || sleep 600"
    command = CommandStep(name="command", command=["bash", "-c", COMMAND]).submit()
    hang_once(inline())
    command.result()


@step(enable_cache=False, settings=APART)
def falls_silent() -> None:
    (FOLDER / "silent").touch()
    os.kill(os.getpid(), signal.SIGSTOP)


@pipeline(dynamic=True)
def silent():
    falls_silent()


def alone():
    lock = FOLDER / "alone"
    try:
        lock.mkdir()
    except FileExistsError:
        (FOLDER / "met").touch()
        raise
    deadline = time.monotonic() + float(os.environ["HOLD"])
    while time.monotonic() < deadline and not (FOLDER / "met").exists():
        time.sleep(0.05)
    lock.rmdir()


@step(enable_cache=False)
def alone_here() -> None:
    alone()


@step(enable_cache=False, settings=APART)
def alone_apart() -> None:
    alone()


@pipeline(dynamic=True)
def narrow():
    alone_here.submit()
    alone_apart.submit()


@step(enable_cache=False, settings=APART)
def fails() -> None:
    raise RuntimeError("it went wrong")


@step(enable_cache=False, settings=APART)
def waits() -> None:
    (FOLDER / "waited").touch()


@pipeline(dynamic=True, execution_mode=ExecutionMode.STOP_ON_FAILURE)
def narrow_and_failing():
    failing = fails.submit()
    waits.submit(start_after=failing)


@step(enable_cache=False, settings=APART)
def fails_beside() -> None:
    while not (FOLDER / "sleeps").exists():
        time.sleep(0.05)
    raise RuntimeError("it went wrong")


@step(enable_cache=False, settings=APART, retry=StepRetryConfig(max_retries=3))
def sleeps() -> None:
    (FOLDER / "sleeps").touch()
    time.sleep(600)


@pipeline(dynamic=True, execution_mode=ExecutionMode.FAIL_FAST)
def failing_fast():
    fails_beside.submit()
    sleeps.submit()


@pipeline(dynamic=True)
def unlucky():
    # No request of the thread that follows the steps gets through the first time.
    send, failed = HTTPAdapter.send, set()

    def send_at_second_try(self, request, **options):
        if "Monitoring" in threading.current_thread().name and request.method not in failed:
            failed.add(request.method)
            raise ConnectionError("the network is down")
        return send(self, request, **options)

    HTTPAdapter.send = send_at_second_try
    CommandStep(name="command", command=["true"]).submit().result()
    (FOLDER / f"failed-{'-'.join(sorted(failed))}").touch()


@pipeline(dynamic=True)
def silent_command():
    COMMAND = "touch $TEST_FOLDER/command; exec sleep 600"
    CommandStep(name="command", command=["bash", "-c", COMMAND])()


@step(enable_cache=False, runtime=StepRuntime.ISOLATED)
def crashes_at_exit() -> str:
    atexit.register(os._exit, 1)
    return os.environ["WHERE"]


@step(enable_cache=False, settings={"orchestrator": {"environment": {"WHERE": "step"}}})
def has_its_own() -> str:
    return os.environ["WHERE"]


@step(enable_cache=False)
def quits() -> None:
    sys.exit(0)


@pipeline(dynamic=True, settings={"orchestrator": {"environment": {"WHERE": "pipeline"}}})
def quitting():
    seen = [crashes_at_exit().load(), has_its_own().load()]
    (FOLDER / "-".join(["seen", *seen])).touch()
    quits()


@step(enable_cache=False, retry=StepRetryConfig(max_retries=2, delay=600))
def hangs_here() -> None:
    (FOLDER / "hangs").touch()
    time.sleep(600)


@pipeline(dynamic=True)
def hanging_here():
    hangs_here()


class LosesTheStop:
    def __del__(self):
        (FOLDER / "here").touch()
        # Python drops what the signal's handler raises here, and begins no handler in a sleep that it was just about to
        # begin.
        for _ in range(6_000):
            time.sleep(0.1)


@pipeline(dynamic=True)
def deaf():
    LosesTheStop()
    (FOLDER / "lost").touch()
    threading.Event().wait(600)


@pipeline(dynamic=True)
def inner():
    hangs_here()


@pipeline(dynamic=True)
def outer():
    inner()


if __name__ == "__main__":
    run = globals()[sys.argv[1]]
    if sys.argv[2:] == ["thread"]:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    else:
        run()
"""


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    return Studio(zenml_stack, tmp_path, PROJECT)


@pytest.mark.parametrize(
    ("before", "status"), [("running", "failed"), pytest.param("stopping", "stopped", marks=pytest.mark.slow)]
)
def test_the_run_of_a_child_pipeline_ends_with_its_parents(
    studio: Studio, zenml_stack: Stack, before: str, status: str
) -> None:
    with studio.started("run.py", "outer") as process:
        wait_for((studio.facts / "hangs").exists, "the step")
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = studio.last_run()
    if before == "stopping":
        studio.ask_to_stop(run.id)

    code, log = studio.run("-m", "lightning_zenml.zenml_api.run_end")

    assert code == 0, log
    (child,) = studio.server.rest.pages("runs", parent_run_id=run.id)
    assert (studio.last_run().status, child["body"]["status"]) == (status, status)
    # A step with tries left can't be `failed` in ZenML without somebody who tries again.
    assert [step.status for step in studio.server.steps(child["id"])] == ["stopped"]


@pytest.mark.slow
def test_a_killed_controllers_isolated_steps_begin_anew(studio: Studio) -> None:
    snapshot, run, variables = studio.prepare("killed")
    controller = (
        "-m",
        "lightning_zenml.orchestrator.controller",
        "--snapshot-id",
        snapshot,
        "--run-id",
        run,
    )
    with studio.started(*controller, **variables) as process:
        wait_for(lambda: list(studio.facts.glob("hang-*")) and list(studio.facts.glob("command-*")), "the steps")
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As the supervisor of the launch does.
        for path in (*studio.facts.glob("hang-*"), *studio.facts.glob("command-*")):
            os.killpg(int(path.name.rpartition("-")[2]), signal.SIGKILL)

    code, log = studio.run(*controller, LIGHTNING_ZENML_RESTARTED="1", **variables)

    assert code == 0, log
    assert studio.steps() == dict.fromkeys(("inline", "hang_once", "command"), "completed")
    assert studio.last_run().status == "completed"
    assert {name: len(list(studio.facts.glob(f"{name}-*"))) for name in ("inline", "hang", "command")} == {
        "inline": 1,
        "hang": 2,
        "command": 2,
    }


def test_an_isolated_step_that_falls_silent_is_ended(studio: Studio, zenml_stack: Stack) -> None:
    with studio.started("run.py", "silent") as process:
        wait_for(lambda: (studio.facts / "silent").exists(), "the step")
        log = log_once_silent(process, zenml_stack)

    assert process.returncode == 1, log
    assert "has sent no heartbeat for too long" in " ".join(log.split())
    assert studio.steps() == {"falls_silent": "failed"}
    assert studio.last_run().status == "failed"


@pytest.mark.parametrize(
    ("settings", "hold", "code"), [({"max_parallel_steps": 1}, 1, 0), pytest.param({}, 60, 1, marks=pytest.mark.slow)]
)
def test_max_parallel_steps_of_a_dynamic_pipeline(
    studio: Studio, settings: dict[str, Any], hold: float, code: int
) -> None:
    """Steps that can't bear each other, in the controller's process and out of it: without the bound they meet."""
    done, log = studio.run("run.py", "narrow", LIGHTNING_ZENML_SETTINGS=json.dumps(settings), HOLD=str(hold))

    assert done == code, log
    assert studio.last_run().status == ("failed" if code else "completed")


def test_a_step_that_waits_for_its_turn_is_not_started_after_a_failure(studio: Studio) -> None:
    done, log = studio.run("run.py", "narrow_and_failing", LIGHTNING_ZENML_SETTINGS='{"max_parallel_steps": 1}')

    assert done == 1, log
    assert studio.steps() == {"fails": "failed", "waits": "stopped"}
    assert not (studio.facts / "waited").exists()


def test_a_failed_run_waits_for_no_retry(studio: Studio) -> None:
    """A step that is stopped has failed, thinks ZenML, and waits to be tried again: for ever after a failure."""
    done, log = studio.run("run.py", "failing_fast")

    assert done == 1, log
    assert studio.steps() == {"fails_beside": "failed", "sleeps": "stopped"}
    assert studio.last_run().status == "failed"


def test_a_request_that_fails_leaves_no_step_unwatched(studio: Studio) -> None:
    done, log = studio.run("run.py", "unlucky")

    assert done == 0, log
    assert (studio.facts / "failed-GET-PUT").exists()
    assert studio.steps() == {"command": "completed"}


@pytest.mark.parametrize(
    ("where", "code"), [("main", 128 + signal.SIGTERM), pytest.param("thread", 0, marks=pytest.mark.slow)]
)
def test_a_stop_through_zenml_is_noticed_where_no_step_sends_heartbeats(
    studio: Studio, zenml_stack: Stack, where: str, code: int
) -> None:
    with studio.started("run.py", "silent_command", where) as process:
        wait_for(lambda: (studio.facts / "command").exists(), "the step")
        # As `zenml pipeline runs stop --graceful` does.
        zenml_stack.zenml.request("PUT", f"runs/{studio.runs()[-1]['run_id']}", {"status": "stopping"})
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == code, log
    assert studio.steps() == {"command": "stopped"}
    assert studio.last_run().status == "stopped"


def test_a_step_ends_as_its_record_says_and_code_that_quits_has_failed(studio: Studio) -> None:
    """Apart, a step has what the Action's inputs say, unless it asks for something else itself."""
    done, log = studio.run("run.py", "quitting", LIGHTNING_ZENML_SETTINGS='{"environment": {"WHERE": "action"}}')

    assert done == 1, log
    assert [path.name for path in studio.facts.glob("seen-*")] == ["seen-action-step"]
    assert studio.steps() == {"crashes_at_exit": "completed", "has_its_own": "completed", "quits": "failed"}
    assert studio.last_run().status == "failed"


def test_a_stop_is_no_failure_to_be_tried_again(studio: Studio) -> None:
    with studio.started("run.py", "hanging_here") as process:
        wait_for(lambda: (studio.facts / "hangs").exists(), "the step")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == 128 + signal.SIGTERM, log
    assert studio.last_run().status == "stopped"


def test_a_stop_that_python_drops_is_raised_again(studio: Studio) -> None:
    with studio.started("run.py", "deaf") as process:
        wait_for(lambda: (studio.facts / "here").exists(), "the pipeline")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == 128 + signal.SIGTERM, log
    assert (studio.facts / "lost").exists()
    assert studio.last_run().status == "stopped"


def test_a_run_that_is_stopped_before_its_controller_begins_starts_no_step(studio: Studio) -> None:
    snapshot, run, variables = studio.prepare("hanging_here")
    studio.ask_to_stop(run)

    done, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run), **variables
    )

    assert done == 128 + signal.SIGTERM, log
    assert not (studio.facts / "hangs").exists()
    assert studio.server.run(run).status == "stopped"


FOLLOWED_FROM_A_LAPTOP = """
import sys

from zenml.client import Client

from lightning_zenml.launch.errors import StudioLostError
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.orchestrator.client.submission import Submission


class LostLaunch:
    hold = Hold(launch_id="launch-1", studio_id="1", studio_name="main", cluster="c", release=Release.DELETE)

    def follow(self):
        raise StudioLostError("The studio is gone.")

    def release(self):
        print("released")


Submission(LostLaunch(), Client().get_pipeline_run(sys.argv[1])).follow()
"""


@pytest.mark.parametrize(("status", "code"), [("paused", 0), pytest.param("running", 1, marks=pytest.mark.slow)])
def test_a_client_that_has_lost_the_studio_tells_what_zenml_has(studio: Studio, status: str, code: int) -> None:
    _, run, _ = studio.prepare("hanging_here")
    for one in dict.fromkeys(("running", status)):
        studio.server.rest.put(f"runs/{run}", {"status": one})

    done, log = studio.run("-c", FOLLOWED_FROM_A_LAPTOP, run)

    assert done == code, log
    assert "released" in log
    assert (status in log) or code
    assert studio.server.run(run).status == ("failed" if code else status)
