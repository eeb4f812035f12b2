"""A thread that tells what is new, so that nobody who has something else to do waits for whoever is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Messenger(Generic[T]):
    """Delivers the newest message; those that a newer one has overtaken meanwhile are dropped.

    The thread never keeps the process from ending.

    Args:
        deliver: delivers one message, however long that takes.
        on_error: is told what `deliver` raises; the messenger goes on.
    """

    def __init__(self, deliver: Callable[[T], None], on_error: Callable[[Exception], None]) -> None:
        self._deliver = deliver
        self._on_error = on_error
        self._messages: list[T] = []
        self._is_under_way = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, message: T) -> None:
        """Has a message delivered, and returns at once."""
        with self._changed:
            self._messages[:] = [message]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="messenger", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Waits until what was sent is delivered.

        Args:
            seconds: how long to wait.

        Returns:
            Whether all is.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not (self._messages or self._is_under_way), seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._messages))
                message = self._messages.pop()
                self._is_under_way = True
            try:
                self._deliver(message)
            except Exception as error:
                self._on_error(error)
            finally:
                with self._changed:
                    self._is_under_way = False
                    self._changed.notify_all()
