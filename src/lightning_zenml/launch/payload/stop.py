"""What stops a launch before its end: a signal, or what a program beside it has found out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence


class Stop(Exception):  # noqa: N818 - a signal, not an error
    """The launch is to be stopped."""


class StopSignal:
    """What SIGTERM does: raises `Stop`, once; within `held`, at the end of that.

    Python drops what a signal's handler raises in a finalizer or the callback of a weak reference. So the fact is kept,
    and whoever waits looks at it.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._came = False

    def __call__(self, *_: object) -> None:
        """Handles the signal."""
        self._came = True
        if not self._is_held:
            self.look()

    def look(self) -> None:
        """Raises `Stop` if the signal came."""
        if self._came:
            # A second one would interrupt the cleaning up after the first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise Stop

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a stop until the end of the block."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self.look()


class Watch:
    """A program that watches beside a launch, and ends with 0 once that is to be stopped: then SIGTERM comes.

    Args:
        arguments: arguments of this process's Python; empty: nothing is watched.
        environment: variables of the program.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._is_over = False
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        if arguments:
            # Its end of the pipe tells it when there is nobody to watch for.
            self._process = subprocess.Popen([sys.executable, *arguments], env=environment, stdin=subprocess.PIPE)
            threading.Thread(target=self._wait, args=(self._process,), daemon=True).start()

    def end(self) -> None:
        """Watches no longer: whoever comes now looks for a stop itself."""
        with self._turn:
            self._is_over = True
        if self._process is not None:
            self._process.kill()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        exit_code = process.wait()
        with self._turn:
            if exit_code == 0 and not self._is_over:
                os.kill(os.getpid(), signal.SIGTERM)
