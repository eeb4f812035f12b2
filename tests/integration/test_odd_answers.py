"""One odd answer decides nothing: neither that a studio or job is lost, nor that it is gone."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tenacity

from lightning_api import QUICK, credentials, eventually, lent
from lightning_zenml.launch import launch as launch_module
from lightning_zenml.launch.errors import (
    CredentialsError,
    LaunchError,
    MachineError,
    StudioError,
    StudioLostError,
    UnfollowableError,
)
from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning import client, failures
from lightning_zenml.launch.lightning import studio as studio_module
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import UnreachableError
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.launch.studio import bundle
from lightning_zenml.launch.studio import hold as hold_module
from lightning_zenml.launch.studio import remote as remote_module
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.orchestrator.steps.job import StartedJob, StepJob
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.chaos import Fault, Proxy
from localcloud.lightning import LightningCloud

ODD = {
    "401": Fault.status(401),
    "403": Fault.status(403),
    "404": Fault.status(404),
    "page": Fault.html(),
    "list": Fault.body("[]"),
    "null": Fault.body("null"),
    "empty": Fault.body("{}"),
    "cut": Fault.cut_short(),
    "nameless": Fault.without("id"),
}
EXECUTE, STREAM, STATUS = "/execute", "/stream", "/codestatus"


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud, **QUICK) as cloud:
        yield cloud


@pytest.fixture
def proxy(cloud: LightningCloud) -> Iterator[Proxy]:
    addresses: dict[str, str] = {}
    with Proxy("lightning", cloud.url, addresses=addresses) as proxy:
        addresses[cloud.url] = proxy.url
        yield proxy


@pytest.fixture
def lightning(cloud: LightningCloud, proxy: Proxy) -> Lightning:
    return Lightning.connect(credentials(cloud), url=proxy.url)


@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    archive = pack(Repository.open(repository))
    return LaunchSpec(name="odd", owner="a test", archive=archive, command="sleep 300")


@pytest.fixture
def tries_follow_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_BACKOFF", tenacity.wait_fixed(0.05))
    monkeypatch.setattr(studio_module, "_PAUSE", 0.05)


@pytest.fixture
def machine(lightning: Lightning) -> Studio:
    return Studio.create(lightning, "machine", cluster=None)


def released(launcher_hold: Hold, lightning: Lightning) -> None:
    Launcher(lightning).resume(launcher_hold).release()


def test_no_odd_answer_ends_a_run(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "_POLL", (0.05, 0.1))
    monkeypatch.setattr(launch_module, "_WAIT", 0.0)
    monkeypatch.setattr(remote_module, "_SELDOM", 0.5)
    launch = Launcher(lightning).launch(replace(spec, command="while ! test -e ~/go; do sleep 0.1; done"))
    updates = launch.follow()
    for fault in ODD.values():
        for route in (EXECUTE, STREAM, STATUS):
            rule = proxy.fault(fault, "GET|POST", f".*{route}", times=1)
            if route == STATUS:
                # Nobody asks for it as long as commands are taken.
                proxy.fault(Fault.status(400), "POST", f".*{EXECUTE}", times=1)
            while not rule.met:
                next(updates)
    (cloud.studio(launch.studio_name).home / "go").touch()
    *_, last = updates
    assert last.status.succeeded
    launch.release()


def test_a_refused_key_leaves_the_run_to_itself(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "_POLL", (0.05, 0.1))
    monkeypatch.setattr(launch_module, "_PATIENCE_WITH_REFUSALS", 1.0)
    launch = Launcher(lightning).launch(spec)
    refusal = proxy.fault(Fault.status(401))
    with pytest.raises(UnfollowableError, match="left to itself; it deletes the studio"):
        list(launch.follow())
    assert refusal.met > failures._REFUSALS
    assert cloud.running() == [launch.studio_name]
    proxy.clear()
    launch.stop(grace=1)


@pytest.mark.usefixtures("tries_follow_soon")
def test_no_odd_answer_says_that_a_run_is_over(lightning: Lightning, proxy: Proxy, spec: LaunchSpec) -> None:
    launch = Launcher(lightning).launch(spec)
    for route in (EXECUTE, STREAM):
        for fault in ODD.values():
            # So many as decide that one call is refused.
            rule = proxy.fault(fault, "GET|POST", f".*{route}", times=failures._REFUSALS)
            while not rule.met:
                with contextlib.suppress(LaunchError):
                    assert launch.is_under_way()
            proxy.clear()
    launch.stop(grace=1)
    assert not launch.is_under_way()


def test_a_key_that_is_refused_before_anything_runs_is_told_at_once(cloud: LightningCloud, proxy: Proxy) -> None:
    refusal = proxy.fault(Fault.status(401))
    with pytest.raises(CredentialsError):
        Lightning.connect(credentials(cloud), url=proxy.url)
    assert refusal.met == failures._REFUSALS


@pytest.mark.parametrize("name", ["page", "404", "401", "cut", "list"])
@pytest.mark.parametrize("release", [Release.DELETE, Release.STOP])
def test_a_studio_has_ended_when_it_has(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, name: str, release: Release
) -> None:
    studio = Studio.create(lightning, f"ends-{name}-{release}", cluster=None)
    studio.start(Catalog(lightning, None).machine("CPU"))
    eventually(lambda: studio.state().running)
    # A 404 is asked again three times; it is no deletion for all that.
    rule = proxy.fault(ODD[name], "DELETE|POST", ".*/(stop|cloudspaces/{id})", times=3 if name == "404" else 2)
    studio.delete() if release is Release.DELETE else studio.stop()
    assert rule.met
    eventually(lambda: not cloud.running())
    assert bool(cloud.studio(studio.name).deleted) == (release is Release.DELETE)
    studio.delete()


@pytest.mark.parametrize("status", [403, 503])
def test_a_look_that_is_refused_tells_nothing_of_what_was_deleted(
    lightning: Lightning, proxy: Proxy, status: int
) -> None:
    rules = [
        proxy.fault(Fault.status(404), "DELETE", ".*/cloudspaces/.*", times=1),
        proxy.fault(Fault.status(status), "GET", f".*{STATUS}", times=1),
    ]
    studio = Studio.create(lightning, f"refused-{status}", cluster=None)
    studio.delete()
    assert all(rule.met for rule in rules)
    assert Studio.find(lightning, studio.name) is None


def test_an_empty_list_is_no_lost_studio(lightning: Lightning, proxy: Proxy, spec: LaunchSpec) -> None:
    launch = Launcher(lightning).launch(spec)
    proxy.fault(Fault.body("{}"), "GET", ".*/cloudspaces", times=2)
    attached = Launcher(lightning).attach(launch.id)
    attached.stop(grace=1)
    with pytest.raises(StudioLostError):
        Launcher(lightning).attach(launch.id)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_job_is_lost_when_both_questions_say_so(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, machine: Studio, deleted: bool
) -> None:
    token = f"odd-{deleted}"
    wanted = JobSpec(name=token, command="sleep 300", machine=Catalog(lightning, None).machine("T4"), token=token)
    job = Job.run(lightning, machine, wanted)
    record = JobRecord(
        token=token, step="train", attempt=1, run_id="run", machine="T4", num_machines=1, price=None, name=job.name
    )
    changes: list[JobRecord] = []
    step = StepJob(
        iter([StartedJob(job=job, machines="T4", record=record, asked=0.0)]),
        "train",
        on_change=changes.append,
        keep=False,
        output=io.StringIO(),
    )
    if deleted:
        job.delete()
        eventually(lambda: step.poll() is not None)
    else:
        rule = proxy.fault(Fault.status(404), "GET", ".*/jobs/job_{id}", times=12)
        eventually(lambda: step.poll() is not None or rule.met >= 12)
        assert step.poll() is None
        assert cloud.running()
        step.kill()
    machine.delete()


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(429, retry_after="86400"),
        Fault.status(503, retry_after="soon"),
        Fault.status(403),
        Fault.html(),
        Fault.reset(after=True),
        Fault.body("{}"),
    ],
    ids=lambda fault: fault.name,
)
def test_a_studio_is_created_once(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_LONGEST_RETRY_AFTER", 0.1)
    before = len(cloud.studios)
    rule = proxy.fault(fault, "POST", ".*/cloudspaces", times=2)
    created = Studio.create(lightning, "once", cluster=None)
    assert rule.met
    assert len(cloud.studios) == before + 1
    created.delete()


@pytest.mark.usefixtures("tries_follow_soon")
@pytest.mark.parametrize(
    ("fault", "times", "name"),
    [
        (Fault.html(), 4, None),
        (Fault.status(404), 4, None),
        (Fault.status(401), 4, "refused"),
        (Fault.status(500).after_execution(), 1, None),
        (Fault.reset(after=True), 1, "starts"),
        (Fault.body("{}").before_execution(), 1, None),
    ],
    ids=str,
)
def test_a_machine_is_on_its_way_when_it_is(
    cloud: LightningCloud,
    lightning: Lightning,
    proxy: Proxy,
    spec: LaunchSpec,
    fault: Fault,
    times: int,
    name: str | None,
) -> None:
    rule = proxy.fault(fault, "POST", ".*/start", times=times)
    launch = Launcher(lightning).launch(replace(spec, studio_name=name, command="true"))
    *_, last = launch.follow()
    assert last.status.succeeded
    assert rule.met
    launch.release()
    assert name is None or not cloud.studio(name).deleted


def test_a_machine_that_is_refused_is_not_waited_for(lightning: Lightning, proxy: Proxy, spec: LaunchSpec) -> None:
    refusal = proxy.fault(Fault.status(400, message="not on your plan"), "POST", ".*/start")
    with pytest.raises(MachineError, match="not on your plan"):
        Launcher(lightning).launch(spec)
    assert refusal.met == 2


@pytest.mark.parametrize(
    ("fault", "route", "name"),
    [
        (Fault.reset(after=True), ".*/blobs/complete", None),
        # Answered well, and never there.
        (Fault.html(), ".*/blobs/complete", None),
        (Fault.html(), ".*/blobs/complete", "uploads"),
        (Fault.html(), "/storage/.*", None),
        (Fault.status(403), "/storage/.*", None),
        (Fault.body("{}"), ".*/blobs", None),
    ],
    ids=str,
)
def test_an_upload_is_made_until_it_is_there(
    lightning: Lightning,
    proxy: Proxy,
    spec: LaunchSpec,
    fault: Fault,
    route: str,
    name: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle, "_PATIENCE", 2)
    rule = proxy.fault(fault, "PUT|POST", route, times=1)
    launch = Launcher(lightning).launch(replace(spec, studio_name=name, command="cat hello.txt"))
    *_, last = launch.follow()
    assert last.status.succeeded
    assert rule.met
    launch.release()


@pytest.mark.parametrize("route", ["/v1/memberships", ".*/accelerators", ".*/clusters", ".*/managed"])
def test_a_list_that_is_empty_once_decides_nothing(cloud: LightningCloud, proxy: Proxy, route: str) -> None:
    rule = proxy.fault(Fault.body("{}"), "GET", route, times=1)
    lightning = Lightning.connect(credentials(cloud), url=proxy.url)
    assert Catalog(lightning, None).machine("gpu").cost
    Studio.create(lightning, "listed", cluster=None).delete()
    assert rule.met


@pytest.mark.parametrize("body", ["{}", '{"error": {"code": 5, "message": "no such session"}}'])
def test_a_command_that_gets_lost_is_sent_again(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, spec: LaunchSpec, body: str
) -> None:
    cloud.knobs.waits_for_commands = False
    # The second is the one that starts the payload.
    rules = [proxy.fault(Fault.body(body), "GET", f".*{STREAM}", nth=nth) for nth in (1, 2, 3, 4)]
    launch = Launcher(lightning).launch(replace(spec, command="true"))
    *_, last = launch.follow()
    assert last.status.succeeded
    assert all(rule.met for rule in rules)
    launch.release()


def test_an_answer_that_drips_in_for_ever_is_as_good_as_lost(
    lightning: Lightning, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_WHOLE", 0.5)
    rule = proxy.fault(Fault.slow_drip(0.2), "GET", ".*/cloudspaces", times=1)
    assert Studio.find(lightning, "nobody") is None
    assert rule.met


def test_an_outage_of_half_a_minute_is_sat_out() -> None:
    pauses: list[float] = []

    def away() -> None:
        raise UnreachableError("away")

    with pytest.raises(UnreachableError):
        failures.retrying(idempotent=True).copy(sleep=pauses.append)(away)
    assert 30 < sum(pauses) < 70


def test_a_studio_whose_lease_cannot_be_read_is_not_ours_to_stop(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, spec: LaunchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_module, "_LEASE_PATIENCE", 0.5)
    monkeypatch.setattr(hold_module, "_LEASE_PAUSE", 0.1)
    launch = Launcher(lightning).launch(replace(spec, studio_name="unreadable"))
    proxy.fault(Fault.status(400), "POST", f".*{EXECUTE}")
    with pytest.raises(StudioError, match="can't be told, so it is not ended"):
        released(launch.hold, lightning)
    with pytest.raises(StudioError, match="can't be told, so it is not ended"):
        released(replace(launch.hold, leased=False), lightning)
    assert cloud.running() == ["unreadable"]
    proxy.clear()
    launch.stop(grace=1)
    assert not cloud.studio("unreadable").deleted


def test_the_last_of_two_that_raced_stops_the_studio(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    studio = Studio.create(lightning, "raced", cluster=None)
    studio.start(Catalog(lightning, None).machine("CPU"))
    eventually(lambda: studio.state().running)
    second = Launcher(lightning).launch(replace(spec, studio_name="raced", command="true"))
    assert second.hold.release is Release.NONE
    # The one that started it, and was cancelled while it waited for its turn.
    released(replace(second.hold, launch_id="first", release=Release.STOP, leased=False), lightning)
    assert cloud.running() == ["raced"]
    list(second.follow())
    second.release()
    eventually(lambda: not cloud.running())


def test_the_wait_for_a_lease_obeys_the_timeout(lightning: Lightning, spec: LaunchSpec) -> None:
    first = Launcher(lightning).launch(replace(spec, studio_name="busy"))
    with pytest.raises(StudioError, match="in use by a test"):
        Launcher(lightning).launch(replace(spec, studio_name="busy", timeout=1))
    first.stop(grace=1)


def test_auto_sleep_is_turned_on_for_fresh_studios_and_looked_at_for_named_ones(
    cloud: LightningCloud, lightning: Lightning, proxy: Proxy, spec: LaunchSpec
) -> None:
    fresh = Launcher(lightning).launch(spec)
    assert any(call.route.endswith("/sleepconfig") for call in proxy.calls)
    fresh.stop(grace=1)
    said: list[str] = []
    named = Studio.create(lightning, "awake", cluster=None)
    cloud.studio("awake").disable_auto_shutdown = True
    Launcher(lightning, notify=said.append).launch(replace(spec, studio_name="awake")).stop(grace=1)
    assert any("Auto-sleep is off for awake" in text for text in said)
    assert cloud.studio("awake").disable_auto_shutdown
    named.delete()
