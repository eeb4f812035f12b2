"""The lease of a named studio: one launch at a time, a second one waits and is told for whom."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STALE = 300.0
"""Seconds without a heartbeat after which a lease is void: its owner died."""
_CLOSING = 20.0
"""Seconds for which the lease of a studio that is being stopped still holds."""


def acquire(root: Path, *, launch_id: str, owner: str) -> dict[str, Any]:
    """Takes or renews the lease; when another launch holds it, tells that one's owner and age of the heartbeat."""
    with _locked(root):
        holder = _read(root)
        if holder and holder["launch"] != launch_id and _holds(holder):
            return {"acquired": False, "launch": holder["launch"], "owner": holder["owner"]}
        taken = {"launch": launch_id, "owner": owner, "heartbeat": time.time(), "machine": _machine()}
        _path(root).write_text(json.dumps(taken))
        return {"acquired": True}


def release(root: Path, *, launch_id: str, closing: bool = False) -> bool:
    """Gives the lease back; False when the launch did not hold it.

    Args:
        root: `.lightning_zenml`.
        launch_id: who gives it back.
        closing: the studio is about to be stopped. The lease then ends a little later, lest the next launch
            takes a studio that stops under it.
    """
    with _locked(root):
        holder = _read(root)
        if not holder or holder["launch"] != launch_id:
            return False
        if closing:
            holder["heartbeat"] = time.time() - STALE + _CLOSING
            _path(root).write_text(json.dumps(holder))
        else:
            _path(root).unlink()
        return True


def _holds(holder: dict[str, Any]) -> bool:
    """Whether a lease is in force: its owner was heard of lately, and on this very start of the machine."""
    return bool(time.time() - holder["heartbeat"] < STALE and holder["machine"] == _machine())


def _machine() -> str:
    """Tells one start of a machine from the next: everything that ran before is dead then."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # The 22nd field, counted behind the parenthesised name: when process 1 started, in ticks after boot.
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    return f"{boot}/{started}"


def _read(root: Path) -> dict[str, Any] | None:
    try:
        holder: dict[str, Any] = json.loads(_path(root).read_text())
    except (OSError, ValueError):
        return None
    return holder


def _path(root: Path) -> Path:
    return root / "lease.json"


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lease.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
