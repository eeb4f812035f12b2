"""The orchestrator from a laptop: the documented way, on the stand-in for Lightning AI."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from localcloud.stack import Stack, client_environment

PROJECT = """
import json, os, sys

from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step(enable_cache=False)
def look() -> str:
    if os.environ.get("LINGER"):
        import time
        time.sleep(300)
    assert open("made_by_a_command").read() == "x"
    return os.environ.get("LIGHTNING_ZENML_STUDIO_NAME", "")


@pipeline
def laptop():
    look()


if __name__ == "__main__":
    settings = LightningOrchestratorSettings(**json.loads(sys.argv[1]))
    laptop.with_options(settings={"orchestrator.lightning": settings})()
"""


@pytest.fixture
def cloud(shared_services: Stack) -> Stack:
    return shared_services


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "run.py").write_text(PROJECT)
    return tmp_path


def run(cloud: Stack, project: Path, **settings: Any) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "run.py", json.dumps(settings)],
        cwd=project,
        env=client_environment(cloud),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout


def last_run(cloud: Stack) -> dict[str, Any]:
    page = cloud.zenml.request("GET", "runs?hydrate=true&sort_by=desc:created&size=1")
    run: dict[str, Any] = page["items"][0]
    return run


def is_idle(cloud: Stack) -> bool:
    assert cloud.lightning is not None
    return not cloud.lightning.running()


def test_waits_for_a_run_on_a_fresh_studio(cloud: Stack, project: Path) -> None:
    code, log = run(cloud, project, machine_type="cpu", custom_commands=["printf x > made_by_a_command"])

    assert code == 0, log
    assert "[look]" in log
    metadata = last_run(cloud)["metadata"]
    assert last_run(cloud)["body"]["status"] == "completed"
    assert metadata["run_metadata"]["orchestrator_url"].startswith("http")
    assert metadata["run_metadata"]["lightning_meter"]["price"] > 0
    assert metadata["orchestrator_run_id"] == metadata["run_metadata"]["orchestrator_run_id"]
    assert is_idle(cloud)


@pytest.mark.slow
def test_asynchronous_run_goes_on_by_itself(cloud: Stack, project: Path) -> None:
    code, log = run(cloud, project, async_mode=True, custom_commands=["printf x > made_by_a_command"])

    assert code == 0, log
    assert "The run goes on" in log
    deadline = time.monotonic() + 300
    while not (is_idle(cloud) and last_run(cloud)["body"]["status"] == "completed"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_failed_command_fails_the_run(cloud: Stack, project: Path) -> None:
    code, log = run(cloud, project, main_studio_name="mine", custom_commands=["exit 4"])

    assert code == 1
    assert "exit code 4" in log
    assert last_run(cloud)["body"]["status"] == "failed"
    assert is_idle(cloud)


def test_a_step_whose_machine_is_unknown_starts_nothing(cloud: Stack, project: Path) -> None:
    assert cloud.lightning is not None
    before = len(cloud.lightning.studios)
    script = project / "run.py"
    own = 'step(enable_cache=False, settings={"orchestrator": LightningOrchestratorSettings(machine_type="T5")})'
    script.write_text(script.read_text().replace("step(enable_cache=False)", own))

    code, log = run(cloud, project)

    assert code == 1
    assert "lightning-zenml: Not every step can have its machine. step `look`: Unknown machine 'T5'." in log
    assert "Traceback" not in log
    assert len(cloud.lightning.studios) == before


def test_a_setting_that_there_is_not_is_told_without_a_traceback(cloud: Stack, project: Path) -> None:
    code, log = run(cloud, project, machine_typ="T4")

    assert code == 1
    assert "lightning-zenml: The Lightning orchestrator has no setting `machine_typ`; did you mean" in log
    assert "Traceback" not in log


def test_unknown_machine_starts_nothing(cloud: Stack, project: Path) -> None:
    assert cloud.lightning is not None
    before = len(cloud.lightning.studios)

    code, log = run(cloud, project, machine_type="H1000")

    assert code == 1
    assert "Unknown machine 'H1000'" in log
    assert last_run(cloud)["body"]["status"] == "failed"
    assert len(cloud.lightning.studios) == before


def zenml(cloud: Stack, *command: str) -> str:
    """Runs ZenML's CLI as a person would."""
    environment = client_environment(cloud)
    program = [str(Path(sys.executable).parent / "zenml"), *command]
    done = subprocess.run(program, env=environment, input="y\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def linger(cloud: Stack, project: Path) -> None:
    """Leaves a run with a step that lasts."""
    code, log = run(
        cloud,
        project,
        async_mode=True,
        main_studio_name="mine",
        environment={"LINGER": "yes"},
        custom_commands=["printf x > made_by_a_command"],
    )
    assert code == 0, log
    wait_for_status(cloud, "running")


def wait_for_status(cloud: Stack, status: str) -> None:
    deadline = time.monotonic() + 300
    while last_run(cloud)["body"]["status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_until_idle(cloud: Stack) -> None:
    deadline = time.monotonic() + 300
    while not is_idle(cloud):
        assert time.monotonic() < deadline
        time.sleep(0.2)


BEING_LAUNCHED = """
from zenml import pipeline
from zenml.pipelines.run_utils import create_placeholder_run
from run import laptop


@pipeline(dynamic=True)
def waits_for_approval():
    pass


made = [create_placeholder_run(one.create_snapshot(name=None)).id for one in (waits_for_approval, laptop)]
print(*made)
"""


@pytest.mark.slow
def test_a_refresh_leaves_a_run_alone_that_has_no_launch_at_the_moment(cloud: Stack, project: Path) -> None:
    (project / "prepare.py").write_text(BEING_LAUNCHED)
    done = subprocess.run(
        [sys.executable, "prepare.py"],
        cwd=project,
        env=client_environment(cloud),
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    paused_id, run_id = done.stdout.split()[-2:]
    before = last_run(cloud)["body"]["status"]

    zenml(cloud, "pipeline", "runs", "refresh", "--include-steps", run_id)

    assert last_run(cloud)["id"] == run_id
    assert last_run(cloud)["body"]["status"] == before == "initializing"
    # Of a run that waits for an approval, or is about to go on after one, the last launch is over and the studio gone.
    path = f"runs/{paused_id}"
    cloud.zenml.request("PUT", path, {"orchestrator_run_id": "zenml-gone-01234567-89abcdef"})
    cloud.zenml.request("PUT", path, {"status": "running"})
    for status in ("paused", "resuming"):
        cloud.zenml.request("PUT", path, {"status": status})
        zenml(cloud, "pipeline", "runs", "refresh", "--include-steps", paused_id)
        assert cloud.zenml.request("GET", path)["body"]["status"] == status


def test_a_running_run_is_refreshed_and_stopped_by_force(cloud: Stack, project: Path) -> None:
    linger(cloud, project)
    run_id = last_run(cloud)["id"]
    zenml(cloud, "pipeline", "runs", "refresh", run_id)
    assert last_run(cloud)["body"]["status"] == "running"

    zenml(cloud, "pipeline", "runs", "stop", run_id)

    assert last_run(cloud)["body"]["status"] == "stopped"
    wait_until_idle(cloud)


def test_a_graceful_stop_is_the_controllers(cloud: Stack, project: Path) -> None:
    linger(cloud, project)

    zenml(cloud, "pipeline", "runs", "stop", "--graceful", last_run(cloud)["id"])

    wait_for_status(cloud, "stopped")
    wait_until_idle(cloud)


@pytest.mark.slow
def test_a_graceful_stop_ends_commands_before_there_is_a_controller(cloud: Stack, project: Path) -> None:
    settings = json.dumps({"custom_commands": ["echo $((20 + 22)) commands; sleep 600"]})
    asked, log = False, ""
    with subprocess.Popen(
        [sys.executable, "run.py", settings],
        cwd=project,
        env=client_environment(cloud),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        for line in client.stdout or ():
            log += line
            if "42 commands" in line and not asked:
                asked = True
                zenml(cloud, "pipeline", "runs", "stop", "--graceful", last_run(cloud)["id"])
        assert client.wait(timeout=300) == 1

    assert "The run was stopped." in log
    assert last_run(cloud)["body"]["status"] == "stopped"
    wait_until_idle(cloud)


def test_a_run_whose_studio_was_stopped_is_found_failed_by_a_refresh(cloud: Stack, project: Path) -> None:
    linger(cloud, project)
    lightning = cloud.lightning
    assert lightning is not None
    lightning.knobs.auto_sleep_seconds = 0
    wait_until_idle(cloud)
    lightning.knobs.auto_sleep_seconds = 600

    zenml(cloud, "pipeline", "runs", "refresh", "--include-steps", last_run(cloud)["id"])

    assert last_run(cloud)["body"]["status"] == "failed"
