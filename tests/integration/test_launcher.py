"""Launches on the stand-in for Lightning AI: real HTTP, real processes, the real client of lightning-sdk.

No launch here asks for packages, so each takes seconds; installs are the business of tests/e2e.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import random
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tenacity

from lightning_api import credentials, eventually, lent
from lightning_zenml.launch import attempt
from lightning_zenml.launch import launch as launch_module
from lightning_zenml.launch.errors import (
    CredentialsError,
    LaunchError,
    MachineError,
    StudioError,
    StudioLostError,
    TeamspaceError,
)
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.launcher import Hold, Launch, Launcher, Limits
from lightning_zenml.launch.lightning import failures
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.lightning.failures import ApiError
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.spec import KeepStudio, LaunchSpec, Phase, Status, Update
from lightning_zenml.launch.studio.remote import Remote
from lightning_zenml.package.archive import Archive, pack
from lightning_zenml.package.repository import Repository
from localcloud.lightning import LightningCloud

LIMITS = Limits(start=120, setup=120, switch=120, lost_switch=20)


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud) as cloud:
        yield cloud


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    return pack(Repository.open(repository))


@pytest.fixture
def spec(archive: Archive) -> LaunchSpec:
    return LaunchSpec(name="My Model!", owner="a test", archive=archive, command="cat hello.txt")


def follow(launch: Launch) -> tuple[Status, str]:
    updates: list[Update] = list(launch.follow())
    return updates[-1].status, "".join(update.log for update in updates)


def launch(lightning: Lightning, spec: LaunchSpec, **options: Any) -> Launch:
    return Launcher(lightning, **{"limits": LIMITS, **options}).launch(spec)


def stop_by_hand(lightning: Lightning, hold: Hold) -> None:
    Launcher(lightning).resume(replace(hold, release=Release.STOP, leased=False)).release()


# A launch from start to end


def test_a_fresh_studio_runs_the_command_and_is_deleted(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    started = launch(lightning, spec)
    assert started.studio_name.startswith("zenml-my-model-")
    assert started.studio_url == f"{cloud.url}/acme/vision/studios/{started.studio_name}/code"
    status, log = follow(started)
    started.release()
    assert status.succeeded
    assert "hello" in log
    assert cloud.studio(started.studio_name).deleted
    assert started.cost is not None
    assert 0 < started.cost < 0.01


@pytest.mark.parametrize("waits", [True, False])
def test_silence_is_told_without_calls_and_its_end_whether_lightning_waits_for_commands_or_not(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    cloud.knobs.waits_for_commands = waits
    monkeypatch.setattr(launch_module, "_TICK", 0.01)
    started = launch(lightning, replace(spec, command="while ! test -e ~/go; do sleep 0.1; done; echo went"))
    told: list[int] = []
    log = ""
    for update in started.follow():
        log += update.log
        told.append(len(cloud.requests))
        if len(told) > 9 and len(set(told[-9:])) == 1:
            (cloud.studio(started.studio_name).home / "go").touch()
    started.release()
    assert update.status.succeeded
    assert log.endswith("went\n")


def test_secrets_are_in_no_command_and_no_telemetry(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    before = len(cloud.requests)
    started = launch(lightning, replace(spec, environment={"MY_TOKEN": "hunter2hunter2"}, command='test "$MY_TOKEN"'))
    status, log = follow(started)
    started.release()
    assert status.succeeded
    assert "hunter2" not in log
    leaks = [
        request.path
        for request in cloud.requests[before:]
        if "hunter2hunter2" in f"{request.body!r}" and "/storage/" not in request.path
    ]
    assert leaks == []
    assert not [request for request in cloud.requests if "command-history" in request.path]


def test_an_asynchronous_launch_ends_and_cleans_up_without_a_client(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    started = launch(lightning, replace(spec, command="sleep 1"))
    started.leave()
    eventually(lambda: cloud.studio(started.studio_name).deleted)


def test_where_lightning_refuses_the_client_the_payload_ends_the_jobs_before_its_studio(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    started = launch(lightning, replace(spec, command="touch ../jobs.jsonl"))
    studio = Studio(lightning, id=started.hold.studio_id, name=started.studio_name, cluster=started.hold.cluster)
    machine = Catalog(lightning, None).machine("CPU")
    for name in ("left", "too"):
        Job.run(
            lightning, studio, JobSpec(name=name, command="sleep 300", machine=machine, token=f"{started.id}-{name}")
        )
    cloud.knobs.page_size = 1
    # Six tries of the client for each of them, and two of the payload.
    cloud.knobs.fail.append(("DELETE", "/jobs/", 503, 14))
    with pytest.raises(LaunchError, match="503"):
        started.release()
    eventually(lambda: cloud.studio(started.studio_name).deleted)
    assert [cloud.job(name).deleted is None for name in ("left", "too")] == [False, False]


def test_the_archive_is_uploaded_once(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    told: list[str] = []
    for _ in range(2):
        started = launch(lightning, replace(spec, studio_name="reused"), notify=told.append)
        assert follow(started)[0].succeeded
        started.release()
        eventually(lambda: not cloud.running())
    assert len([text for text in told if text.startswith("Uploading")]) == 1
    assert len([text for text in told if "is on reused already" in text]) == 1


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A repository of several parts."""
    root = tmp_path / "large"
    root.mkdir()
    for number in range(60):
        (root / f"file-{number}").write_bytes(random.Random(number).randbytes(100_000))
    return root


