"""The orchestrator in place: real ZenML server, real artifact store, real processes; this machine is the studio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from lightning_zenml.orchestrator.submission import failure_request
from lightning_zenml.zenml_records import Run
from lightning_zenml.zenml_server import ZenMLServer
from localcloud.stack import Stack, client_environment

STUDIO_URL = "https://lightning.example/acme/teamspaces/vision/studios/main"
DEADLINE = 150

PROJECT = """
import json, os, sys, time
from pathlib import Path

from zenml import get_step_context, pipeline, step
from zenml.enums import ExecutionMode

FOLDER = Path(os.environ["TEST_FOLDER"])


def meet(name, other):
    (FOLDER / name).touch()
    deadline = time.monotonic() + 60
    while not (FOLDER / other).exists():
        assert time.monotonic() < deadline, f"{other} never ran beside {name}"
        time.sleep(0.05)


@step
def load() -> int:
    facts = {"cwd": os.getcwd(), "variables": dict(os.environ)}
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
    deadline = time.monotonic() + 60
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


class Studio:
    """This machine, set up as a launch's payload sets up a studio."""

    def __init__(self, stack: Stack, root: Path) -> None:
        self.server = ZenMLServer(stack.zenml_url, stack.zenml_api_key)
        self.code = root / "code"
        self.launch = root / "launch"
        self.facts = root / "facts"
        for folder in (self.code, self.launch, self.facts):
            folder.mkdir()
        # Other code than in other tests: nothing that they have run is cached here.
        (self.code / "run.py").write_text(PROJECT.replace("SALT", uuid4().hex))
        self.environment = client_environment(
            stack,
            ZENML_CONFIG_PATH=str(root / "client"),
            TEST_FOLDER=str(self.facts),
            LIGHTNING_ZENML_LAUNCH_ID="launch-1",
            LIGHTNING_ZENML_LAUNCH_DIR=str(self.launch),
            LIGHTNING_ZENML_CODE=str(self.code),
            LIGHTNING_ZENML_STUDIO_NAME="main",
            LIGHTNING_ZENML_STUDIO_URL=STUDIO_URL,
            LIGHTNING_ZENML_MACHINE="CPU",
        )

    @contextmanager
    def started(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=self.code,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        with self.started(*command, **environment) as process:
            output, _ = process.communicate(timeout=DEADLINE)
            return process.returncode, output

    def runs(self) -> list[dict[str, Any]]:
        path = self.launch / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def last_run(self) -> Run:
        return self.server.run(self.runs()[-1]["run_id"])

    def steps(self) -> dict[str, str]:
        return {step.name: step.status for step in self.server.steps(self.runs()[-1]["run_id"])}

    def hanging_process(self) -> int:
        return int(next(self.facts.glob("hang-*")).name.removeprefix("hang-"))


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    return Studio(zenml_stack, tmp_path)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


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
        }
    ]
    # `left` and `right` wait for each other: they have run side by side.
    assert studio.steps() == dict.fromkeys(("load", "left", "right", "join"), "completed")

    facts = json.loads((studio.facts / "facts.json").read_text())
    variables = facts["variables"]
    assert facts["cwd"] == str(studio.code)
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
    assert studio.steps() == {"load": "failed"}
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
        studio.server.stop_run(studio.runs()[-1]["run_id"])
        log, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert "The run was stopped." in log
    assert studio.last_run().status == "stopped"
    assert studio.steps() == {"hang": "stopped"}


PREPARE = """
import json, sys
from zenml.orchestrators.utils import get_config_environment_vars
from zenml.pipelines.run_utils import create_placeholder_run
import run

snapshot = getattr(run, sys.argv[1]).create_snapshot(name=None)
placeholder = create_placeholder_run(snapshot)
variables, secrets = get_config_environment_vars(pipeline_run_id=placeholder.id)
print(json.dumps([str(snapshot.id), str(placeholder.id), {**variables, **secrets}]))
"""


@pytest.mark.parametrize(("pipeline", "code", "status"), [("one", 0, "completed"), ("failing", 1, "failed")])
def test_launched_controller_has_the_token_of_its_run_only(
    studio: Studio, pipeline: str, code: int, status: str
) -> None:
    (studio.code / "prepare.py").write_text(PREPARE)
    done, log = studio.run("prepare.py", pipeline)
    assert done == 0, log
    snapshot, run, variables = json.loads(log.splitlines()[-1])
    # A run's token dies with the run: the controller must cope with that at the end.
    studio.environment.pop("ZENML_STORE_API_KEY")

    done, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run),
        **variables,
    )

    assert done == code, log
    assert studio.runs()[-1]["run_id"] == run
    assert studio.last_run().status == status


def test_failure_request_fails_the_run_with_its_own_token(studio: Studio) -> None:
    (studio.code / "prepare.py").write_text(PREPARE)
    done, log = studio.run("prepare.py", "one")
    assert done == 0, log
    _, run, variables = json.loads(log.splitlines()[-1])
    failure = failure_request(run, variables)

    answer = requests.request(
        failure.method, failure.url, headers=dict(failure.headers), json=dict(failure.body), timeout=30
    )

    assert answer.status_code == 200, answer.text
    assert studio.server.run(run).status == "failed"


def test_controller_outside_of_a_studio(studio: Studio) -> None:
    studio.environment.pop("LIGHTNING_ZENML_LAUNCH_DIR")
    unknown = "00000000-0000-4000-8000-000000000000"

    code, log = studio.run(
        *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", unknown, "--run-id", unknown)
    )

    assert code == 2
    assert "runs in a studio" in log
