from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lightning_zenml.launch.payload.folder import LaunchFolder, note_environment
from lightning_zenml.launch.payload.protocol import Phase, Status


class Time:
    """A clock that goes on when somebody sleeps, and calls as it does."""

    def __init__(self, each_time: Callable[[float], None]) -> None:
        self.now = 1_000_000_000.0
        self._each_time = each_time

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._each_time(self.now)


@pytest.mark.parametrize(("reads_for", "waited"), [(0, 120), (300, 420), (float("inf"), 600)])
def test_a_client_that_reads_is_waited_for(tmp_path: Path, reads_for: float, waited: float) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)

    def read(now: float) -> None:
        if now - began <= reads_for:
            os.utime(folder.follower, (now, now))

    time = Time(read)
    began = time.now
    folder.follower.touch()
    os.utime(folder.follower, (began, began))
    folder.wait_until_unfollowed(time.clock, time.sleep)
    assert time.now - began == waited


def test_a_client_that_left_is_not_waited_for(tmp_path: Path) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    folder.follower.touch()
    folder.left.touch()
    folder.wait_until_unfollowed(sleep=pytest.fail)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_long_log_is_read_to_its_end_wherever_its_parts_are_cut(tmp_path: Path, before: int) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    written = "." * before + "\u2588" * 200_000
    folder.log.write_text(written)
    told, offset, more = "", 0, True
    while more:
        answer = folder.read(log_offset=offset, runs_offset=0)
        told, offset, more = told + answer.log, answer.log_offset, answer.more
    assert told == written


def read_out(folder: LaunchFolder, offset: int = 0) -> list[str]:
    told, more = [], True
    while more:
        answer = folder.read(log_offset=offset, runs_offset=0)
        assert folder.read(log_offset=offset, runs_offset=0).log == answer.log, "asked again, it tells the same"
        told.append(answer.log)
        offset, more = answer.log_offset, answer.more
    return told


@pytest.mark.parametrize("megabytes", [3, 40])
def test_of_a_long_log_only_the_end_is_read_once_the_launch_has_finished(tmp_path: Path, megabytes: int) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    with folder.log.open("w") as log:
        log.writelines(f"{number:9}: \u2588\n" for number in range(megabytes * 1_000_000 // 15))
    assert "".join(read_out(folder)) == folder.log.read_text()
    folder.write_status(Status(phase=Phase.FINISHED, exit_code=0))
    told = read_out(folder, offset=35)
    assert len(told) <= 3
    first, *lines = "".join(told).strip().splitlines()
    assert first.startswith(f"==> {megabytes - 2.1:.1f} MB of output are left out, so")
    assert str(folder.log) in first
    assert lines == folder.log.read_text().splitlines()[-len(lines) :]
    assert len(lines) > 130_000


def test_of_a_short_log_nothing_is_left_out(tmp_path: Path) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    folder.log.write_text("a line\n" * 250_000)
    folder.write_status(Status(phase=Phase.FINISHED, exit_code=0))
    assert "".join(read_out(folder)) == folder.log.read_text()


def test_a_character_that_is_half_written_waits(tmp_path: Path) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    whole = b"garbage \xff and " + "\u2588".encode()
    folder.log.write_bytes(whole[:-1])
    answer = folder.read(log_offset=0, runs_offset=0)
    assert (answer.log, answer.more) == ("garbage \ufffd and ", False)
    folder.log.write_bytes(whole)
    assert folder.read(log_offset=answer.log_offset, runs_offset=0).log == "\u2588"


@pytest.mark.parametrize("told", ["log", "runs", "jobs", "status", "end"])
def test_a_read_waits_until_there_is_something_to_tell(tmp_path: Path, told: str) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    folder.write_supervisor()
    folder.log.write_text("known\n")
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(folder.read, log_offset=6, runs_offset=0, wait=300)
        while not folder.follower.exists():
            pass
        if told == "status":
            folder.write_status(Status(phase=Phase.INSTALLING))
        elif told == "end":
            folder.pid.unlink()
        else:
            with getattr(folder, told).open("a") as file:
                file.write("\n")
        news = reading.result(250)
    assert news.log == ("\n" if told == "log" else "")
    assert news.alive is (told != "end")


def test_a_read_waits_no_longer_than_asked_nor_for_what_is_known(tmp_path: Path) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    folder.write_supervisor()
    assert folder.read(log_offset=0, runs_offset=0, wait=0.1).log == ""
    folder.log.write_text("new\n")
    assert folder.read(log_offset=0, runs_offset=0, wait=1e9).log == "new\n"
    folder.write_status(Status(phase=Phase.FINISHED, exit_code=0))
    assert folder.read(log_offset=4, runs_offset=0, wait=1e9).log == ""


@pytest.mark.parametrize("told", ["runs", "jobs", "status", "end", "more"])
def test_lines_wait_for_more_of_them_but_hold_up_nothing_else(tmp_path: Path, told: str) -> None:
    folder = LaunchFolder(root=tmp_path, path=tmp_path)
    folder.write_supervisor()
    folder.log.write_text("new\n")
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(folder.read, log_offset=0, runs_offset=0, wait=300, gather=300)
        while not folder.follower.exists():
            pass
        if told == "status":
            folder.write_status(Status(phase=Phase.FINISHED, exit_code=0))
        elif told == "end":
            folder.pid.unlink()
        elif told == "more":
            # As much as one read tells.
            folder.log.write_text("new\n" * 300_000)
        else:
            with getattr(folder, told).open("a") as file:
                file.write("\n")
        assert reading.result(250).log.startswith("new\n")


def test_what_is_installed_is_noted_as_long_as_it_is_whole(tmp_path: Path) -> None:
    noted = tmp_path / "environments"
    for digest, others_hold in (("a", True), ("b", True), ("a", True)):
        note_environment(tmp_path, digest, others_hold)
    assert noted.read_text() == "b\na\n"
    note_environment(tmp_path, "c", False)
    assert noted.read_text() == "c\n"
