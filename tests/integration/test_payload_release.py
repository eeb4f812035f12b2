"""What is released is looked at until it is gone, over times that only a clock of the test's can wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_zenml.launch.payload import lease, release
from lightning_zenml.launch.payload.folder import LaunchFolder
from lightning_zenml.launch.payload.protocol import Instructions
from lightning_zenml.launch.payload.records import JobRecord, append
from payload_studio import PAGE, Platform, instructions, job

DELETE, STOP = "DELETE /cloudspaces/s", "POST /cloudspaces/s/stop"
LOOK, STATUS = "GET /cloudspaces/s", "GET /cloudspaces/s/codestatus"
NOTHING = (200, PAGE)
"""Answer of a proxy before Lightning: nothing happens."""
GONE: tuple[int, object] = (404, {})
THERE: tuple[int, object] = (200, {"inUse": {"phase": "CLOUD_SPACE_INSTANCE_STATE_RUNNING"}})


@pytest.fixture
def folder(tmp_path: Path) -> LaunchFolder:
    folder = LaunchFolder(root=tmp_path, path=tmp_path / "l-1")
    folder.path.mkdir()
    return folder


def told(platform: Platform, **changes: Any) -> Instructions:
    return Instructions.from_json(instructions(platform, **changes))


@pytest.mark.parametrize(
    ("policy", "answers", "asked"),
    [
        ("delete", {}, 1),
        ("delete", {DELETE: [NOTHING]}, 2),
        ("delete", {DELETE: [NOTHING], LOOK: [GONE, GONE], STATUS: [GONE]}, 2),
        ("delete", {DELETE: [NOTHING, (403, {})], LOOK: [GONE, GONE, THERE], STATUS: [GONE, GONE]}, 3),
        ("stop", {}, 1),
        ("stop", {STOP: [NOTHING]}, 2),
        ("stop", {STOP: [NOTHING], STATUS: [(200, {}), GONE, THERE]}, 2),
        ("stop", {STOP: [NOTHING, (401, {}), GONE]}, 4),
    ],
)
def test_a_studio_has_ended_once_looks_agree_over_half_a_minute(
    folder: LaunchFolder, platform: Platform, policy: str, answers: dict[str, Any], asked: int
) -> None:
    platform.answers, pauses = answers, list[float]()
    release.give_studio_back(folder, told(platform, release=policy), sleep=pauses.append)
    assert not (platform.is_there and platform.is_running)
    assert len([one for one in platform.requests if one[0] != "GET"]) == asked
    assert sum(pauses[-2:]) == 30


def test_a_studio_that_stays_is_tried_for_half_a_day(folder: LaunchFolder, platform: Platform) -> None:
    platform.answers, pauses = {STOP: [(403, {})] * 999}, list[float]()
    with pytest.raises(OSError, match="403"):
        release.give_studio_back(folder, told(platform, release="stop"), sleep=pauses.append)
    assert 10 * 3600 < sum(pauses) < 14 * 3600


def test_a_studio_that_another_launch_takes_meanwhile_is_left_to_it(folder: LaunchFolder, platform: Platform) -> None:
    platform.answers = {STOP: [NOTHING] * 999}
    lease.acquire(folder.root, launch_id="l-1", owner="Ada")

    def take(pause: float) -> None:
        if len(platform.sent("POST", "/stop")) == 3:
            (folder.root / "lease.json").unlink()
            lease.acquire(folder.root, launch_id="l-2", owner="Bob")

    release.give_studio_back(folder, told(platform, release="stop", leased=True), sleep=take)
    assert len(platform.sent("POST", "/stop")) == 3


def test_jobs_that_cannot_be_ended_are_given_up_after_half_an_hour(folder: LaunchFolder, platform: Platform) -> None:
    platform.jobs = [job("one")]
    platform.answers, pauses = {"DELETE /jobs/one": [(403, {})] * 999}, list[float]()
    with pytest.raises(release.StillThereError):
        release.end_jobs(folder, told(platform).platform, sleep=pauses.append)
    assert 1500 < sum(pauses) < 2100


@pytest.mark.parametrize(("ended", "seconds"), [(None, 30), (5.0, 0)])
def test_an_empty_list_is_doubted_where_a_job_has_not_told_of_its_end(
    folder: LaunchFolder, platform: Platform, ended: float | None, seconds: float
) -> None:
    record = JobRecord(
        token="t", step="s", attempt=1, run_id="r", machine="T4", num_machines=1, price=None, ended=ended
    )
    append(folder.jobs, record)
    pauses = list[float]()
    release.end_jobs(folder, told(platform).platform, sleep=pauses.append)
    assert sum(pauses) == seconds


class Clock:
    """Time that passes only where it is waited for; at each wait something may happen."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.now = time.time()
        self.begun = self.now
        self._events = list(events)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._events:
            self._events.pop(0)()

    @property
    def passed(self) -> float:
        return self.now - self.begun


def keep_warm(folder: LaunchFolder, platform: Platform, clock: Clock, *, started: bool = True) -> None:
    """Gives the studio back after a launch `l-1`, which keeps it for ten minutes."""
    lease.acquire(folder.root, launch_id="l-1", owner="Ada", started=started)
    instructed = told(platform, release="stop" if started else "none", leased=True, keep_warm=600.0)
    release.give_studio_back(folder, instructed, sleep=clock.sleep, clock=clock)


def take(folder: LaunchFolder, **options: bool) -> None:
    assert lease.acquire(folder.root, launch_id="l-2", owner="Bob", **options).acquired


def test_a_warm_machine_that_nobody_takes_is_stopped(folder: LaunchFolder, platform: Platform) -> None:
    clock = Clock()
    keep_warm(folder, platform, clock)
    assert not platform.is_running
    assert 600 <= clock.passed <= 640
    assert platform.sent("POST", "/keep-alive")


def test_a_warm_machine_is_free_and_its_next_launch_has_to_stop_it(folder: LaunchFolder, platform: Platform) -> None:
    def begin() -> None:
        """As its guardian does."""
        next_one = LaunchFolder(root=folder.root, path=folder.root / "launches/l-2")
        next_one.path.mkdir(parents=True)
        next_one.write_guardian()

    clock = Clock(lambda: take(folder), lambda: None, begin)
    keep_warm(folder, platform, clock)
    assert clock.passed < 10
    assert platform.is_running
    assert lease.release(folder.root, launch_id="l-2").put_back


def test_a_launch_that_takes_a_warm_machine_and_comes_to_nothing(folder: LaunchFolder, platform: Platform) -> None:
    clock = Clock(lambda: take(folder))
    keep_warm(folder, platform, clock)
    # Nobody hears of it any more after five minutes; the ten minutes begin then.
    assert not platform.is_running
    assert 900 <= clock.passed <= 945


@pytest.mark.parametrize("started", [True, False])
def test_a_machine_that_somebody_wants_to_run_on_is_not_stopped(
    folder: LaunchFolder, platform: Platform, started: bool
) -> None:
    def keep() -> None:
        take(folder, keep=True)
        lease.release(folder.root, launch_id="l-2")

    clock = Clock(keep)
    keep_warm(folder, platform, clock, started=started)
    assert clock.passed < 10
    assert platform.is_running
