"""What ZenML promises of a pipeline on any orchestrator, kept by the controller in place."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from in_place import Studio, log_once_silent, wait_for
from localcloud.stack import Stack

PROJECT = """
import json, os, signal, sys, time
from pathlib import Path

from zenml import pipeline, step
from zenml.config.retry_config import StepRetryConfig
from zenml.enums import ExecutionMode

FOLDER = Path(os.environ["TEST_FOLDER"])


def wait_for(name):
    deadline = time.monotonic() + 300
    while not (FOLDER / name).exists():
        assert time.monotonic() < deadline, f"{name} never came"
        time.sleep(0.05)


@step(enable_cache=False)
def slow() -> int:
    (FOLDER / "slow").touch()
    wait_for("controller-knows")
    return 1


@step(enable_cache=False)
def breaks() -> int:
    (FOLDER / "pid").write_text(str(os.getpid()))
    (FOLDER / "breaks").touch()
    wait_for("slow")
    raise RuntimeError("it went wrong")


@step(enable_cache=False)
def falls_silent() -> None:
    (FOLDER / "silent").touch()
    os.kill(os.getpid(), signal.SIGSTOP)


@pipeline
def silent():
    falls_silent()


@step(enable_cache=False)
def fails_early(cue: str = "") -> None:
    if cue:
        wait_for(cue)
    raise RuntimeError("it went wrong")


@step(enable_cache=False)
def waits() -> None:
    (FOLDER / f"hang-{os.getpid()}").touch()
    wait_for("go-on")


@pipeline(execution_mode=ExecutionMode.STOP_ON_FAILURE)
def silent_after_failure():
    falls_silent()
    # A step that had not begun by then would not begin any more.
    fails_early("silent")


@pipeline(execution_mode=ExecutionMode.CONTINUE_ON_FAILURE)
def half_failed():
    waits()
    fails_early()




@step(enable_cache=False)
def after_breaks(x: int) -> int:
    return x


@step(enable_cache=False)
def after_slow(x: int) -> int:
    return x


@step(enable_cache=False)
def release() -> None:
    # A process lasts, as a zombie, until the controller has asked for its exit code.
    wait_for("breaks")
    process = Path("/proc") / (FOLDER / "pid").read_text()
    deadline = time.monotonic() + 300
    while process.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (FOLDER / "controller-knows").touch()


def diverging():
    release()
    after_slow(slow())
    after_breaks(breaks())


stop_on_failure = pipeline(execution_mode=ExecutionMode.STOP_ON_FAILURE, name="stop_on_failure")(diverging)
continue_on_failure = pipeline(execution_mode=ExecutionMode.CONTINUE_ON_FAILURE, name="continue_on_failure")(diverging)


@step(enable_cache=False)
def alone(number: int) -> int:
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
    return number


@pipeline
def narrow():
    alone(1)
    alone(2)
    alone(3)


@step(enable_cache=False, retry=StepRetryConfig(max_retries=2, delay=0, backoff=1))
def flaky() -> int:
    tries = len(list(FOLDER.glob("try-*")))
    (FOLDER / f"try-{tries}").touch()
    if tries < int(os.environ["FAILS"]):
        raise RuntimeError(f"try {tries} went wrong")
    return 1


@pipeline
def retried():
    flaky()


def note(name, text=""):
    with (FOLDER / name).open("a") as file:
        file.write(f"{text}\\n")


def step_failed(error: BaseException) -> None:
    note("step_failed", error)


def step_succeeded() -> None:
    note("step_succeeded")


def any_failed(error: BaseException) -> None:
    note("any_failed", error)


def started() -> None:
    note("started")


def prepared() -> None:
    note("prepared")


def cleaned() -> None:
    note("cleaned")


@step(enable_cache=False, on_success=step_succeeded, on_failure=step_failed)
def good() -> int:
    return 1


@step(enable_cache=False, on_failure=step_failed)
def bad(x: int) -> int:
    raise RuntimeError("bad went wrong")


