"""Pools: launches share a few studios, on the stand-in for Lightning AI, and never two at a time the same one."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_api import eventually, lent
from lightning_zenml.launch.errors import StudioError
from lightning_zenml.launch.launcher import Hold, Launch, Launcher, Limits
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.spec import LaunchSpec, Status
from lightning_zenml.launch.studio import line
from lightning_zenml.launch.studio.pool import environment_digest
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.lightning import LightningCloud

LIMITS = Limits(start=120, setup=120, switch=120, lost_switch=20)
ALONE = "mkdir ~/busy && sleep 1 && rmdir ~/busy"
"""Fails where another launch is on the same studio."""


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_POLL", (0.2, 0.5))


@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    """Of a pool of two that no other test has."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    return LaunchSpec(
        name="x",
        owner="a test",
        archive=pack(Repository.open(repository)),
        command="cat hello.txt",
        studio_name=f"pool-{secrets.token_hex(4)}",
        studio_pool=2,
    )


def launch(lightning: Lightning, spec: LaunchSpec, **options: Any) -> Launch:
    return Launcher(lightning, **{"limits": LIMITS, **options}).launch(spec)


def end_of(launch: Launch) -> Status:
    """How it has ended, once its studio is released."""
    status = list(launch.follow())[-1].status
    launch.release()
    return status


def running(lightning: Lightning, name: str, machine: str) -> Studio:
    """A studio that somebody has running."""
    studio = Studio.create(lightning, name, cluster=None)
    studio.start(Catalog(lightning, None).machine(machine))
    eventually(lambda: studio.state().running)
    return studio


