"""The bound on how many steps of a dynamic pipeline run side by side."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class NotStartedError(RuntimeError):
    """A step that waited for its turn isn't started any more."""


class Slots:
    """Places for steps that run side by side, also those of child pipelines. For several threads.

    Args:
        number: number of places; None: as many as steps come.
    """

    def __init__(self, number: int | None) -> None:
        self._free: float = math.inf if number is None else number
        # Its lock is reentrant: a signal's handler may close while its own thread takes a place.
        self._changed = threading.Condition()
        self._closed = False
        self._over: set[UUID] = set()

    @property
    def closed(self) -> bool:
        """Whether nothing is started any more."""
        return self._closed

    def take(self, run_id: UUID) -> None:
        """Waits for a free place and takes it.

        Args:
            run_id: id of the step's run in ZenML.

        Raises:
            NotStartedError: if nothing is started any more, or the run fails meanwhile.
        """
        with self._changed:
            waits = self._free <= 0
            self._changed.wait_for(lambda: self._free > 0 or self._closed or run_id in self._over)
            if self._closed or (waits and run_id in self._over):
                raise NotStartedError("The run has failed or is being stopped: the step isn't started any more.")
            self._free -= 1

    @contextlib.contextmanager
    def taken(self, run_id: UUID) -> Iterator[None]:
        """Has a place meanwhile, see `take`."""
        self.take(run_id)
        try:
            yield
        finally:
            self.give_back()

    def take_if_free(self) -> bool:
        """Takes a place without waiting; returns whether there was one."""
        with self._changed:
            if self._free <= 0:
                return False
            self._free -= 1
            return True

    def take_anyway(self) -> None:
        """Takes a place for a step that runs already."""
        with self._changed:
            self._free -= 1

    def give_back(self) -> None:
        """Leaves a place to the next step."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def end(self, run_id: UUID) -> None:
        """Lets no step of a run, which has failed, wait for a place any more."""
        with self._changed:
            self._over.add(run_id)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets no more steps have a place."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self, timeout: float) -> bool:
        """Waits until no more steps have a place, `timeout` seconds at most; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout)