@step(enable_cache=False)
def plainly_bad() -> int:
    raise RuntimeError("plainly_bad went wrong")


@pipeline(
    on_failure=any_failed,
    on_start=started,
    on_init=prepared,
    on_cleanup=cleaned,
    execution_mode=ExecutionMode.CONTINUE_ON_FAILURE,
)
def hooked():
    bad(good())
    plainly_bad()


WATCHED = ("FROM_PIPELINE", "FROM_STEP", "FROM_SETTINGS", "PIPELINE_SECRET", "STEP_SECRET")


def look(name):
    found = {variable: os.environ.get(variable) for variable in WATCHED}
    (FOLDER / f"{name}.json").write_text(json.dumps(found))


@step(enable_cache=False)
def plain() -> None:
    look("plain")


@step(enable_cache=False, environment={"FROM_STEP": "step"}, secrets=["STEP-SECRET-NAME"])
def special() -> None:
    look("special")


@step(enable_cache=False, settings={"orchestrator": {"environment": {"FROM_SETTINGS": "settings"}}})
def configured() -> None:
    look("configured")


@pipeline(environment={"FROM_PIPELINE": "pipeline"}, secrets=["PIPELINE-SECRET-NAME"])
def equipped():
    plain()
    special()
    configured()


@step(enable_cache=False)
def talk() -> None:
    print("said by the step")


@pipeline
def talking():
    talk()


@step(enable_cache=False)
def hang() -> None:
    (FOLDER / f"hang-{os.getpid()}").touch()
    time.sleep(600)


@step(enable_cache=False, retry=StepRetryConfig(max_retries=3, delay=0, backoff=1))
def hang_with_retries() -> None:
    (FOLDER / f"hang-{os.getpid()}").touch()
    time.sleep(600)


@pipeline
def hanging():
    hang()
    hang_with_retries()


@step(enable_cache=False)
def goes_well() -> int:
    print("at work")
    return 1


@step(enable_cache=False)
def goes_well_later(x: int) -> None:
    if not (FOLDER / "later").exists():
        raise RuntimeError("not yet")


@pipeline
def in_two_goes():
    goes_well_later(goes_well())


def replay():
    in_two_goes.replay(skip_successful_steps=True)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    return Studio(zenml_stack, tmp_path, PROJECT)


def test_stop_on_failure_lets_running_steps_end_and_starts_none(studio: Studio) -> None:
    code, log = studio.run("run.py", "stop_on_failure")

    assert code == 1, log
    assert studio.steps() == {"release": "completed", "slow": "completed", "breaks": "failed"}
    assert studio.last_run().status == "failed"


@pytest.mark.slow
def test_a_replay_starts_nothing_for_the_steps_that_it_skips(studio: Studio) -> None:
    code, log = studio.run("run.py", "in_two_goes")
    assert code == 1, log
    (studio.facts / "later").touch()
    code, log = studio.run("run.py", "replay")
    assert code == 0, log
    assert "at work" not in log
    assert "goes_well ended with" not in " ".join(log.split())
    assert studio.steps() == {"goes_well": "skipped", "goes_well_later": "completed"}
    assert studio.last_run().status == "completed"


def test_continue_on_failure_leaves_out_only_what_depends_on_it(studio: Studio) -> None:
    code, log = studio.run("run.py", "continue_on_failure")

    assert code == 1, log
    assert studio.steps() == {
        "release": "completed",
        "slow": "completed",
        "after_slow": "completed",
        "breaks": "failed",
    }
    assert studio.last_run().status == "failed"


@pytest.mark.parametrize(
    ("settings", "hold", "code"), [({"max_parallel_steps": 1}, 1, 0), pytest.param({}, 60, 1, marks=pytest.mark.slow)]
)
def test_max_parallel_steps(studio: Studio, settings: dict[str, Any], hold: float, code: int) -> None:
    """Steps that can't bear each other: without the bound they meet."""
    done, log = studio.run("run.py", "narrow", LIGHTNING_ZENML_SETTINGS=json.dumps(settings), HOLD=str(hold))

    assert done == code, log


