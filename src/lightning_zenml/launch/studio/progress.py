"""A long wait, reported now and then, so that a silent log is never a riddle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INTERVAL = 30.0
"""Seconds between two lines about the same wait."""


class WaitProgress:
    """Reports how long something has been waited for.

    Args:
        what: thing that is waited for, in words.
        say: takes a line for the log.
        clock: gives the time, in seconds.
    """

    def __init__(self, what: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._say = say
        self._clock = clock
        self._since = self._said = clock()

    def go_on(self) -> None:
        """Called each time round; says something only now and then."""
        now = self._clock()
        if now - self._said >= _INTERVAL:
            self._said = now
            self._say(f"Waiting for {self._what}: {_duration(now - self._since)} so far")

    def end(self) -> None:
        """Called when it is there; a short wait is not worth a word."""
        if self._said > self._since:
            self._say(f"Waited {_duration(self._clock() - self._since)} for {self._what}")


@contextmanager
def reported(what: str, say: Callable[[str], None], *, interval: float = _INTERVAL) -> Iterator[None]:
    """A context that waits for something without a word of its own; a thread reports how long it has been.

    Args:
        what: thing that is waited for, in words.
        say: takes a line for the log, in the thread.
        interval: seconds between two lines.
    """
    since, ended = time.monotonic(), threading.Event()

    def report() -> None:
        while not ended.wait(interval):
            say(f"Waiting for {what}: {_duration(time.monotonic() - since)} so far")

    thread = threading.Thread(target=report, name="wait-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
