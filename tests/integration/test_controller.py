"""The orchestrator in place: real ZenML server, real artifact store, real processes; this machine is the studio."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from in_place import DEADLINE, STUDIO_URL, Studio, is_running, wait_for
from lightning_zenml.launch.payload.protocol import Failure, Phase, Status
from lightning_zenml.launch.payload.records import RunRecord, append
from lightning_zenml.zenml_api.run_end import LaunchEnd
from localcloud.chaos import Fault, chaos
from localcloud.stack import Stack

PROJECT = """
import json, os, sys, time
from pathlib import Path

from zenml import get_step_context, pipeline, step
from zenml.enums import ExecutionMode

FOLDER = Path(os.environ["TEST_FOLDER"])


def meet(name, other):
    (FOLDER / name).touch()
    deadline = time.monotonic() + 300
    while not (FOLDER / other).exists():
        assert time.monotonic() < deadline, f"{other} never ran beside {name}"
        time.sleep(0.05)


@step
def load() -> int:
    facts = {"cwd": os.getcwd(), "variables": dict(os.environ), "program": sys.argv[0]}
    facts["ahead"] = "colorsys" in sys.modules
    (FOLDER / "facts.json").write_text(json.dumps(facts))
    print("loading")  # SALT
    return 3


@step
def left(x: int) -> int:
    meet("left", "right")
    return x


@step
def right(x: int) -> int:
    meet("right", "left")
    return x


@step
def join(a: int, b: int) -> int:
    return a + b


@step(enable_cache=False)
def broken(x: int) -> int:
    raise RuntimeError("it went wrong")


@step(enable_cache=False)
def hang() -> int:
    (FOLDER / f"hang-{os.getpid()}").touch()
    time.sleep(600)
    return 1