@pytest.mark.parametrize(
    ("pipeline", "others"),
    [("silent", {}), pytest.param("silent_after_failure", {"fails_early": "failed"}, marks=pytest.mark.slow)],
)
def test_a_step_that_falls_silent_is_ended(
    studio: Studio, zenml_stack: Stack, pipeline: str, others: dict[str, str]
) -> None:
    with studio.started("run.py", pipeline) as process:
        wait_for(lambda: (studio.facts / "silent").exists(), "the step")
        wait_for(lambda: studio.steps() == others | {"falls_silent": "running"}, "the failure")
        log = log_once_silent(process, zenml_stack)

    assert process.returncode == 1, log
    assert "has sent no heartbeat for too long" in " ".join(log.split())
    assert studio.steps() == others | {"falls_silent": "failed"}


@pytest.mark.slow
def test_a_controller_that_is_started_again_leaves_out_what_has_failed(studio: Studio) -> None:
    snapshot, run, variables = studio.prepare("half_failed")
    command = ("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run)
    with studio.started(*command, **variables) as process:
        wait_for(lambda: list(studio.facts.glob("hang-*")), "the step")
        wait_for(lambda: studio.steps() == {"waits": "running", "fails_early": "failed"}, "the failure")
        process.send_signal(signal.SIGKILL)
        os.kill(studio.hanging_process(), signal.SIGKILL)
    (studio.facts / "go-on").touch()

    code, log = studio.run(*command, LIGHTNING_ZENML_RESTARTED="1", **variables)

    assert code == 1, log
    assert "Steps failed: fails_early." in log
    assert "[waits]" in log
    assert "[fails_early]" not in log
    assert studio.steps() == {"waits": "completed", "fails_early": "failed"}
    assert studio.last_run().status == "failed"


@pytest.mark.parametrize(
    ("fails", "code", "status"), [pytest.param(2, 0, "completed", marks=pytest.mark.slow), (3, 1, "failed")]
)
def test_step_retries(studio: Studio, fails: int, code: int, status: str) -> None:
    done, log = studio.run("run.py", "retried", FAILS=str(fails))

    assert done == code, log
    assert len(list(studio.facts.glob("try-*"))) == 3
    assert studio.steps() == {"flaky": status}
    assert studio.last_run().status == status


@pytest.mark.parametrize(("machines", "tries"), [("1", 3), ("2", 1)])
def test_only_a_step_on_one_machine_is_tried_again_there(studio: Studio, machines: str, tries: int) -> None:
    snapshot, run, variables = studio.prepare("retried")
    program = (
        "-m",
        "lightning_zenml.orchestrator.steps.job_program",
        "--step-name",
        "flaky",
        "--num-machines",
        machines,
    )

    code, log = studio.run(
        *(*program, "--snapshot-id", snapshot, "--run-id", run),
        **variables,
        FAILS="3",
        # As the script of the job gives it.
        RANK="0",
        LIGHTNING_ZENML_ORCHESTRATOR_RUN_ID="launch-1-run",
        ZENML_CUSTOM_SOURCE_ROOT=str(studio.code),
    )

    assert code != 0, log
    assert len(list(studio.facts.glob("try-*"))) == tries, log
    (step,) = studio.server.steps(run)
    # Of several machines' step the controller has to start them all again.
    assert step.status == ("failed" if machines == "1" else "retrying")


def test_hooks_of_steps_and_pipeline(studio: Studio) -> None:
    code, log = studio.run("run.py", "hooked")

    assert code == 1, log
    told = {path.name: path.read_text().splitlines() for path in studio.facts.iterdir()}
    assert told["step_succeeded"] == [""]
    assert told["step_failed"] == ["bad went wrong"]
    assert told["any_failed"] == ["plainly_bad went wrong"]
    # A static pipeline's own hooks are those of each of its steps.
    assert [len(told[name]) for name in ("started", "prepared", "cleaned")] == [3, 3, 3]


def test_environment_and_secrets_of_pipeline_and_step(studio: Studio, zenml_stack: Stack) -> None:
    names = {owner: f"{owner}-{uuid4().hex[:8]}" for owner in ("pipeline", "step")}
    for owner, name in names.items():
        variable = f"{owner.upper()}_SECRET"
        zenml_stack.zenml.request("POST", "secrets", {"name": name, "values": {variable: f"secret of the {owner}"}})
    script = studio.code / "run.py"
    text = script.read_text().replace("PIPELINE-SECRET-NAME", names["pipeline"])
    script.write_text(text.replace("STEP-SECRET-NAME", names["step"]))

    code, log = studio.run("run.py", "equipped")

    assert code == 0, log
    everywhere = {"FROM_PIPELINE": "pipeline", "PIPELINE_SECRET": "secret of the pipeline"}
    nothing = dict.fromkeys(("FROM_STEP", "FROM_SETTINGS", "STEP_SECRET"))
    found = {
        name: json.loads((studio.facts / f"{name}.json").read_text()) for name in ("plain", "special", "configured")
    }
    assert found["plain"] == everywhere | nothing
    assert found["special"] == everywhere | nothing | {"FROM_STEP": "step", "STEP_SECRET": "secret of the step"}
    assert found["configured"] == everywhere | nothing | {"FROM_SETTINGS": "settings"}
    snapshots = zenml_stack.zenml.request("GET", "pipeline_snapshots?hydrate=true&named_only=false&size=100")
    assert "secret of the" not in json.dumps(snapshots) + log


def test_step_logs_are_visible_in_zenml(studio: Studio, zenml_stack: Stack) -> None:
    code, log = studio.run("run.py", "talking")

    assert code == 0, log
    assert "[talk] said by the step\n" in log
    (step,) = zenml_stack.zenml.request("GET", f"steps?pipeline_run_id={studio.last_run().id}")["items"]
    entries = zenml_stack.zenml.request("GET", f"steps/{step['id']}/logs?source=step")
    assert "said by the step" in [entry["message"] for entry in entries]
    # What the controller says itself is the run's log, which outlives the studio.
    entries = zenml_stack.zenml.request("GET", f"runs/{studio.last_run().id}/logs?source=orchestrator")
    assert "Node `talk` completed." in [entry["message"] for entry in entries]


@pytest.mark.parametrize(
    ("before", "status"), [("running", "failed"), pytest.param("stopping", "stopped", marks=pytest.mark.slow)]
)
def test_a_killed_controllers_run_ends_with_its_steps(
    studio: Studio, zenml_stack: Stack, before: str, status: str
) -> None:
    with studio.started("run.py", "hanging") as process:
        wait_for(lambda: len(list(studio.facts.glob("hang-*"))) == 2, "the steps")
        process.send_signal(signal.SIGKILL)
        for path in studio.facts.glob("hang-*"):
            os.kill(int(path.name.removeprefix("hang-")), signal.SIGKILL)
        process.wait()
    if before == "stopping":
        studio.ask_to_stop(studio.runs()[0]["run_id"])
    assert studio.last_run().status == before

    reason = "The machine ran out of memory." + "x" * 1000
    code, log = studio.run("-m", "lightning_zenml.zenml_api.run_end", LIGHTNING_ZENML_FAILURE=reason)

    assert code == 0, log
    run = studio.last_run()
    assert run.status == status
    # A step with tries left can't be `failed` in ZenML without somebody who tries again.
    assert studio.steps() == {"hang": status, "hang_with_retries": "stopped"}
    told = zenml_stack.zenml.request("GET", f"runs/{run.id}?hydrate=true")["body"]["status_reason"]
    assert told.startswith("The machine ran out of memory.")

    code, log = studio.run("-m", "lightning_zenml.zenml_api.run_end", LIGHTNING_ZENML_FAILURE="Something else.")

    assert code == 0, log
    assert "out of memory" in zenml_stack.zenml.request("GET", f"runs/{run.id}?hydrate=true")["body"]["status_reason"]
