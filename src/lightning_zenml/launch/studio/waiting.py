"""A long wait, told of now and then, so that a silent log is never a riddle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INTERVAL = 30.0
"""Seconds after which somebody who waits is told again."""


class Waiting:
    """Tells how long something has been waited for.

    Args:
        what: is waited for.
        say: takes the words.
        clock: seconds.
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
def told(what: str, say: Callable[[str], None], *, interval: float = _INTERVAL) -> Iterator[None]:
    """Tells how long the block has been waiting for something that does not tell of itself.

    Args:
        what: is waited for.
        say: takes the words, in a thread of its own.
        interval: seconds after which it is told again.
    """
    since, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(interval):
            say(f"Waiting for {what}: {_duration(time.monotonic() - since)} so far")

    thread = threading.Thread(target=tell, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
