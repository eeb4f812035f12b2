"""The lease of a named studio: one launch at a time, a second one waits and is told for whom."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.process import machine
from lightning_zenml.launch.payload.protocol import Leased, Unleased
from lightning_zenml.launch.payload.records import Record

STALE = 300.0
"""Seconds without a heartbeat after which a lease is void: its owner died."""
_CLOSING = 20.0
"""Seconds for which the lease of a studio that is being stopped still holds."""


@dataclass(frozen=True, kw_only=True)
class Lease(Record):
    """Which launch has the studio (`lease.json`).

    Args:
        launch: id of the launch.
        owner: who started the launch, in a few words.
        heartbeat: when the launch was last heard of, seconds since 1970.
        machine: start of the machine on which the lease was taken, see `process.machine`.
        closing: whether the studio is being stopped or deleted.
        put_back: whether a launch has started this machine of a studio that was stopped. Whichever has the lease last
            stops it: the one that started it may be gone by then, or may never have had its turn.
    """

    launch: str
    owner: str
    heartbeat: float
    machine: str
    closing: bool = False
    put_back: bool = False


def acquire(
    root: Path,
    *,
    launch_id: str,
    owner: str,
    started: bool = False,
    keep: bool = False,
    clock: Callable[[], float] = time.time,
) -> Leased:
    """Takes the lease; when another launch holds it, tells of that one and its owner.

    Args:
        root: folder `.lightning_zenml` in the studio's home.
        launch_id: id of the launch that wants it.
        owner: who started the launch, in a few words.
        started: whether the launch has started the machine of a studio that was stopped, for whoever has it last to
            stop.
        keep: whether the launch's user wants the machine to run on in any case.
        clock: function that tells seconds since 1970.
    """
    with _locked(root):
        holder = _read(root)
        put_back = started or (holder is not None and holder.machine == machine() and holder.put_back)
        if holder and holder.launch != launch_id and in_force(holder, now=clock(), machine=machine()):
            if put_back and not holder.put_back:
                _write(root, replace(holder, put_back=True))
            return Leased(acquired=False, launch=holder.launch, owner=holder.owner)
        if holder is None and _was_written_lately(root):
            return Leased(acquired=False, launch="unknown", owner="another version of this program")
        put_back = put_back and not keep
        _write(root, Lease(launch=launch_id, owner=owner, heartbeat=time.time(), machine=machine(), put_back=put_back))
        return Leased(acquired=True, put_back=put_back)


def renew(root: Path, *, launch_id: str) -> bool:
    """A heartbeat; False when the launch does not hold the lease, or is giving it back."""
    with _locked(root):
        holder = _read(root)
        if not _is_of(holder, launch_id) or holder.closing:
            return False
        _write(root, replace(holder, heartbeat=time.time()))
        return True


def release(root: Path, *, launch_id: str, closing: bool = False) -> Unleased:
    """Gives the lease back.

    Args:
        root: folder `.lightning_zenml` in the studio's home.
        launch_id: id of the launch that gives it back.
        closing: whether the studio is about to be stopped or deleted. The lease then ends a little later, lest the next
            launch takes a studio that stops under it; so it does where the studio is to be put back.
    """
    with _locked(root):
        holder = _read(root)
        if not _is_of(holder, launch_id):
            return Unleased(released=False)
        if closing or holder.put_back:
            _write(root, replace(holder, heartbeat=time.time() - STALE + _CLOSING, closing=True))
        else:
            _path(root).unlink()
        return Unleased(released=True, put_back=holder.put_back)


def offer(root: Path, *, launch_id: str, put_back: bool) -> bool:
    """Gives the lease back for anybody to take at once, who then has the machine to stop.

    Args:
        root: folder `.lightning_zenml` in the studio's home.
        launch_id: id of the launch that gives it back.
        put_back: whether the launch itself would stop the machine.

    Returns:
        Whether the machine is to be stopped where nobody takes it.
    """
    with _locked(root):
        holder = _read(root)
        if not _is_of(holder, launch_id):
            return False
        if not (put_back or holder.put_back):
            _path(root).unlink()
            return False
        _write(root, replace(holder, heartbeat=0.0, put_back=True))
        return True


def holder(root: Path) -> Lease | None:
    """The lease as it was last written, in force or not; None where there is none."""
    with _locked(root):
        return _read(root)


def in_force(holder: Lease, *, now: float, machine: str) -> bool:
    """Whether a lease is: its owner was heard of lately, and on this very start of the machine."""
    return now - holder.heartbeat < STALE and holder.machine == machine


def _is_of(holder: Lease | None, launch_id: str) -> TypeGuard[Lease]:
    """Whether the lease is a launch's, on this very start of the machine: a stopped studio keeps its last lease."""
    return holder is not None and holder.launch == launch_id and holder.machine == machine()


def _read(root: Path) -> Lease | None:
    try:
        return Lease.from_json(json.loads(_path(root).read_text()))
    except (OSError, ValueError):
        return None


def _was_written_lately(root: Path) -> bool:
    """Whether there is a lease, be it readable or not, whose owner was heard of lately."""
    try:
        return time.time() - _path(root).stat().st_mtime < STALE
    except FileNotFoundError:
        return False


def _write(root: Path, holder: Lease) -> None:
    # At once, never half: a full disk must not take the lease from whoever holds it.
    draft = root / f"{layout.LEASE}.new"
    draft.write_text(json.dumps(holder.to_json()))
    draft.replace(_path(root))


def _path(root: Path) -> Path:
    return root / layout.LEASE


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / layout.LEASE_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
