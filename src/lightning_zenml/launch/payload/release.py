"""What is given back at the end of a launch when no client does it: its jobs, its lease, its studio."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from lightning_zenml.launch.payload import layout, lease
from lightning_zenml.launch.payload.folder import LaunchFolder
from lightning_zenml.launch.payload.lightning.heartbeat import Heartbeat
from lightning_zenml.launch.payload.lightning.insist import insist
from lightning_zenml.launch.payload.lightning.platform import Platform, UnlistedError
from lightning_zenml.launch.payload.process import machine
from lightning_zenml.launch.payload.protocol import Instructions, Release
from lightning_zenml.launch.payload.records import JobRecord, RecordError, read

_WARM_LOOK = 1.0
"""Seconds between two looks whether somebody has taken a warm studio."""
_BEAT = 30.0
"""Seconds between two signs of life of a warm studio: it would sleep after ten idle minutes."""
_AGREEING = (0.0, 15.0, 15.0)
"""Seconds before each of the looks that have to agree that something is gone."""
_FIRST_PAUSE = 2.0
_JOBS_PAUSE, _JOBS_TRIES = 60.0, 36
"""Seconds between two tries to end jobs at most, and their number: half an hour, in which the studio is paid for."""
_STUDIO_PAUSE, _STUDIO_TRIES = 300.0, 150
"""The same of the studio: half a day, in which trying costs nothing that the studio doesn't."""


class StillThereError(Exception):
    """What was to be ended is still there, as far as one can tell."""


def end_jobs(folder: LaunchFolder, platform: Platform, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Ends the Lightning jobs of a launch, each by itself, until they are seen to be gone.

    Args:
        folder: folder of the launch.
        platform: Lightning's API.
        sleep: function that waits for so many seconds.

    Raises:
        Exception: if jobs are left after half an hour.
    """
    # One look does where every job has told of its end; else an empty list may be an odd answer.
    looks = _AGREEING[:1] if _all_have_ended(folder) else _AGREEING

    def once() -> None:
        try:
            left = platform.unended_jobs(folder.path.name)
        except UnlistedError as error:
            left = error.found
        for job in left:
            # What counts is what is listed afterwards.
            with contextlib.suppress(Exception):
                platform.delete_job(job)
        _see_gone(lambda: not platform.unended_jobs(folder.path.name), looks, sleep)

    insist(once, pause=_FIRST_PAUSE, longest=_JOBS_PAUSE, times=_JOBS_TRIES, sleep=sleep)


def give_studio_back(
    folder: LaunchFolder,
    instructions: Instructions,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> None:
    """Gives back the lease, stops or deletes the studio as instructed; that ends this program, too.

    Args:
        folder: folder of the launch.
        instructions: what becomes of the studio.
        sleep: function that waits for so many seconds.
        clock: function that tells seconds since 1970.

    Raises:
        Exception: if the studio is still there after half a day.
    """
    policy, platform = instructions.release, instructions.platform
    if instructions.keep_warm and instructions.leased and policy is not Release.DELETE:
        awake = Heartbeat(_BEAT, [platform.keep_alive], lambda text: print(text, file=sys.stderr))
        awake.start()
        try:
            if not _is_left_warm(folder, instructions, sleep, clock):
                return
        finally:
            awake.end()
        policy = Release.STOP
    elif policy is Release.NONE:
        if not lease.release(folder.root, launch_id=folder.path.name).put_back:
            return
        # Found stopped and started by another launch, whose turn never came or is over.
        policy = Release.STOP
    is_deleted = policy is Release.DELETE
    ask, is_gone = (platform.delete, platform.is_deleted) if is_deleted else (platform.stop, platform.is_stopped)

    def once() -> None:
        if instructions.leased and not _is_ours(folder):
            # The client gave it back, or somebody took it when it was not renewed: not ours to end any more.
            return
        failure: Exception | None = None
        try:
            ask()
        except Exception as error:
            # What counts is how the studio stands: a stop is refused where there is nothing to stop.
            failure = error
        try:
            _see_gone(is_gone, _AGREEING, sleep)
        except StillThereError as error:
            raise failure or error from None

    insist(once, pause=_FIRST_PAUSE, longest=_STUDIO_PAUSE, times=_STUDIO_TRIES, sleep=sleep)


def _is_left_warm(
    folder: LaunchFolder,
    instructions: Instructions,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> bool:
    """Offers the machine to other launches for a while; returns whether it is ours to stop then.

    A launch that takes it has the duty as soon as it has a guardian. Until then it may come to nothing.
    """
    ours, root = folder.path.name, folder.root
    try:
        if not lease.offer(root, launch_id=ours, put_back=instructions.release is Release.STOP):
            return False
    except OSError:
        # A full disk takes no note, and a warm studio costs money.
        return True
    until = clock() + instructions.keep_warm
    while clock() < until:
        sleep(_WARM_LOOK)
        holder = lease.holder(root)
        if holder is None or holder.machine != machine():
            # Somebody wants it to run on.
            return False
        if holder.launch != ours:
            if LaunchFolder(root, root / layout.launch(holder.launch)).guardian_pid() is not None:
                return False
            if lease.in_force(holder, now=clock(), machine=machine()):
                until = clock() + instructions.keep_warm
    return lease.acquire(root, launch_id=ours, owner="a launch that stops it", clock=clock).acquired


def _see_gone(is_gone: Callable[[], bool], looks: tuple[float, ...], sleep: Callable[[float], None]) -> None:
    for pause in looks:
        sleep(pause)
        if not is_gone():
            raise StillThereError("It was to be ended, and is still there.")


def _is_ours(folder: LaunchFolder) -> bool:
    """Whether the studio is still the launch's; it is closed to others for as long as that is about to end."""
    try:
        return lease.release(folder.root, launch_id=folder.path.name, closing=True).released
    except OSError:
        # A full disk takes no lease back, and a studio costs money all the same.
        return True


def _all_have_ended(folder: LaunchFolder) -> bool:
    try:
        last = {record.token: record for record in read(JobRecord, folder.jobs)}
    except (OSError, RecordError):
        return False
    return all(record.ended is not None for record in last.values())