def hashes(log: str) -> set[str]:
    return set(re.findall("^([0-9a-f]{64})  file-", log, re.MULTILINE))


def test_what_has_changed_is_uploaded_alone(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, large: Path
) -> None:
    told: list[str] = []
    spec = replace(spec, studio_name="changed", keep_studio=KeepStudio.KEEP, command="sha256sum file-*")
    for content in ("first", "second"):
        (large / "file-7").write_text(content)
        started = launch(lightning, replace(spec, archive=pack(Repository.open(large))), notify=told.append)
        status, log = follow(started)
        assert status.succeeded
        assert hashes(log) == {hashlib.sha256(path.read_bytes()).hexdigest() for path in large.iterdir()}
        started.release()
    sent = [int(found[1]) for text in told if (found := re.match(r"Uploading (\d+) of 60 files", text))]
    assert sent[0] == 60
    assert 1 <= sent[1] <= 20
    stop_by_hand(lightning, started.hold)


def test_what_is_missing_or_broken_on_the_studio_is_uploaded_again(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, large: Path
) -> None:
    told: list[str] = []
    archive = pack(Repository.open(large))
    spec = replace(spec, studio_name="broken", keep_studio=KeepStudio.KEEP, command="sha256sum file-*", archive=archive)

    def lose_some(text: str) -> None:
        # After the look at what is there.
        told.append(text)
        if text.startswith("Starting"):
            parts = sorted((cloud.studio("broken").home / ".lightning_zenml/parts").glob("*"))
            for part, damage in zip(parts, (b"cut", None), strict=False):
                part.unlink()
                if damage:
                    part.write_bytes(damage)

    for notify in (told.append, lose_some):
        started = launch(lightning, spec, notify=notify)
        status, log = follow(started)
        assert status.succeeded
        assert len(hashes(log)) == 60
        started.release()
    assert len([text for text in told if text.startswith("2 parts of the archive are not whole")]) == 1
    stop_by_hand(lightning, started.hold)


# What becomes of the studio


