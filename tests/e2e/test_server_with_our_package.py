"""What a ZenML server can do by itself where our package is installed on it, as its dashboard's buttons have it do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.lightning import Knobs
from localcloud.stack import ZENML_PACKAGES, Stack, services
from scene import Laptop, lightning_of, wait_for

RUN = """
import time
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step
def wait() -> None:
    time.sleep(600)


@pipeline(settings={"orchestrator.lightning": LightningOrchestratorSettings(machine_type="cpu", async_mode=True)})
def lasting():
    wait()


if __name__ == "__main__":
    lasting()
"""


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    knobs = Knobs(packages=ZENML_PACKAGES)
    with services(tmp_path / "services", github=False, knobs=knobs, server_has_our_package=True) as stack:
        folder = tmp_path / "laptop"
        folder.mkdir()
        (folder / "run.py").write_text(RUN)
        yield Laptop(stack, folder)


def newest_run(stack: Stack) -> dict[str, Any]:
    (run,) = stack.zenml.request("GET", "runs?sort_by=desc:created&size=1")["items"]
    return {"id": run["id"], **run["body"]}


@pytest.mark.slow
def test_the_server_refreshes_and_stops_runs_itself(laptop: Laptop) -> None:
    stack, cloud = laptop.stack, lightning_of(laptop.stack)
    laptop.run(sys.executable, "run.py")
    run = newest_run(stack)
    wait_for(lambda: newest_run(stack)["status"] == "running")
    stack.zenml.request("POST", f"runs/{run['id']}/refresh")
    assert newest_run(stack)["status"] == "running"
    stack.zenml.request("POST", f"runs/{run['id']}/stop")
    assert newest_run(stack)["status"] == "stopped"
    wait_for(lambda: not cloud.running())

    laptop.run(sys.executable, "run.py")
    run = newest_run(stack)
    wait_for(lambda: newest_run(stack)["status"] == "running")
    cloud.knobs.vanish = set(cloud.running())
    stack.zenml.request("POST", f"runs/{run['id']}/refresh")
    assert newest_run(stack)["status"] == "failed"