def test_launches_at_once_share_a_pool_and_none_a_studio(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    before = len(cloud.studios)
    outcomes: list[tuple[str, bool]] = []

    def one() -> None:
        started = launch(lightning, replace(spec, command=ALONE))
        outcomes.append((started.studio_name, end_of(started).succeeded))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert [succeeded for _, succeeded in outcomes] == [True] * 4
    pool = [f"{spec.studio_name}-{number}" for number in (1, 2)]
    assert {name for name, _ in outcomes} == set(pool)
    assert sorted(studio.name for studio in cloud.studios[before:]) == pool
    # Each was found stopped, by the first launch that took it.
    eventually(lambda: not cloud.running())


def test_the_one_that_suits_is_taken(cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec) -> None:
    cpu, gpu = (running(lightning, f"{spec.studio_name}-{n}", machine) for n, machine in ((2, "CPU"), (3, "T4")))
    spec = replace(spec, studio_pool=4)
    before = len(cloud.requests)
    for machines, expected in (((), cpu.name), (("t4", "l4"), gpu.name)):
        started = launch(lightning, replace(spec, machines=machines))
        assert started.studio_name == expected
        assert end_of(started).succeeded
    assert not [request for request in cloud.requests[before:] if request.path.endswith(("/codeconfig", "/start"))]

    # Rather than move one that is up on another machine, it takes one that stands still.
    stopped = Studio.create(lightning, f"{spec.studio_name}-4", cluster=None)
    started = launch(lightning, replace(spec, machines=("L4",)))
    assert started.studio_name == stopped.name
    started.stop(grace=1)
    for studio in (cpu, gpu):
        studio.stop()


def test_the_one_that_has_what_is_to_be_installed_is_taken(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    first, second = (Studio.create(lightning, f"{spec.studio_name}-{number}", cluster=None) for number in (1, 2))
    for studio, environments in ((first, "another\n"), (second, f"another\n{environment_digest(spec)}\n")):
        (cloud.studio(studio.name).home / ".lightning_zenml").mkdir()
        (cloud.studio(studio.name).home / ".lightning_zenml/environments").write_text(environments)
    started = launch(lightning, replace(spec, command="sleep 300"))
    assert started.studio_name == second.name
    # What is in use is no choice.
    other = launch(lightning, spec)
    assert other.studio_name == first.name
    assert end_of(other).succeeded
    started.stop(grace=1)


def test_who_waits_has_a_deadline_and_can_be_interrupted(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    spec = replace(spec, studio_pool=1, command="sleep 300")
    first = launch(lightning, replace(spec, owner="Ada's laptop"))
    name = first.studio_name
    with pytest.raises(StudioError, match=f"its timeout: no studio of the pool is free: {name} is in use by Ada's"):
        launch(lightning, replace(spec, timeout=2))

    def interrupt(text: str) -> None:
        if text.startswith("Waiting: "):
            raise KeyboardInterrupt

    holds: list[Hold] = []
    with pytest.raises(KeyboardInterrupt):
        launch(lightning, spec, notify=interrupt, on_hold=holds.append)
    assert holds[-1].is_over
    assert cloud.running() == [name]
    first.stop(grace=1)


def test_a_lease_that_cannot_be_read_is_another_launchs(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    theirs = launch(lightning, replace(spec, command="sleep 300"))
    lease = cloud.studio(theirs.studio_name).home / ".lightning_zenml/lease.json"
    readable = lease.read_text()
    lease.write_text('{"version": 7, "launch": "of-tomorrow"}')
    ours = launch(lightning, spec)
    assert ours.studio_name != theirs.studio_name
    assert end_of(ours).succeeded
    lease.write_text(readable)
    theirs.stop(grace=1)


def test_one_that_is_broken_keeps_nobody_from_the_others(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    cloud.knobs.stuck_studios = 1
    started = launch(lightning, spec, limits=replace(LIMITS, setup=10))
    assert started.studio_name == f"{spec.studio_name}-2"
    assert cloud.running() == [started.studio_name]
    assert end_of(started).succeeded
    with pytest.raises(StudioError, match=f"'{spec.studio_name}-1' did not finish its set-up"):
        launch(lightning, replace(spec, studio_pool=1), limits=replace(LIMITS, setup=1))


def test_one_that_is_stopped_before_it_is_leased_is_started_again(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    studio = running(lightning, f"{spec.studio_name}-1", "CPU")
    stopped: list[str] = []

    def stop(hold: Hold) -> None:
        if not stopped:
            stopped.append(hold.studio_name)
            studio.stop()
            eventually(lambda: studio.state().stopped)

    started = launch(lightning, spec, on_hold=stop)
    assert stopped == [studio.name]
    assert end_of(started).succeeded


def test_a_launch_is_found_again_wherever_in_the_pool_it_is(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    first = launch(lightning, replace(spec, command="sleep 300"))
    second = launch(lightning, replace(spec, command="while ! test -e ~/go; do sleep 0.1; done"))
    second.leave()
    attached = Launcher(lightning).attach(second.id)
    assert (first.studio_name, attached.studio_name) == (f"{spec.studio_name}-1", f"{spec.studio_name}-2")
    (cloud.studio(attached.studio_name).home / "go").touch()
    assert end_of(attached).succeeded
    first.stop(grace=1)


def test_a_warm_machine_is_taken_without_a_start_and_stopped_when_nobody_comes(
    cloud: LightningCloud, lightning: Lightning, spec: LaunchSpec
) -> None:
    spec = replace(spec, keep_warm=600)
    first = launch(lightning, spec)
    assert re.fullmatch(r"10 min for the next run, at \$0\.\d{4} a minute", first.warmth)
    assert end_of(first).succeeded
    assert f"Studio {first.studio_name} kept up 10 min for the next run" in first.release_notice
    assert cloud.running() == [first.studio_name]

    before = len(cloud.requests)
    second = launch(lightning, replace(spec, keep_warm=0.5))
    assert second.studio_name == first.studio_name
    assert not [request for request in cloud.requests[before:] if request.path.endswith(("/start", "/codeconfig"))]
    # The last one says for how long: the program in the studio stops it, with nobody there.
    assert end_of(second).succeeded
    eventually(lambda: not cloud.running())
