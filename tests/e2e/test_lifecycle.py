"""A run from a laptop: what is refused before it costs, how it is followed, found again and stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Laptop, wait_for

RUN = """
import sys, time

from zenml import pipeline, step


@step(enable_cache=False)
def hang() -> None:
    time.sleep(600)


@pipeline(settings={"orchestrator.lightning": {"main_studio_name": "lasting", "async_mode": "async" in sys.argv}})
def lasting():
    hang()


if __name__ == "__main__":
    lasting()
"""

UNREACHABLE = """
from zenml.client import Client

import run

client = Client()
components = {"orchestrator": ("lightning", {"api_key": "some-key"}), "artifact_store": ("s3", {"path": "s3://bucket"})}
for kind, (flavor, configuration) in components.items():
    client.create_stack_component("remote", flavor, kind, configuration)
client.create_stack("remote", dict.fromkeys(components, "remote"))
client.activate_stack("remote")
run.lasting()
"""


@pytest.fixture
def laptop(laptop: Laptop) -> Laptop:
    (laptop.folder / "run.py").write_text(RUN)
    return laptop


def last_run(stack: Stack) -> dict[str, Any]:
    (run,) = stack.zenml.request("GET", "runs?sort_by=desc:created&size=1")["items"]
    return {"id": run["id"], **run["body"]}


@contextmanager
def lasting_run(laptop: Laptop) -> Iterator[str]:
    """A run that goes on in its studio, followed by nobody; stopped at the end."""
    laptop.run(sys.executable, "run.py", "async")
    run_id = last_run(laptop.stack)["id"]
    wait_for(lambda: last_run(laptop.stack)["status"] == "running")
    yield run_id
    laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--yes")
    assert last_run(laptop.stack)["status"] == "stopped"


def words(completed: subprocess.CompletedProcess[str]) -> str:
    return " ".join((completed.stdout + completed.stderr).split())


def test_ctrl_c_leaves_the_run_and_says_how_to_stop_it(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    before = stack.zenml.request("GET", "runs?size=1")["total"]
    # Tests that run in the background of a shell ignore Ctrl-C, and so would what they start.
    with laptop.start("env", "--default-signal=INT", sys.executable, "run.py") as process:
        wait_for(lambda: stack.zenml.request("GET", "runs?size=1")["total"] > before)
        wait_for(lambda: last_run(stack)["status"] == "running")
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate(timeout=300)

    run = last_run(stack)
    assert process.returncode != 0
    assert f"zenml pipeline runs stop {run['id']}" in " ".join(log.split())
    assert "Traceback" not in log
    assert run["status"] == "running"
    assert cloud.running() == ["lasting"]
    laptop.run("zenml", "pipeline", "runs", "stop", run["id"], "--yes")
    assert last_run(stack)["status"] == "stopped"


@pytest.mark.slow
def test_credentials_of_another_teamspace_leave_a_healthy_run_alone(cloud: LightningCloud, laptop: Laptop) -> None:
    elsewhere = {"LIGHTNING_ZENML_SETTINGS": json.dumps({"teamspace": "ada/sandbox", "organization": None})}
    with lasting_run(laptop) as run_id:
        refreshed = laptop.run("zenml", "pipeline", "runs", "refresh", "--include-steps", run_id, **elsewhere)

        assert last_run(laptop.stack)["status"] == "running"
        assert "can't be told" in words(refreshed)
        assert "the teamspace ada/sandbox" in words(refreshed)
        assert cloud.running() == ["lasting"]


@pytest.mark.slow
def test_all_that_is_wrong_with_a_stack_is_told_at_once(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    name = f"bad-{uuid4().hex[:6]}"
    laptop.run("zenml", "artifact-store", "register", name, "--flavor=local", f"--path={laptop.folder}/store")
    laptop.run("zenml", "orchestrator", "register", name, "--flavor=lightning")
    laptop.run("zenml", "stack", "register", name, "-o", name, "-a", name)
    studios, settings = len(cloud.studios), json.dumps({"machinetype": "cpu"})

    failed = laptop.run(
        sys.executable,
        "run.py",
        check=False,
        ZENML_ACTIVE_STACK_ID=stack.zenml.request("GET", f"stacks?name={name}")["items"][0]["id"],
        LIGHTNING_ZENML_SETTINGS=settings,
    )

    assert failed.returncode == 1
    message = words(failed)
    assert f"the artifact store `{name}` is local" in message
    assert "no setting `machinetype`; did you mean `machine_type`" in message
    assert "no Lightning API key" in message
    assert len(cloud.studios) == studios


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('{"machine_type": "cpu", "machinetyp": "cpu", "asynch_mode": True}', ["`machinetyp`", "`asynch_mode`"]),
        ('{"async_mode": True, "synchronous": True}', ["contradict each other"]),
    ],
)
def test_settings_that_make_no_sense_start_nothing(
    cloud: LightningCloud, laptop: Laptop, settings: str, told: list[str]
) -> None:
    script = laptop.folder / "run.py"
    given = '{"main_studio_name": "lasting", "async_mode": "async" in sys.argv}'
    script.write_text(script.read_text().replace(given, settings))
    studios = len(cloud.studios)

    failed = laptop.run(sys.executable, "run.py", check=False)

    assert failed.returncode == 1
    for text in told:
        assert text in words(failed)
    assert len(cloud.studios) == studios


def test_a_zenml_server_of_its_own_is_needed(cloud: LightningCloud, laptop: Laptop) -> None:
    """ZenML's local database is out of a studio's reach."""
    foreign = ("ZENML_STORE", "ZENML_ACTIVE")
    environment = {k: v for k, v in laptop.environment().items() if not k.startswith(foreign)}

    (laptop.folder / "unreachable.py").write_text(UNREACHABLE)
    studios = len(cloud.studios)

    failed = subprocess.run(
        [sys.executable, "unreachable.py"],
        cwd=laptop.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert failed.returncode == 1
    assert "require a remote ZenML server" in words(failed)
    assert len(cloud.studios) == studios
