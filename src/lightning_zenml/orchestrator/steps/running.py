"""What a step under way is, wherever it runs, and how many may begin at once in the studio."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from lightning_zenml.launch.errors import LaunchError

AT_ONCE = max(8, 4 * (os.cpu_count() or 1))
"""Steps that may begin at once in the studio; each asks ZenML a dozen times before its own code has its turn."""
BEGINS_WITHIN = 30.0
"""Seconds after which a step is taken to have begun, whatever it does."""
_POLL = 0.05


class RunningStep(Protocol):
    """A step under way, wherever it runs."""

    @property
    def error(self) -> LaunchError | None:
        """Why it has ended before it began, as far as that is known."""

    @property
    def url(self) -> str:
        """Its own page on Lightning AI; '' for a step in the studio."""

    @property
    def age(self) -> float:
        """Seconds since it was started."""

    def poll(self) -> int | None:
        """Gets the exit code; None while the step runs."""

    def wait(self, timeout: float) -> bool:
        """Waits, `timeout` seconds at most; returns whether the step has ended."""

    def terminate(self) -> None:
        """Asks the step to end, once."""

    def kill(self) -> None:
        """Ends it; harmless when it has ended."""


class UnstartedStep:
    """A step that couldn't be started, which is how it has ended, and is recorded so.

    Args:
        error: why it couldn't be started, for whoever records that; None: it is recorded already.
    """

    url = ""
    age = 0.0

    def __init__(self, error: LaunchError | None = None) -> None:
        self.error = error

    def poll(self) -> int | None:
        """Gets an exit code that no command has."""
        return -1

    def wait(self, timeout: float) -> bool:
        """Says that it has ended."""
        return True

    def terminate(self) -> None:
        """Does nothing."""

    def kill(self) -> None:
        """Does nothing."""


class Beginnings:
    """Lets steps begin in the studio a few at a time; how many then run side by side is not its concern.

    A hundred that begin together take the ZenML server's answers from one another until each comes too late, is asked
    for again, and the server does little else. For several threads.

    Args:
        at_once: steps that may begin together.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._beginning: list[tuple[RunningStep, Callable[[], bool], float]] = []

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until one more may begin; it is to be started in this block."""
        with self._turn:
            while self._count() >= self._at_once and not self._closed.wait(_POLL):
                pass
            yield

    def add(self, step: RunningStep, has_begun: Callable[[], bool]) -> None:
        """Remembers a step that begins now.

        Args:
            step: the step.
            has_begun: whether its own code has begun.
        """
        self._beginning.append((step, has_begun, time.monotonic() + BEGINS_WITHIN))

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._closed.set()

    def _count(self) -> int:
        now = time.monotonic()
        self._beginning = [
            (step, has_begun, latest)
            for step, has_begun, latest in self._beginning
            if now < latest and not has_begun() and step.poll() is None
        ]
        return len(self._beginning)
