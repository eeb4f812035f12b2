"""Signals that end what the main thread does, and are not lost on the way.

Python drops what a signal's handler raises while a finalizer or the callback of a weak reference runs, with "Exception
ignored in ...", and without a word where that finalizer closes a file or an HTTP response
(https://docs.python.org/3/reference/datamodel.html#object.__del__). One in some thousand signals met one in a client
that does nothing but call Lightning.
"""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType

_LOOK = 0.5
"""Seconds between two looks whether what was raised got lost."""


class Interruption:
    """A block that signals end by an exception in the main thread, which is raised anew as long as it gets lost.

    Lost is an exception that is gone while the block still runs, so the block itself must not catch it for good. A
    further signal changes nothing: it would interrupt the cleaning up after the first.

    Args:
        error: makes the exception for the number of a signal.
        numbers: signals that end the block; none: the block is one like any other.
    """

    def __init__(self, error: Callable[[int], BaseException], *numbers: int) -> None:
        self._error = error
        self._numbers = numbers
        self._previous: dict[int, signal._HANDLER] = {}
        self._number: int | None = None
        self._raised: Callable[[], _Mark | None] = lambda: None
        self._main = threading.get_ident()
        self._is_open = False
        self._sending = threading.Lock()
        self._over = threading.Event()

    @classmethod
    def by_ctrl_c(cls) -> Interruption:
        """One by `KeyboardInterrupt`, unless Ctrl-C means something else here, or can't interrupt this thread."""
        is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        is_main = threading.current_thread() is threading.main_thread()
        return cls(lambda number: KeyboardInterrupt(), *([signal.SIGINT] if is_usual and is_main else []))

    def __enter__(self) -> None:
        if self._numbers:
            threading.Thread(target=self._repeat, name="interruption", daemon=True).start()
        self._previous = {number: signal.signal(number, self._interrupt) for number in self._numbers}
        self._is_open = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._sending:
            self._is_open = False
        self._over.set()
        for number, previous in self._previous.items():
            signal.signal(number, previous or signal.SIG_DFL)
        if error is None and self._is_lost:
            raise self._exception()

    @property
    def _is_lost(self) -> bool:
        return self._number is not None and self._raised() is None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._number = self._number or number
        # What comes while the handlers are put back must not keep them from that; it is raised behind it.
        is_ending = frame is not None and frame.f_code is Interruption.__exit__.__code__
        if self._is_open and self._is_lost and not is_ending:
            raise self._exception()

    def _exception(self) -> BaseException:
        """What is to be raised. No frame that raises it may have a name for it: then it would keep itself alive."""
        assert self._number is not None  # noqa: S101 - there was a signal
        error, mark = self._error(self._number), _Mark()
        # The mark lives as long as the exception, which itself may be of a kind that has no weak references.
        vars(error)["_mark"] = mark
        self._raised = weakref.ref(mark)
        return error

    def _repeat(self) -> None:
        while not self._over.wait(_LOOK):
            with self._sending:
                if self._is_open and self._is_lost and self._number is not None:
                    # To that thread, so that a call in which it waits ends, too.
                    signal.pthread_kill(self._main, self._number)


class _Mark:
    """Is gone when the exception is that it belongs to."""