@step(enable_cache=False)
def broken_beside_hang() -> int:
    deadline = time.monotonic() + 300
    while not list(FOLDER.glob("hang-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    raise RuntimeError("it went wrong")


@pipeline
def parallel():
    x = load()
    join(left(x), right(x))


@pipeline
def failing():
    x = load()
    join(broken(x), x)


@pipeline(execution_mode=ExecutionMode.FAIL_FAST)
def fail_fast():
    hang()
    broken_beside_hang()


@pipeline
def hanging():
    hang()


@pipeline
def one():
    load()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    return Studio(zenml_stack, tmp_path, PROJECT)


def test_parallel_steps_and_cached_second_run(studio: Studio, zenml_stack: Stack) -> None:
    code, log = studio.run("run.py", "parallel", LIGHTNING_ZENML_SETTINGS='{"environment": {"TOLD": "yes"}}')

    assert code == 0, log
    assert "[load] loading\n" in log
    run = studio.last_run()
    assert run.status == "completed"
    assert run.orchestrator_url == STUDIO_URL
    assert run.metadata["orchestrator_logs_url"] == STUDIO_URL
    assert run.metadata["orchestrator_run_id"] == f"launch-1-{run.id[:8]}"
    assert studio.runs() == [
        {
            "run_id": run.id,
            "run_name": run.name,
            "pipeline": "parallel",
            "run_url": run.url,
            "orchestrator_url": STUDIO_URL,
            "version": 1,
        }
    ]
    # `left` and `right` wait for each other: they have run side by side.
    assert studio.steps() == dict.fromkeys(("load", "left", "right", "join"), "completed")

    facts = json.loads((studio.facts / "facts.json").read_text())
    variables = facts["variables"]
    assert facts["cwd"] == str(studio.code)
    assert Path(facts["program"]).name == "forkserver_program.py"
    assert variables["TOLD"] == "yes"
    assert "LIGHTNING_ZENML_SETTINGS" not in variables
    assert zenml_stack.zenml_api_key not in variables.values()

    orchestrator = zenml_stack.zenml.request("GET", f"components/{zenml_stack.orchestrator_id}?hydrate=true")
    secret = orchestrator["metadata"]["configuration"]["api_key"]
    snapshots = zenml_stack.zenml.request("GET", "pipeline_snapshots?hydrate=true&named_only=false&size=100")
    assert "orchestrator:lightning_orchestrator" in json.dumps(snapshots)
    assert secret not in json.dumps(snapshots)

    code, log = studio.run("run.py", "parallel")

    assert code == 0, log
    assert len(studio.runs()) == 2
    assert studio.steps() == dict.fromkeys(("load", "left", "right", "join"), "cached")
    assert studio.last_run().status == "completed"


def test_a_run_of_the_action_says_where_it_comes_from(studio: Studio, zenml_stack: Stack) -> None:
    github = {"repository": "octo/model", "sha": "a" * 40, "branch": "better", "pull_request": None}
    code, log = studio.run("run.py", "one", LIGHTNING_ZENML_GITHUB=json.dumps(github))

    assert code == 0, log
    run = studio.last_run()
    assert run.metadata["github"] == {"repository": "octo/model", "sha": "a" * 40, "branch": "better"}
    tags = zenml_stack.zenml.request("GET", f"runs/{run.id}?hydrate=true")["resources"]["tags"]
    assert {tag["name"] for tag in tags} == {"github", "octo/model", "branch:better"}


@pytest.mark.slow
def test_provenance_that_cannot_be_read_costs_no_run(studio: Studio) -> None:
    code, log = studio.run("run.py", "one", LIGHTNING_ZENML_GITHUB="{broken")

    assert code == 0, log
    assert "Can't record on the run where it comes from" in log


def test_failing_step(studio: Studio) -> None:
    code, log = studio.run("run.py", "failing")

    assert code == 1
    assert "it went wrong" in log
    assert "Steps failed: broken." in log
    assert studio.last_run().status == "failed"
    steps = studio.steps()
    assert steps["broken"] == "failed"
    assert "join" not in steps


def test_fail_fast_stops_the_other_steps(studio: Studio) -> None:
    code, log = studio.run("run.py", "fail_fast")

    assert code == 1, log
    assert studio.last_run().status == "failed"
    assert studio.steps() == {"hang": "stopped", "broken_beside_hang": "failed"}
    assert not is_running(studio.hanging_process())


def test_step_that_leaves_no_record_is_recorded_as_failed(studio: Studio) -> None:
    module = studio.code / "run.py"
    module.write_text(module.read_text().replace('if __name__ == "__main__":', EXIT_IN_A_STEP_PROCESS))

    code, log = studio.run("run.py", "one")

    assert code == 1, log
    assert "exit code 3" in log
    (step,) = studio.server.steps(studio.runs()[-1]["run_id"])
    assert (step.name, step.status) == ("load", "failed")
    assert "The step's process ended with exit code 3 and told nothing." in str(step.traceback)
    assert studio.last_run().status == "failed"


EXIT_IN_A_STEP_PROCESS = """
if __name__ != "__main__":
    os._exit(3)

if __name__ == "__main__":"""


def test_sigterm_stops_steps_and_run(studio: Studio) -> None:
    with studio.started("run.py", "hanging") as process:
        wait_for(lambda: list(studio.facts.glob("hang-*")), "the step")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == 128 + signal.SIGTERM, log
    assert studio.last_run().status == "stopped"
    assert studio.steps() == {"hang": "stopped"}
    assert not is_running(studio.hanging_process())


def test_stop_through_zenml(studio: Studio) -> None:
    with studio.started("run.py", "hanging") as process:
        wait_for(lambda: list(studio.facts.glob("hang-*")), "the step")
        studio.ask_to_stop(studio.runs()[-1]["run_id"])
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert "The run was stopped." in log
    assert studio.last_run().status == "stopped"
    assert studio.steps() == {"hang": "stopped"}


@pytest.mark.parametrize(
    ("pipeline", "code", "status"),
    [("one", 0, "completed"), pytest.param("failing", 1, "failed", marks=pytest.mark.slow)],
)
def test_launched_controller_has_the_token_of_its_run_only(
    studio: Studio, pipeline: str, code: int, status: str
) -> None:
    snapshot, run, variables = studio.prepare(pipeline)
    # A run's token dies with the run: the controller must cope with that at the end.
    studio.environment.pop("ZENML_STORE_API_KEY")

    done, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run),
        # As the client has it for a static pipeline.
        *("--fork-steps", "zenml.integrations.s3.artifact_stores.s3_artifact_store", "colorsys"),
        **variables,
    )

    assert done == code, log
    assert json.loads((studio.facts / "facts.json").read_text())["ahead"]
    assert studio.runs()[-1]["run_id"] == run
    assert studio.last_run().status == status


