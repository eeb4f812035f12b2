"""The wait for what other launches have, and for how long it may last."""

from __future__ import annotations

import time
from collections.abc import Callable

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import StudioError
from lightning_zenml.launch.studio.progress import WaitProgress

_POLL = (2.0, 15.0)
"""Seconds between the first two looks whether it is our turn, and at most."""


class Line:
    """Waits in line behind other launches, and says for whom.

    Args:
        what: thing that is waited for, in words.
        say: takes a line for the log.
        deadline: when the wait is over in any case, by `time.monotonic`.
    """

    def __init__(self, what: str, say: Callable[[str], None], deadline: float) -> None:
        self._say = say
        self._deadline = deadline
        self._pause = _POLL[0]
        self._told = ""
        self._progress = WaitProgress(what, say)

    def wait(self, busy: str) -> None:
        """Waits a while.

        Args:
            busy: who has what is waited for, as a clause.

        Raises:
            StudioError: when the deadline is over.
        """
        if busy != self._told:
            self._told = busy
            self._say(f"Waiting: {busy}")
        self._progress.go_on()
        if time.monotonic() > self._deadline:
            raise StudioError(
                f"No studio was free for all the time that this launch may take, its timeout: {busy}. Run it again "
                "later, give it more time, or use another studio.",
                code=Code.BUSY,
            )
        time.sleep(self._pause)
        self._pause = min(self._pause * 1.5, _POLL[1])

    def end(self) -> None:
        """Called when our turn has come."""
        self._progress.end()
