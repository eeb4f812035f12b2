"""`lightning-zenml sweep` tells what is left from what is in use, and from what nobody can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli_scene import Runs, Shell, launch
from lightning_api import credentials, eventually
from lightning_zenml.launch.launcher import Launch
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.pipeline import LightningPipeline
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.spec import KeepStudio, Phase
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack


@pytest.fixture(scope="module")
def runs(shared_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs.make(shared_services, tmp_path_factory.mktemp("runs"), 4)


@pytest.fixture
def cloud(shared_services: Stack) -> Iterator[LightningCloud]:
    assert shared_services.lightning is not None
    yield shared_services.lightning
    for pipeline in shared_services.lightning.pipelines:
        if pipeline.deleted is None:
            shared_services.lightning._pipelines.delete(pipeline)
    shared_services.lightning.delete_everything()


@pytest.fixture
def lightning(cloud: LightningCloud) -> Lightning:
    return Lightning.connect(credentials(cloud), url=cloud.url)


@pytest.fixture
def shell(shared_services: Stack, tmp_path: Path) -> Shell:
    return Shell(shared_services, tmp_path)


def kill(lightning: Lightning, launch: Launch) -> None:
    """All of it, so that nobody is there any more who gives the studio back."""
    folder = f"$HOME/{layout.HOME}/{layout.launch(launch.id)}"
    guardian, supervisor = f"$(cut -d ' ' -f 1 {folder}/{layout.GUARDIAN})", f"$(cat {folder}/{layout.PID})"
    studio = Studio.find(lightning, launch.studio_name)
    assert studio is not None
    session = f"-$(cat {folder}/{layout.SESSION})"
    # Of a session, the process groups: `sleep` has that of its bash.
    assert studio.run(f"kill -9 -- {guardian} {supervisor} {session}; true").exit_code == 0
    assert not launch.is_under_way()


def is_running(launch: Launch) -> bool:
    return launch.status().phase is Phase.RUNNING


def verdicts(swept: list[dict[str, Any]]) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in swept}


def test_what_is_left_is_ended_and_nothing_else(
    cloud: LightningCloud, lightning: Lightning, runs: Runs, shell: Shell, tmp_path: Path
) -> None:
    goes_on = launch(lightning, tmp_path, "sleep 600")
    killed = launch(lightning, tmp_path, "sleep 600")
    kept = launch(lightning, tmp_path, "sleep 600", keep_studio=KeepStudio.KEEP)
    for one in (killed, kept):
        eventually(partial(is_running, one))
        kill(lightning, one)
    stranger = Studio.create(lightning, f"notebook-{uuid4().hex[:8]}", cluster=None)
    machine = Catalog(lightning, stranger.cluster).choose(("cpu",))
    stranger.start(machine)

    def job(launch_id: str, run_id: str) -> Job:
        token = f"{launch_id}-{run_id[:8]}-{'0' * 8}-01"
        spec = JobSpec(name=f"job-{uuid4().hex[:8]}", command="sleep 600", machine=machine, token=token)
        return Job.run(lightning, stranger, spec)

    ended, lasting = runs.of("zenml-gone-00000000-00000001", "failed"), runs.of(goes_on.id)
    left = job("zenml-gone-00000000-00000001", ended["id"])
    used = job(goes_on.id, lasting["id"])
    unknown = job("zenml-gone-00000000-00000002", uuid4().hex)

    found = shell.json("sweep", "--all")

    told = verdicts(found)
    assert told == {
        **dict.fromkeys([killed.studio_name, left.name], "left"),
        **dict.fromkeys([goes_on.studio_name, kept.studio_name, used.name], "in use"),
        unknown.name: "unsure",
    }, found
    assert {one["action"] for one in found if one["name"] in (killed.studio_name, left.name)} == {"delete"}
    running = cloud.running()

    swept = shell.run("sweep").stdout
    assert "Nothing was touched" in swept
    assert f"{lightning.page}/jobs/{unknown.name}" in swept
    assert goes_on.studio_name not in swept
    assert cloud.running() == running

    assert verdicts(shell.json("sweep", "--yes")) == {
        killed.studio_name: "ended",
        left.name: "ended",
        unknown.name: "unsure",
    }
    assert sorted(set(running) - set(cloud.running())) == sorted([killed.studio_name, left.name])
    assert goes_on.is_under_way()


@pytest.mark.slow
def test_a_stopped_studio_is_left_where_its_record_and_zenml_say_so(
    cloud: LightningCloud, lightning: Lightning, runs: Runs, shell: Shell, tmp_path: Path
) -> None:
    made = launch(lightning, tmp_path, "sleep 600")
    eventually(partial(is_running, made))
    kill(lightning, made)
    studio = Studio.find(lightning, made.studio_name)
    assert studio is not None
    studio.stop()
    eventually(lambda: studio.state().stopped)

    assert verdicts(shell.json("sweep", "--all"))[studio.name] == "in use"
    run = runs.of(made.id)
    assert verdicts(shell.json("sweep"))[studio.name] == "unsure"
    shell.stack.zenml.request("PUT", f"runs/{run['id']}", {"status": "failed"})
    assert verdicts(shell.json("sweep"))[studio.name] == "left"

    shell.run("sweep", "--yes")
    assert cloud.studio(studio.name).deleted


def test_a_named_studio_is_only_stopped_and_only_where_nobody_may_work_there(
    cloud: LightningCloud, lightning: Lightning, shell: Shell, tmp_path: Path
) -> None:
    name = f"named-{uuid4().hex[:8]}"
    killed = launch(lightning, tmp_path, "sleep 600", studio_name=name)
    eventually(partial(is_running, killed))
    kill(lightning, killed)
    assert verdicts(shell.json("sweep", "--all"))[name] == "in use"

    lease = cloud.studio(name).home / layout.HOME / layout.LEASE
    lease.write_text(json.dumps({**json.loads(lease.read_text()), "heartbeat": 0.0}))
    assert verdicts(shell.json("sweep"))[name] == "unsure"

    cloud.studio(name).disable_auto_shutdown = True
    assert [one["action"] for one in shell.json("sweep", "--yes") if one["name"] == name] == ["stop"]
    assert name not in cloud.running()
    assert not cloud.studio(name).deleted


def test_a_pipeline_whose_schedule_is_deleted_goes_with_its_studio(
    cloud: LightningCloud, lightning: Lightning, runs: Runs, shell: Shell
) -> None:
    def schedule(snapshot_id: str) -> str:
        name = f"zenml-nightly-{uuid4().hex[:8]}"
        studio = Studio.create(lightning, name, cluster=None)
        machine = Catalog(lightning, studio.cluster).choose(("cpu",))
        spec = JobSpec(name=name, command=f"true --snapshot-id {snapshot_id}", machine=machine, token=name)
        LightningPipeline.create(lightning, studio, spec).schedule("0 0 1 1 *", name="nightly")
        return name

    ours, anothers = schedule(runs.spare[0][2]), schedule(str(uuid4()))

    told = verdicts(shell.json("sweep"))
    assert told == {ours: "left", anothers: "unsure"}

    shell.run("sweep", "--yes")
    assert cloud.studio(ours).deleted
    assert not cloud.studio(anothers).deleted
    assert [schedule.pipeline.name for schedule in cloud.schedules] == [anothers]


@pytest.mark.slow
def test_what_can_not_be_ended_is_told(
    cloud: LightningCloud, lightning: Lightning, shell: Shell, tmp_path: Path
) -> None:
    killed = launch(lightning, tmp_path, "sleep 600")
    eventually(partial(is_running, killed))
    kill(lightning, killed)
    cloud.knobs.fail.append(("DELETE", f".*/cloudspaces/{cloud.studio(killed.studio_name).id}", 403, 100))
    try:
        failed = shell.run("sweep", "--yes", code=1)
    finally:
        cloud.knobs.fail.clear()

    assert "stays" in failed.stdout
    assert killed.studio_name in failed.stderr
    assert killed.studio_name in cloud.running()
