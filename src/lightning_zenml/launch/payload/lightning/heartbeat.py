"""Signs of life, every so often."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

_LAST_BEAT = 5.0
"""Seconds for a beat that is under way when they end: a lease must not be renewed after it was given back."""


class Heartbeat:
    """Calls functions every so often, each from a thread of its own: one that hangs or fails holds up no other.

    Args:
        period: seconds between two beats.
        calls: functions to call at each beat.
        warn: function that takes a warning in words, once per kind of error.
    """

    def __init__(self, period: float, calls: Sequence[Callable[[], object]], warn: Callable[[str], None]) -> None:
        self._period, self._warn = period, warn
        self._ended = threading.Event()
        self._calls = tuple(calls)
        self._threads: list[threading.Thread] = []
        self._warned: set[str] = set()

    def start(self, *, after: float = 0.0) -> None:
        """Begins.

        Args:
            after: seconds until the first beat.
        """
        self._threads = [threading.Thread(target=self._beat, args=(call, after), daemon=True) for call in self._calls]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """No more beats; one that hangs is not waited for."""
        self._ended.set()
        deadline = time.monotonic() + _LAST_BEAT
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def _beat(self, call: Callable[[], object], after: float) -> None:
        self._ended.wait(after)
        while not self._ended.is_set():
            try:
                call()
            except Exception as error:
                self._tell(f"{type(error).__name__}: {error}")
            self._ended.wait(self._period)

    def _tell(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            # A full disk takes no warning, and is no reason to fall asleep.
            with contextlib.suppress(OSError):
                self._warn(f"Keeping the studio awake failed once: {text}")
