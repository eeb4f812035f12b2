"""A deadline in real time for a call that knows none, or doesn't keep it: a slow answer, a name that isn't found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(call: Callable[[], T]) -> Future[T]:
    """Calls in a thread of its own, which never keeps the process from ending.

    Args:
        call: what to do.

    Returns:
        What comes of it.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="begun", daemon=True).start()
    return outcome


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns, or raises, if it does so in time; else it is left to itself.

    Args:
        seconds: how long to wait.
        call: what to do; must not mind to end when nobody waits for it any more.

    Raises:
        TimeoutError: if it takes longer.
    """
    return begin(call).result(max(seconds, 0))
