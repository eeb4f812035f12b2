"""Which processes there are, and which one is meant: ids are given anew, after a restart of the machine above all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process by its ids: its own, that of its process group, and that of its session."""

    id: int
    group: int
    session: int


def running() -> Iterator[Process]:
    """All processes of this machine that have not ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the parenthesised name.
            state, _, group, session = stat.read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield Process(int(stat.parent.name), int(group), int(session))


def is_group_alive(group: int) -> bool:
    """Whether a process of the group has not ended, its leader or another."""
    return any(process.group == group for process in running())


def identity(pid: int | str = "self") -> str:
    """Tells a process from each that had or will have its id, on this start of the machine or another.

    Raises:
        OSError: there is no such process.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # The 22nd field, counted behind the parenthesised name: when it started, in ticks after boot.
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{boot}/{started}"


def machine() -> str:
    """Tells one start of a machine from the next: everything that ran before is dead then."""
    return identity(1)