def test_a_run_that_is_stopped_before_its_controller_begins_starts_no_step(studio: Studio) -> None:
    snapshot, run, variables = studio.prepare("hanging")
    studio.ask_to_stop(run)

    done, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run), **variables
    )

    assert done == 1, log
    assert not list(studio.facts.glob("hang-*"))
    assert studio.server.run(run).status == "stopped"


def test_a_stop_is_noticed_before_there_is_a_controller(studio: Studio, zenml_stack: Stack) -> None:
    _, run, variables = studio.prepare("hanging")
    studio.environment.pop("ZENML_STORE_API_KEY")
    watch = ("-m", "lightning_zenml.zenml_api.run_watch", run)

    with chaos(zenml_stack) as proxied:
        proxied.zenml.fault(Fault.status(401), nth=1)
        with studio.started(*watch, **{**variables, "ZENML_STORE_URL": proxied.zenml.url}) as watching:
            wait_for(lambda: proxied.zenml.met, "the watch's first look")
            studio.ask_to_stop(run)
            assert watching.wait(timeout=300) == 0
    assert studio.server.run(run).status == "stopped"


def test_a_watch_ends_with_whoever_started_it(studio: Studio) -> None:
    _, run, variables = studio.prepare("hanging")

    done, log = studio.run("-m", "lightning_zenml.zenml_api.run_watch", run, **variables)

    assert done == 1, log
    assert studio.server.run(run).status == "initializing"


def test_a_run_whose_controller_never_started_is_failed_with_its_own_token(studio: Studio, zenml_stack: Stack) -> None:
    _, run, variables = studio.prepare("one")
    studio.environment.pop("ZENML_STORE_API_KEY")

    with chaos(zenml_stack) as proxied:
        for nth, status in enumerate((401, 403, 404, 401), start=1):
            proxied.zenml.fault(Fault.status(status), nth=nth)
        url = proxied.zenml.url
        done, log = studio.run("-m", "lightning_zenml.zenml_api.run_end", run, **{**variables, "ZENML_STORE_URL": url})

    assert done == 0, log
    assert studio.server.run(run).status == "failed"


def test_a_run_that_is_killed_while_commands_prepare_it_is_ended_with_its_launch(studio: Studio) -> None:
    settings = json.dumps({"custom_commands": ["kill -KILL $PPID"]})
    code, log = studio.run("run.py", "one", LIGHTNING_ZENML_SETTINGS=settings)
    assert code == -signal.SIGKILL, log
    assert studio.last_run().status == "initializing"

    done, log = studio.run("-m", "lightning_zenml.zenml_api.run_end")

    assert done == 0, log
    assert studio.last_run().status == "failed"


def test_how_a_launch_ended_that_nobody_saw_is_kept_with_its_runs(studio: Studio) -> None:
    _, run, _ = studio.prepare("one")
    record = RunRecord(run_id=run, run_name="one", pipeline="one", run_url=None, orchestrator_url="")
    append(studio.launch / "runs.jsonl", record)
    failure = Failure(phase=Phase.RUNNING, message="The run failed with exit code 3: python run.py")
    end = Status(phase=Phase.FINISHED, exit_code=3, failure=failure)

    done, log = studio.run("-m", "lightning_zenml.zenml_api.run_end", LIGHTNING_ZENML_END=json.dumps(end.to_json()))

    assert done == 0, log
    told = studio.server.run(run)
    assert told.end_of("launch-1") == LaunchEnd(launch="launch-1", exit_code=3, failure=failure.message)
    assert told.end_of("launch-2") is None


def test_controller_outside_of_a_studio(studio: Studio) -> None:
    studio.environment.pop("LIGHTNING_ZENML_LAUNCH_DIR")
    unknown = "00000000-0000-4000-8000-000000000000"

    code, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", unknown, "--run-id", unknown)
    )

    assert code == 2
    assert "runs in a studio" in log
