"""Whether a machine holds GPUs and uses none of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from lightning_zenml.launch.payload.protocol import minutes
from lightning_zenml.launch.payload.usage.gpus import Gpu

_FEWEST = 5
"""Looks that must agree, however short the time is."""


class Idleness(StrEnum):
    """What is to be done about GPUs that nobody uses."""

    WARN = "warn"
    """Half of the time is over."""
    END = "end"


class IdleGpus:
    """Counts the time in which every GPU said that it did nothing.

    An answer that is odd or missing, of one GPU or all, counts for nothing: neither as idleness nor as work. One look
    that finds any of them at work begins the time anew.

    Args:
        limit: seconds after which it is enough.
        longest: seconds between two looks at most, for the time between them to count.
    """

    def __init__(self, limit: float, longest: float) -> None:
        self._limit, self._longest = limit, longest
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets what was counted so far."""
        self._idle, self._looks, self._warned = 0.0, 0, False
        self._last: float | None = None

    def look(self, gpus: Sequence[Gpu], now: float) -> Idleness | None:
        """Takes a look into account.

        Args:
            gpus: all GPUs of the machine.
            now: seconds, from a clock that only goes forward.

        Returns:
            What is to be done now; None: nothing.
        """
        if any(gpu.busy for gpu in gpus):
            self.begin_anew()
            return None
        if not gpus or any(gpu.busy is None for gpu in gpus):
            self._last = None
            return None
        if self._last is not None and now - self._last <= self._longest:
            self._idle += now - self._last
        self._last = now
        self._looks += 1
        if self._looks >= _FEWEST and self._idle >= self._limit:
            return Idleness.END
        if not self._warned and self._idle >= self._limit / 2:
            self._warned = True
            return Idleness.WARN
        return None


def in_words(idleness: Idleness, machine: str, limit: float) -> str:
    """Tells what is about to happen, or why it has happened.

    Args:
        idleness: what is to be done.
        machine: name of the machine.
        limit: seconds that GPUs may be idle.
    """
    on = f" on {machine}" if machine else ""
    if idleness is Idleness.WARN:
        return (
            f"Warning: no GPU{on} has done anything for {minutes(limit / 2)}. `stop-idle-gpu` ends this in "
            f"another {limit / 120:g} unless one is used."
        )
    return (
        f"Stopped: no GPU{on} has done anything for {minutes(limit)} (`stop-idle-gpu`). Use a CPU machine for what "
        "needs no GPU, look for what the run waits for, or allow more minutes."
    )


def heard(usage: Path) -> Path:
    """The file by which a step says that it has heard that it is to end.

    Args:
        usage: file that the sampler of its machine writes.
    """
    return usage.with_suffix(".heard")
