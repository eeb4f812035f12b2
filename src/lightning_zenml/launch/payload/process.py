"""Which processes there are, which one is meant (ids are given anew), and what their exit codes tell."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MEANING = {
    signal.SIGABRT: "compiled code has given up",
    signal.SIGBUS: "a file that memory stands for is gone or its disk full, such as /dev/shm",
    signal.SIGFPE: "a wrong calculation in compiled code",
    signal.SIGILL: "a program or library is made for another kind of processor",
    signal.SIGKILL: "killed, most often as the machine has run out of memory",
    signal.SIGSEGV: "compiled code has crashed",
}


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


def exit_code_in_words(exit_code: int) -> str:
    """Tells an exit code, and of a signal's what that means: most users know neither 137 nor 139.

    Args:
        exit_code: of a command; of a process, negative for a signal.
    """
    number = -exit_code if exit_code < 0 else exit_code - 128
    code = 128 + number if exit_code < 0 else exit_code
    if number not in _MEANING:
        return f"exit code {code}"
    found = signal.Signals(number)
    return f"exit code {code} ({found.name}: {_MEANING[found]})"


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
