"""The action in its container: what a process on the runner can't show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from localcloud.container import OF_THE_CLIENT, ContainerStep
from localcloud.docker import IMAGE, Docker
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, wait_for

RUNNER_USER = 1001
"""Whoever owns the workspace on a runner; not root, as whom the container runs."""

StepOf = Callable[..., ContainerStep]


@pytest.fixture
def step_of(actions: Actions, docker: Docker) -> StepOf:
    def make(*options: str, **inputs: Any) -> ContainerStep:
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
    finished = step.run(interrupt=cancel_at(step, "now\n", way), post=False)

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


@pytest.fixture
def index(docker: Docker) -> dict[str, str]:
    """What a step sets to reach the package index of this machine. uv reads no pip.conf, as the base may have."""
    needed = re.compile(r"(?i)(PIP_(EXTRA_)?INDEX_URL|UV_(DEFAULT_|EXTRA_)?INDEX(_URL)?|(https?|no|all)_proxy)")
    found = {name: value for name, value in os.environ.items() if needed.fullmatch(name)}
    if "PIP_INDEX_URL" in found:
        found.setdefault("UV_DEFAULT_INDEX", found["PIP_INDEX_URL"])
    if docker.is_own:
        found["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
    return found


SUBMITTED = {
    "requirements.txt": "iniconfig\n",
    "run.py": """
import os, time
from pathlib import Path

import iniconfig
from zenml import pipeline, step

here = "studio" if "LIGHTNING_ZENML_LAUNCH_DIR" in os.environ else "runner"


@step
def wait() -> None:
    print("running on the", here, flush=True)
    time.sleep(float(os.environ["SECONDS_OF_THE_STEP"]))


@pipeline(enable_cache=False)
def waiting():
    wait()


if __name__ == "__main__":
    print("compiled on the", here, "at", Path.cwd())
    waiting()
""",
}


@pytest.mark.slow
def test_submitted_from_the_runner(cloud: LightningCloud, step_of: StepOf, index: dict[str, str]) -> None:
    step = step_of(
        "--read-only",
        files=SUBMITTED,
        submit_from="runner",
        requirements="requirements.txt",
        env="SECONDS_OF_THE_STEP=0",
        variables=index,
    )
    before = files(step.workspace)
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert "compiled on the runner at /github/workspace" in finished.log
    assert "running on the studio" in finished.log
    assert finished.outputs["status"] == "completed"
    assert cloud.studio(finished.outputs["studio-name"]).deleted
    assert not [name for name in ("lightning-api-key", "zenml-store-api-key") if step.inputs[name] in finished.log]
    assert files(step.workspace) == before
    assert [*(step.root / "temp").iterdir(), *(step.root / "home").iterdir()] == []


@pytest.mark.slow
def test_cancel_of_what_was_submitted_from_the_runner(
    stack: Stack, cloud: LightningCloud, actions: Actions, step_of: StepOf, index: dict[str, str]
) -> None:
    inputs = {"submit_from": "runner", "env": "SECONDS_OF_THE_STEP=600"}
    step = step_of("--read-only", files=SUBMITTED, requirements="requirements.txt", variables=index, **inputs)
    finished = step.run(interrupt=cancel_at(step, "running on the studio", "SIGINT to the client"), post=False)
    assert finished.exit_code == 130, finished.log
    assert not cloud.running()
    assert cloud.studio(finished.outputs["studio-name"]).deleted
    assert stack.zenml.request("GET", f"runs/{finished.outputs['run-id']}")["body"]["status"] == "stopped"
    assert "cancelled" in actions.comment()
    assert list((step.root / "temp").iterdir()) == []


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


def cancel_at(step: ContainerStep, word: str, way: str) -> Callable[[str], signal.Signals | None]:
    """Cancels as a runner does, once a line of the log holds the word."""

    def cancel(line: str) -> signal.Signals | None:
        if word not in line:
            return None
        if way == "docker stop":
            threading.Thread(target=step.stop).start()
            return None
        return signal.SIGINT

    return cancel


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Owner and time of change of every file of a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_uid, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }
