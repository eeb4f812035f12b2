"""The action in its container: what a process on the runner can't show."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from localcloud.container import OF_THE_CLIENT, ContainerStep
from localcloud.docker import IMAGE, Docker
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, wait_for

# The first build from nothing, base included, counts to the first test.
pytestmark = pytest.mark.timeout(600)

RUNNER_USER = 1001
"""Whoever owns the workspace on a runner; not root, as whom the container runs."""

StepOf = Callable[..., ContainerStep]


@pytest.fixture
def step_of(actions: Actions, docker: Docker) -> StepOf:
    def make(*options: str, **inputs: str) -> ContainerStep:
        step = ContainerStep.of(actions.step(**inputs), docker, *options)
        if os.geteuid() == 0:
            for path in (step.workspace, *step.workspace.rglob("*")):
                os.chown(path, RUNNER_USER, RUNNER_USER, follow_symlinks=False)
        return step

    return make


def test_a_run_to_its_end(cloud: LightningCloud, actions: Actions, step_of: StepOf) -> None:
    step = step_of(machine_type="cpu", commands="echo on $LIGHTNING_ZENML_MACHINE", env="FROM_THE_STEP=there")
    before = files(step.workspace)
    finished = step.run()

    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert "on CPU" in finished.log
    outputs = finished.outputs
    assert outputs["status"] == "completed"
    assert outputs["orchestrator-url"] in finished.summary
    assert outputs["orchestrator-url"] in actions.comment()
    assert cloud.studio(outputs["studio-name"]).deleted
    assert files(step.workspace) == before
    assert list((step.root / "temp").iterdir()) == []


def test_read_only_but_for_the_mounts(step_of: StepOf) -> None:
    step = step_of(
        "--read-only", "--security-opt", "no-new-privileges", "--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE"
    )
    before = files(step.workspace)
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "completed"
    assert files(step.workspace) == before
    assert list((step.root / "temp").iterdir()) == []


def test_async_leaves_and_the_run_completes(stack: Stack, cloud: LightningCloud, step_of: StepOf) -> None:
    finished = step_of(**{"async": "true"}, studio_name="warm", run="python run.py && sleep 3").run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "running"
    wait_for(lambda: not cloud.running())
    run = stack.zenml.request("GET", f"runs/{finished.outputs['run-id']}")
    assert run["body"]["status"] == "completed"


def test_a_failure_fails_the_step(actions: Actions, step_of: StepOf) -> None:
    finished = step_of(studio_name="warm", run="echo out of luck; exit 3").run()
    assert finished.exit_code == 1
    assert [text for level, text in finished.annotations if level == "error" and "exit code 3" in text]
    assert "out of luck" in actions.comment()


def test_bad_inputs(step_of: StepOf) -> None:
    finished = step_of(run="", keep_studio="maybe").run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0)
    assert len([text for level, text in finished.annotations if level == "error"]) == 2


@pytest.mark.parametrize("way", ["SIGINT to the client", "docker stop"])
def test_cancel(cloud: LightningCloud, actions: Actions, step_of: StepOf, way: str) -> None:
    step = step_of(studio_name="warm", run="echo now; sleep 600")

    def cancel(line: str) -> signal.Signals | None:
        if not line.startswith("now"):
            return None
        if way == "docker stop":
            threading.Thread(target=step.stop).start()
            return None
        return signal.SIGINT

    finished = step.run(interrupt=cancel, post=False)

    # Not 137: it ended before the kill that follows ten seconds after a stop.
    assert finished.exit_code == (130 if way.startswith("SIGINT") else 143)
    assert finished.outputs["status"] == "stopped"
    assert "cancelled" in actions.comment()
    assert not cloud.running()


def test_post_releases_what_a_killed_main_left(cloud: LightningCloud, actions: Actions, step_of: StepOf) -> None:
    step = step_of(studio_name="warm", run="echo now; sleep 600")

    def kill(line: str) -> None:
        if line.startswith("now"):
            step.docker("kill", step.name)

    finished = step.run(interrupt=kill)
    assert finished.exit_code == 137
    assert finished.post_exit_code == 0
    assert "cancelled" in actions.comment()
    assert not cloud.running()


def test_nothing_of_the_host_gets_in(step_of: StepOf) -> None:
    step = step_of()
    environment = step.environment()
    command = step.command("main", environment)
    command[command.index("--entrypoint") + 1] = "/usr/bin/env"
    host = {**os.environ, "HOST_ONLY": "leaked", **environment}
    seen = subprocess.run(command, env=host, capture_output=True, text=True, check=True).stdout.splitlines()

    assert {"GITHUB_REPOSITORY=octo/model", "INPUT_KEEP-STUDIO=auto", "RUNNER_TEMP=/github/runner_temp"} <= set(seen)
    foreign = {f"{name}={value}" for name, value in host.items() if name not in environment or name in OF_THE_CLIENT}
    # These the image sets itself.
    assert foreign & set(seen) <= {"LANG=C.UTF-8", "LIGHTNING_DISABLE_VERSION_CHECK=1"}
    assert step.inputs["lightning-api-key"] not in " ".join(command)


def test_the_image_holds_what_runs_and_nothing_else(docker: Docker) -> None:
    paths = docker("run", "--rm", "--network", "none", "--entrypoint", "find", IMAGE, "/", "-xdev").stdout.splitlines()
    for wanted in ("/opt/*/lightning_zenml/action/__pycache__/main.*.pyc", "/usr/*/json/__pycache__/decoder.*.pyc"):
        assert [path for path in paths if fnmatch(path, wanted)], wanted
    unwanted = ["/opt/*/localcloud*", "/opt/*/hatchling*", "/opt/*/pip/*", "/build*", "*/.cache/*", "*/bin/gcc*"]
    unwanted += ["/opt/*.whl", "/var/lib/apt/lists/*", "/var/cache/apt/*"]
    assert [path for path in paths if any(fnmatch(path, pattern) for pattern in unwanted)] == []


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Owner and time of change of every file of a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_uid, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }
