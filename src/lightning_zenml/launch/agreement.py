"""What is believed only once several looks agree: that something is lost, deleted, or refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SPAN = 30.0
"""Seconds over which looks must agree."""
_LOOKS = 3
"""So many looks must agree, at least."""


class Agreement:
    """Looks in a row that all tell the same.

    Args:
        span: seconds from the first look to the one that settles it; None: `SPAN`.
        clock: function that gives the time in seconds.
    """

    def __init__(self, span: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._span = SPAN if span is None else span
        self._clock = clock
        self._looks = 0
        self._since = 0.0

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        return min(5.0, self._span / _LOOKS)

    def settles(self, agrees: bool) -> bool:
        """Counts a look.

        Args:
            agrees: whether the look tells the same as those before; one that doesn't begins the row anew.

        Returns:
            Whether it is to be believed now.
        """
        if not agrees:
            self._looks = 0
            return False
        if not self._looks:
            self._since = self._clock()
        self._looks += 1
        return self._looks >= _LOOKS and self._clock() - self._since >= self._span


def found(look: Callable[[], T | None]) -> T | None:
    """What is looked for; None once several looks agree that there is no such thing.

    Args:
        look: looks once.
    """
    gone = Agreement()
    while (thing := look()) is None and not gone.settles(True):
        time.sleep(gone.pause)
    return thing
