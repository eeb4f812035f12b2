"""What the launch's core makes of a platform whose answers are late, lost, cut short, doubled or wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_api import QUICK, eventually, lent
from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.lightning import LightningCloud


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud, **QUICK) as cloud:
        yield cloud


def test_a_variable_debug_prints_no_keys(cloud: LightningCloud) -> None:
    script = (
        "import os\n"
        "from lightning_zenml.launch.lightning.client import Credentials, Lightning\n"
        "print(Lightning.connect(Credentials.resolve(os.environ)).teamspace)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **cloud.environment, "DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == "vision\n"
    assert "authorization" not in done.stderr.lower()


@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    archive = pack(Repository.open(repository))
    return LaunchSpec(name="faults", owner="a test", archive=archive, command="sleep 1; cat hello.txt")


@pytest.mark.parametrize("fault", ["cut", "502", "404"])
@pytest.mark.parametrize("route", [("POST", "/execute$"), ("GET", "/stream$")])
def test_an_answer_that_breaks_off_or_knows_no_session_ends_no_run(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, route: tuple[str, str], fault: str
) -> None:
    launch = Launcher(lightning).launch(spec)
    cloud.knobs.waits_for_commands = route[0] == "POST"
    cloud.knobs.spoil_answers.append((*route, fault))
    *_, last = launch.follow()
    assert last.status.succeeded
    assert cloud.knobs.spoil_answers == []
    launch.release()


def test_no_call_is_made_again_after_the_launchs_deadline(cloud: LightningCloud, lightning: Lightning) -> None:
    cloud.knobs.spoil_answers += [("GET", "/cloudspaces$", "502")] * 2

    with lightning.until(time.monotonic()), pytest.raises(ApiError):
        Studio.find(lightning, "any")
    assert len(cloud.knobs.spoil_answers) == 1

    assert Studio.find(lightning, "any") is None
    assert cloud.knobs.spoil_answers == []


def test_a_start_that_was_carried_out_is_ours_though_its_answer_was_an_error(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.spoil_answers.append(("POST", "/start$", "502"))
    launch = Launcher(lightning).launch(replace(spec, studio_name="started"))
    assert cloud.knobs.spoil_answers == []
    list(launch.follow())
    launch.release()
    eventually(lambda: not cloud.running())
    assert cloud.studio("started").deleted is None
