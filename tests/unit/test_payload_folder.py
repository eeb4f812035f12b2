from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_zenml.launch.payload.folder import LaunchFolder


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


@pytest.mark.parametrize(("reads_for", "waited"), [(0, 90), (3600, 3690), (float("inf"), 4 * 3600)])
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