def test_a_named_studio_is_created_and_left_stopped(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    for _ in ("created", "started"):
        started = launch(lightning, replace(spec, studio_name="created-here"))
        assert follow(started)[0].succeeded
        started.release()
        eventually(lambda: not cloud.running())
    assert len([studio for studio in cloud.studios if studio.name == "created-here"]) == 1
    assert not cloud.studio("created-here").deleted


def test_a_studio_that_we_started_is_stopped_though_it_seemed_lost(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.fail = [("POST", r"/execute$", 404, 1)]
    started = launch(lightning, replace(spec, studio_name="seemed-lost"))
    assert started.hold.release == "stop"
    started.stop(grace=1)


def test_a_studio_that_is_just_stopping_is_started_again(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.stop_seconds = 1
    for _ in range(2):
        started = launch(lightning, replace(spec, studio_name="stopping"))
        assert follow(started)[0].succeeded
        started.release()


def test_a_running_studio_is_left_running_on_its_machine(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    before = len(cloud.requests)
    kept = launch(lightning, replace(spec, studio_name="kept", keep_studio=KeepStudio.KEEP))
    follow(kept)
    kept.release()
    assert cloud.running() == ["kept"]
    for machines in ((), ("cpu",)):
        again = launch(lightning, replace(spec, studio_name="kept", machines=machines))
        assert follow(again)[0].succeeded
        again.release()
        assert cloud.running() == ["kept"]
    assert not [request for request in cloud.requests[before:] if request.path.endswith("/switch-confirm")]
    stop_by_hand(lightning, again.hold)


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_a_studio_that_somebody_else_starts_keeps_its_machine_where_none_is_asked_for(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, moment: str
) -> None:
    studio = Studio.create(lightning, f"theirs-{moment}", cluster=None)
    cloud.knobs.start_seconds = 1

    def start(text: str) -> None:
        if "Starting theirs" in text:
            studio.start(Catalog(lightning, None).machine("T4"))

    if moment == "before":
        start("Starting theirs")
    started = launch(lightning, replace(spec, studio_name=studio.name), notify=start)
    assert started.machine == "T4"
    assert cloud.studio(studio.name).machine == "T4"
    started.stop(grace=1)
    studio.stop()


@pytest.mark.parametrize("raises", [False, True], ids=["asked", "refused-and-made-all-the-same"])
def test_a_running_studio_is_switched_to_the_machine_asked_for(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, raises: bool
) -> None:
    name = f"switched-{raises}".lower()
    kept = launch(lightning, replace(spec, studio_name=name, keep_studio=KeepStudio.KEEP))
    follow(kept)
    kept.release()
    cloud.knobs.switch_raises_then_switches = raises
    switched = launch(lightning, replace(spec, studio_name=name, machines=("t4",), command="nvidia-smi -L"))
    status, log = follow(switched)
    assert status.succeeded
    assert "GPU 0" in log
    assert switched.machine == "T4"
    switched.release()
    stop_by_hand(lightning, switched.hold)


@pytest.mark.parametrize(("keep", "deleted"), [(KeepStudio.DELETE, True), (KeepStudio.STOP, False)])
def test_keep_studio_overrides(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, keep: KeepStudio, deleted: bool
) -> None:
    name = f"keep-{keep}"
    started = launch(lightning, replace(spec, studio_name=name, keep_studio=keep))
    follow(started)
    started.release()
    eventually(lambda: not cloud.running())
    assert bool(cloud.studio(name).deleted) is deleted


def test_a_second_launch_waits_for_the_lease_and_says_for_whom(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    first = launch(lightning, replace(spec, studio_name="leased", owner="Ada's laptop", command="sleep 4"))
    told: list[str] = []
    outcome: list[Status] = []

    def second() -> None:
        started = launch(lightning, replace(spec, studio_name="leased"), notify=told.append)
        outcome.append(follow(started)[0])
        started.release()

    thread = threading.Thread(target=second)
    thread.start()
    eventually(lambda: any("Ada's laptop" in text for text in told))
    assert follow(first)[0].succeeded
    first.release()
    thread.join(300)
    assert [status.succeeded for status in outcome] == [True]


def test_launches_stand_in_line_however_often_the_studio_is_put_back(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_RESTARTS", 2)
    outcome: list[bool] = []

    def one() -> None:
        started = launch(lightning, replace(spec, studio_name="crowded", command="sleep 1"))
        outcome.append(follow(started)[0].succeeded)
        started.release()

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert outcome == [True] * 5
    eventually(lambda: not cloud.running())


def test_a_studio_stays_awake_and_leased_while_the_launch_is_made_ready(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, settled: Studio
) -> None:
    def wait_for_beats(text: str) -> None:
        if text.startswith("Uploading"):
            before, renewed = len(cloud.requests), lease_of(cloud, settled).read_text()
            eventually(lambda: any(one.path.endswith("/keep-alive") for one in cloud.requests[before:]))
            eventually(lambda: lease_of(cloud, settled).read_text() != renewed)

    launcher = Launcher(lightning, notify=wait_for_beats, limits=replace(LIMITS, beat=0.1))
    started = launcher.launch(replace(spec, studio_name=settled.name))
    assert follow(started)[0].succeeded
    started.release()


@pytest.mark.parametrize("keep", [KeepStudio.DELETE, KeepStudio.STOP])
def test_a_launch_that_ends_while_it_waits_leaves_the_studio_to_the_other(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, keep: KeepStudio
) -> None:
    name = f"shared-{keep}"
    first = launch(lightning, replace(spec, studio_name=name, command="while ! test -e ~/go; do sleep 0.1; done"))

    def interrupt(hold: Hold) -> None:
        # Before it knows of the other: the lease comes after set-up.
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(lightning, replace(spec, studio_name=name, keep_studio=keep), on_hold=interrupt)
    assert cloud.running() == [name]
    (cloud.studio(name).home / "go").touch()
    assert follow(first)[0].succeeded
    first.release()


def test_a_studio_that_somebody_else_made_a_moment_before_is_not_deleted(
    cloud: LightningCloud, lightning: Lightning
) -> None:
    theirs = Studio.create(lightning, "raced", cluster=None)
    cloud.knobs.fail = [("POST", r"/runs$", 400, 5)]
    ours = Studio.create(lightning, "raced", cluster=None)
    assert ours.id == theirs.id
    assert not cloud.studio("raced").deleted


@pytest.mark.parametrize("by", ["a launch", "a person"])
def test_a_launch_that_has_ended_leaves_its_studio_to_whoever_started_it_again(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, by: str
) -> None:
    name = f"again-by-{by[2:]}"
    ended = launch(lightning, replace(spec, studio_name=name))
    ended.leave()
    eventually(lambda: not cloud.running())
    if by == "a launch":
        other = launch(lightning, replace(spec, studio_name=name, command="sleep 300"))
    else:
        studio = Studio.find(lightning, name)
        assert studio is not None
        studio.start(Catalog(lightning, None).machine("CPU"))
        eventually(lambda: studio.state().running)
    asked = len(cloud.requests)
    late = Launcher(lightning).attach(ended.id)
    assert follow(late)[0].succeeded
    late.release()
    assert not [request.path for request in cloud.requests[asked:] if request.path.endswith("/stop")]
    assert cloud.running() == [name]
    if by == "a launch":
        other.stop(grace=1)
    else:
        stop_by_hand(lightning, ended.hold)


# What goes wrong before anything costs


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"api_key": "wrong"}, CredentialsError, "refuses the API key"),
        ({"teamspace": "nowhere"}, TeamspaceError, "none matches"),
        ({"organization": "strangers"}, TeamspaceError, "no organization 'strangers'"),
    ],
)
def test_wrong_credentials_say_what_is_wrong(
    cloud: LightningCloud, changes: dict[str, str], error: type[LaunchError], words: str
) -> None:
    with pytest.raises(error, match=words):
        Lightning.connect(credentials(cloud, **changes), url=cloud.url)


@pytest.mark.parametrize(
    ("given", "owner"),
    [
        ({"teamspace": "ada/sandbox", "organization": None}, "ada"),
        ({"teamspace": "sandbox", "organization": None}, "ada"),
        ({"teamspace": "sandbox", "organization": None, "username": "ada"}, "ada"),
        ({"teamspace": "acme/vision", "organization": None}, "acme"),
        ({"teamspace": "vision", "organization": None}, "acme"),
    ],
    ids=str,
)
def test_a_teamspace_is_found_by_name_with_or_without_its_owner(
    cloud: LightningCloud, given: dict[str, str | None], owner: str
) -> None:
    lightning = Lightning.connect(credentials(cloud, **given), url=cloud.url)
    assert (lightning.owner, lightning.teamspace) == (owner, str(given["teamspace"]).rpartition("/")[2])


def test_several_teamspaces_and_none_named_is_an_error(cloud: LightningCloud) -> None:
    with pytest.raises(TeamspaceError, match=r"several match.*sandbox, vision"):
        Lightning.connect(credentials(cloud, teamspace=None, organization=None), url=cloud.url)


def test_there_must_be_a_key() -> None:
    with pytest.raises(CredentialsError, match="LIGHTNING_API_KEY"):
        Credentials.resolve({})


def test_a_scoped_key_is_a_bearer_token(cloud: LightningCloud) -> None:
    lightning = Lightning.connect(credentials(cloud, user_id=None), url=cloud.url)
    assert lightning.teamspace == cloud.teamspace


def test_an_unknown_machine_is_refused_with_the_nearest_names_before_anything_is_started(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    studios = len(cloud.studios)
    with pytest.raises(MachineError, match=r"Unknown machine 'H10'.*Did you mean.*H100.* and \d+ more; or cpu, gpu"):
        launch(lightning, replace(spec, machines=("H10",)))
    assert len(cloud.studios) == studios


def test_the_next_machine_is_taken_when_the_first_is_out_of_capacity(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.out_of_capacity = {"L4"}
    started = launch(lightning, replace(spec, machines=("l4", "t4")))
    assert started.machine == "T4"
    follow(started)
    started.release()


def test_the_next_machine_is_taken_when_the_first_never_comes(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.never_come = {"L4"}
    before, told = len(cloud.studios), list[str]()
    launcher = Launcher(lightning, limits=replace(LIMITS, start=10), notify=told.append)
    started = launcher.launch(replace(spec, machines=("l4", "t4"), command="nvidia-smi -L"))
    assert started.machine == "T4"
    assert [bool(studio.deleted) for studio in cloud.studios[before:]] == [True, False]
    assert any(text.startswith("No L4 for the studio") and text.endswith("Next: T4") for text in told)
    status, log = follow(started)
    assert status.succeeded
    assert "NVIDIA T4" in log
    started.release()


def test_the_next_machine_is_taken_when_the_first_comes_up_as_another(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.gpu_comes_up_as_cpu = True
    for name in (None, "mistaken"):
        started = launch(lightning, replace(spec, machines=("t4", "cpu"), studio_name=name))
        assert started.machine == "CPU"
        follow(started)
        started.release()


def test_the_next_machine_is_taken_when_lightning_refuses_to_start_the_first(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    for name in (None, "refused"):
        before = len(cloud.studios)
        cloud.knobs.fail = [("POST", r"/start$", 400, 2)]
        started = launch(lightning, replace(spec, machines=("l4", "t4"), studio_name=name))
        assert started.machine == "T4"
        assert [bool(studio.deleted) for studio in cloud.studios[before:]] == ([False] if name else [True, False])
        follow(started)
        started.release()
    cloud.knobs.fail = [("POST", r"/start$", 400, 2)]
    with pytest.raises(MachineError, match="Lightning doesn't start L4: failure on demand"):
        launch(lightning, replace(spec, machines=("l4",)))


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_named_studio_takes_the_next_machine_when_the_first_never_comes(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, state: str
) -> None:
    name = f"patient-{state}"
    keep = KeepStudio.KEEP if state == "running" else KeepStudio.AUTO
    before = launch(lightning, replace(spec, studio_name=name, keep_studio=keep))
    follow(before)
    before.release()
    cloud.knobs.never_come = {"L4"}
    launcher = Launcher(lightning, limits=replace(LIMITS, start=10, switch=10))
    started = launcher.launch(replace(spec, studio_name=name, machines=("l4", "t4"), command="nvidia-smi -L"))
    assert started.machine == "T4"
    status, log = follow(started)
    assert status.succeeded
    assert "NVIDIA T4" in log
    started.release()
    eventually(lambda: (name in cloud.running()) == (state == "running"))
    stop_by_hand(lightning, started.hold)


def test_a_switch_that_comes_to_nothing_is_taken_back(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    kept = launch(lightning, replace(spec, studio_name="settled", keep_studio=KeepStudio.KEEP))
    follow(kept)
    kept.release()
    cloud.knobs.never_come = {"L4"}
    with pytest.raises(MachineError, match="Can't switch the studio 'settled' to L4"):
        Launcher(lightning, limits=replace(LIMITS, switch=1)).launch(
            replace(spec, studio_name="settled", machines=("l4",))
        )
    assert cloud.running() == ["settled"]
    assert cloud.studio("settled").requested is None
    stop_by_hand(lightning, kept.hold)


@pytest.fixture
def settled(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> Iterator[Studio]:
    """A studio that somebody has running."""
    studio = Studio.create(lightning, f"settled-{secrets.token_hex(4)}", cluster=None)
    studio.start(Catalog(lightning, None).machine("CPU"))
    eventually(lambda: studio.state().running)
    yield studio
    cloud.knobs.fail.clear()
    studio.stop()


def lease_of(cloud: LightningCloud, studio: Studio) -> Path:
    return cloud.studio(studio.name).home / ".lightning_zenml/lease.json"


class Cancelled(BaseException):
    """The test's own interrupt."""


class Response(io.RawIOBase):
    """Interrupted while it is finalized, when Python drops what the signal's handler raises."""

    def close(self) -> None:
        if not self.closed:
            signal.raise_signal(signal.SIGINT)
        super().close()


@pytest.mark.parametrize("end", ["cancelled", "cancelled, and the exception lost", "refused"])
def test_a_switch_that_is_not_waited_for_any_more_is_taken_back(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, settled: Studio, end: str
) -> None:
    cloud.knobs.never_come = {"T4"}

    def end_it() -> None:
        eventually(lambda: cloud.studio(settled.name).requested)
        if end == "refused":
            cloud.knobs.fail = [("GET", r"/codestatus$", 403, 3)]
        else:
            os.kill(os.getpid(), signal.SIGINT)

    def on_hold(hold: Hold) -> None:
        if hold.switching:
            if end == "cancelled, and the exception lost":
                Response()
            else:
                threading.Thread(target=end_it).start()

    error = ApiError if end == "refused" else Cancelled
    # Not Ctrl-C: what is started in the background of a shell ignores that.
    with pytest.raises(error), Interruption(Cancelled, signal.SIGINT):
        launch(lightning, replace(spec, studio_name=settled.name, machines=("t4",)), on_hold=on_hold)
    assert cloud.studio(settled.name).requested is None
    assert cloud.running() == [settled.name]
    assert not lease_of(cloud, settled).exists()


def test_a_switch_that_somebody_else_asked_for_is_not_confirmed(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, settled: Studio
) -> None:
    cloud.knobs.never_come = {"T4"}
    before = len(cloud.requests)

    def replace_it() -> None:
        eventually(lambda: cloud.studio(settled.name).requested)
        settled.request_switch(Catalog(lightning, None).machine("L4").compute_name)

    def on_switch(text: str) -> None:
        if "Switching" in text:
            threading.Thread(target=replace_it).start()

    launcher = Launcher(lightning, notify=on_switch, limits=replace(LIMITS, switch=2))
    with pytest.raises(MachineError, match="Can't switch"):
        launcher.launch(replace(spec, studio_name=settled.name, machines=("t4",)))
    assert not [request for request in cloud.requests[before:] if request.path.endswith("/switch-confirm")]


def test_a_switch_that_cannot_be_taken_back_is_told(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, settled: Studio
) -> None:
    cloud.knobs.never_come = {"T4"}
    told: list[str] = []

    def refuse(text: str) -> None:
        told.append(text)
        if "Switching" in text:
            threading.Thread(target=refuse_it).start()

    def refuse_it() -> None:
        eventually(lambda: cloud.studio(settled.name).requested)
        cloud.knobs.fail = [("PUT", "", 403, 3)]

    launcher = Launcher(lightning, notify=refuse, limits=replace(LIMITS, switch=2))
    with pytest.raises(MachineError, match="Can't switch"):
        launcher.launch(replace(spec, studio_name=settled.name, machines=("t4",)))
    assert [text for text in told if "T4 may still come up" in text and settled.url in text]


def test_a_switch_whose_client_was_killed_is_taken_back_by_the_hold(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, settled: Studio
) -> None:
    cloud.knobs.never_come = {"T4"}
    holds: list[Hold] = []
    with pytest.raises(MachineError):
        Launcher(lightning, on_hold=holds.append, limits=replace(LIMITS, switch=0)).launch(
            replace(spec, studio_name=settled.name, machines=("t4",))
        )
    left = next(hold for hold in holds if hold.switching)
    assert left.leased
    killed = Launcher(lightning).resume(Hold.from_json(left.to_json()))
    settled.request_switch(Catalog(lightning, None).machine("T4").compute_name)

    # Too late: it is another launch's switch by now.
    another = Remote(settled, left.python, left.wheel, "another-launch")
    another.lease("another")
    killed.stop(grace=1)
    assert cloud.studio(settled.name).requested is not None
    another.unlease()

    # Refused once, it is tried again by whoever still has the lease.
    Remote(settled, left.python, left.wheel, left.launch_id).lease("killed")
    cloud.knobs.fail = [("PUT", "/codeconfig", 403, 3)]
    with pytest.raises(StudioError):
        killed.stop(grace=1)
    killed.stop(grace=1)
    assert cloud.studio(settled.name).requested is None
    assert not lease_of(cloud, settled).exists()


def test_a_late_release_leaves_alone_what_another_launch_has_taken(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    holds: list[Hold] = []
    named = replace(spec, studio_name="taken")
    first = launch(lightning, named, on_hold=holds.append)
    # That of a client which was killed while it waited for the machine.
    killed = Launcher(lightning).resume(holds[0])
    assert (holds[0].release, holds[0].leased) == ("stop", False)
    follow(first)
    first.release()

    second = launch(lightning, replace(named, command="sleep 300"))
    killed.stop(grace=1)
    assert second.status().phase is not Phase.FINISHED
    second.stop(grace=1)
    eventually(lambda: not cloud.running())

    studio = Studio.find(lightning, "taken")
    assert studio is not None
    # The lease of a launch that died with the machine is no launch's any more; one that can't be read keeps nobody.
    lease = lease_of(cloud, studio)
    of_the_dead = json.dumps(json.loads(lease.read_text()) | {"heartbeat": time.time(), "closing": False})
    for text in (of_the_dead, '{"half'):
        lease.write_text(text)
        studio.start(Catalog(lightning, None).machine("CPU"))
        eventually(lambda: studio.state().running)
        killed.release()
        eventually(lambda: not cloud.running())


def test_no_machine_with_capacity_is_an_error(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    cloud.knobs.out_of_capacity = {"L4"}
    with pytest.raises(MachineError, match="Out of capacity: L4"):
        launch(lightning, replace(spec, machines=("L4",)))


def test_gpu_is_the_cheapest_gpu(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    started = launch(lightning, replace(spec, machines=("gpu",), command="nvidia-smi -L"))
    assert follow(started)[0].succeeded
    started.release()
    assert started.machine.startswith("T4")


def test_a_gpu_that_the_catalog_sells_and_the_sdk_does_not_name(lightning: Lightning) -> None:
    catalog = Catalog(lightning, None)
    assert (catalog.machine("a10g").gpus, catalog.machine("A10G_X_4").gpus) == (1, 4)
    # Of several names, all that are wrong are told of.
    with pytest.raises(MachineError, match=r"Unknown machine 'A10H'.*Unknown machine 'A10G_X_3'.*'A10G_X_TWO'"):
        catalog.choose(["A10H", "A10G", "A10G_X_3", "A10G_X_TWO"])


# What the platform does to a launch


def test_a_gpu_that_comes_up_as_a_cpu_is_noticed_and_released(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.gpu_comes_up_as_cpu = True
    with pytest.raises(MachineError, match=r"Asked for T4 with 1 GPU\(s\).*came up with 0"):
        launch(lightning, replace(spec, machines=("T4",)))


def test_a_studio_stuck_in_its_set_up_is_replaced_once(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.stuck_studios = 1
    told: list[str] = []
    started = launch(lightning, spec, notify=told.append, limits=replace(LIMITS, setup=10))
    assert follow(started)[0].succeeded
    started.release()
    assert any("stuck in its set-up" in text for text in told)


def test_set_up_that_never_ends_is_an_error_and_everything_is_deleted(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    before = len(cloud.studios)
    cloud.knobs.setup_seconds = math.inf
    holds: list[Hold] = []
    with pytest.raises(StudioError, match="Two studios in a row"):
        launch(lightning, spec, limits=replace(LIMITS, setup=1), on_hold=holds.append)
    assert holds[-1].is_over
    assert [bool(studio.deleted) for studio in cloud.studios[before:]] == [True, True]


def test_a_start_that_never_returns_is_an_error_and_everything_is_deleted(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.start_never_returns = True
    holds: list[Hold] = []
    with pytest.raises(MachineError, match="no capacity"):
        launch(lightning, spec, limits=replace(LIMITS, start=1), on_hold=holds.append)
    assert holds[-1].is_over


def test_a_limit_that_is_no_number_is_an_error() -> None:
    assert Limits.from_environ({"LIGHTNING_ZENML_START_TIMEOUT": "60"}) == Limits(start=60, switch=60)
    with pytest.raises(LaunchError, match="LIGHTNING_ZENML_SETUP_TIMEOUT is 'ten': a number"):
        Limits.from_environ({"LIGHTNING_ZENML_SETUP_TIMEOUT": "ten"})


@pytest.mark.parametrize("name", [None, "late"])
def test_uploads_that_show_up_late_are_waited_for(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, name: str | None
) -> None:
    cloud.knobs.setup_seconds = 1
    cloud.knobs.storage_delay_seconds = 1
    started = launch(lightning, replace(spec, studio_name=name))
    assert follow(started)[0].succeeded
    started.release()


def test_a_studio_that_vanishes_is_told(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    started = launch(lightning, replace(spec, command="sleep 60"))
    cloud.knobs.vanish = {started.studio_name}
    with pytest.raises(StudioLostError, match=r"is gone|stopped"):
        follow(started)
    started.release()


def test_a_studio_stopped_from_outside_is_told(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    started = launch(lightning, replace(spec, command="sleep 60"))
    stop_by_hand(lightning, started.hold)
    with pytest.raises(StudioLostError, match="is stop"):
        follow(started)
    started.release()
    assert cloud.studio(started.studio_name).deleted


def test_lost_answers_neither_double_nor_lose_anything(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    studios = len(cloud.studios)
    cloud.knobs.lose_answers = [
        ("POST", r"/cloudspaces$"),
        ("POST", r"/start$"),
        ("POST", r"/execute$"),
        ("POST", r"/execute$"),
        ("POST", r"/execute$"),
        ("DELETE", r"/cloudspaces/[^/]+$"),
    ]
    started = launch(lightning, replace(spec, command="echo ran >> ~/ran; cat ~/ran"))
    status, log = follow(started)
    started.release()
    assert status.succeeded
    assert log.splitlines().count("ran") == 1
    assert len(cloud.studios) == studios + 1
    assert cloud.studio(started.studio_name).deleted


def test_passing_errors_are_waited_out(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    cloud.knobs.fail = [("GET", r"/codestatus$", 503, 2), ("POST", r"/execute$", 429, 1), ("GET", r"/stream$", 500, 1)]
    started = launch(lightning, spec)
    assert follow(started)[0].succeeded
    started.release()


def test_a_studio_that_refuses_its_first_command_is_waited_for(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.fail = [("POST", r"/execute$", 400, 1)]
    started = launch(lightning, spec)
    started.stop(grace=1)


def test_packages_that_are_never_found_out_are_not_waited_for_without_end(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    never = threading.Event()

    def find_out() -> tuple[str, ...]:
        never.wait()
        return ()

    with pytest.raises(LaunchError, match="not found out within 0 s"):
        Launcher(lightning, limits=replace(LIMITS, packages=0)).launch(replace(spec, late_packages=find_out))
    never.set()


def test_an_outage_is_waited_out_while_the_run_goes_on(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_BACKOFF", tenacity.wait_fixed(0.05))
    started = launch(lightning, replace(spec, command="while ! test -e ~/go; do sleep 0.1; done; echo went"))
    # More than one call tries.
    cloud.knobs.fail = [("POST", r"/execute$", 503, failures._TRIES + 2)]
    log = ""
    for update in started.follow():
        log += update.log
        if "can't be followed for now" in log:
            (cloud.studio(started.studio_name).home / "go").touch()
    started.release()
    assert update.status.succeeded
    assert log.count("can't be followed for now") == 1
    assert log.endswith("went\n")


def test_a_job_that_was_started_after_the_last_news_is_ended_too(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    started = launch(lightning, replace(spec, command="sleep 300"))
    assert next(started.follow()).jobs == ()
    studio = Studio.find(lightning, started.studio_name)
    assert studio is not None
    Job.run(
        lightning,
        studio,
        JobSpec(
            name="late",
            command="sleep 300",
            machine=Catalog(lightning, None).machine("CPU"),
            token=f"{started.id}-late",
        ),
    )
    started.release()
    assert all(job.deleted is not None for job in cloud.jobs)


# Ending it early


def test_stop_ends_the_command_and_releases(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    started = launch(lightning, replace(spec, command="sleep 300"))
    started.stop(grace=1)
    eventually(lambda: cloud.studio(started.studio_name).deleted)


def test_another_process_can_release_by_the_hold(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    holds: list[Hold] = []
    started = launch(lightning, replace(spec, command="sleep 300"), on_hold=holds.append)
    hold = Hold.from_json(holds[-1].to_json())
    Launcher(lightning).resume(hold).stop(grace=1)
    Launcher(lightning).resume(hold).release()
    assert cloud.studio(started.studio_name).deleted


def test_a_launch_that_was_left_can_be_attached_to_by_its_id(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    left = launch(lightning, replace(spec, command="while ! test -e ~/go; do sleep 0.1; done; echo went"))
    left.leave()
    attached = Launcher(lightning).attach(left.id)
    (cloud.studio(left.studio_name).home / "go").touch()
    status, log = follow(attached)
    attached.release()
    assert status.succeeded
    assert "went" in log
    with pytest.raises(StudioLostError, match="has ended"):
        Launcher(lightning).attach(left.id)


@pytest.mark.parametrize("moment", ["created", "Uploading", "Starting the launch"])
def test_an_interrupt_while_preparing_releases(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, moment: str
) -> None:
    def interrupt(text: str) -> None:
        if moment in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(lightning, spec, notify=interrupt)


def test_an_interrupt_stays_one_though_the_studio_cannot_be_released(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    holds: list[Hold] = []

    def interrupt(text: str) -> None:
        if "created" in text:
            cloud.knobs.fail = [("DELETE", "/cloudspaces/", 403, 3)]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(lightning, spec, notify=interrupt, on_hold=holds.append)
    assert not holds[-1].is_over
    Launcher(lightning).resume(holds[-1]).release()
    assert cloud.studio(holds[-1].studio_name).deleted


@pytest.mark.parametrize("name", [None, "interrupted"], ids=["fresh", "named"])
def test_an_interrupt_leaves_no_key_in_a_studio_that_is_kept(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec, name: str | None
) -> None:
    holds: list[Hold] = []

    def interrupt(text: str) -> None:
        if "Starting the launch" in text:
            raise KeyboardInterrupt

    kept = replace(spec, studio_name=name, keep_studio=KeepStudio.KEEP)
    with pytest.raises(KeyboardInterrupt):
        launch(lightning, kept, notify=interrupt, on_hold=holds.append)
    home = cloud.studio(holds[-1].studio_name).home
    assert [path.name for path in home.rglob("*") if path.name in {"bundle.tar", "env"}] == []
    stop_by_hand(lightning, holds[-1])


def test_the_timeout_is_told(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    started = launch(lightning, replace(spec, command="sleep 300", timeout=1))
    status, _ = follow(started)
    started.release()
    assert status.phase is Phase.FINISHED
    assert status.failure is not None
    assert "timeout" in status.failure.message
