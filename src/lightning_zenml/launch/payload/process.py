"""Which process is meant: process ids are given anew, after a restart of the machine above all."""

from __future__ import annotations

from pathlib import Path


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
