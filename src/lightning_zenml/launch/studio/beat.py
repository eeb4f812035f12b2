"""Keeps a studio awake and leased while a launch is made ready; from its start on, the payload does it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType

from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.launch.studio.remote import Remote

_LAST_BEAT = 5.0
"""Seconds for a beat that is under way at the end."""


class Beat:
    """A context in which a thread renews, every so often, what is held at that moment.

    Args:
        lightning: the teamspace.
        hold: what is held; None: nothing yet.
        period: seconds.
    """

    def __init__(self, lightning: Lightning, hold: Callable[[], Hold | None], period: float) -> None:
        self._lightning = lightning
        self._hold = hold
        self._period = period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="beat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_LAST_BEAT)

    def _go_on(self) -> None:
        while not self._ended.wait(self._period):
            hold = self._hold()
            if hold is None:
                continue
            studio = Studio(self._lightning, id=hold.studio_id, name=hold.studio_name, cluster=hold.cluster)
            # The next beat makes up for one that fails, and the launch itself meets what is wrong.
            with contextlib.suppress(Exception):
                studio.keep_alive()
            if hold.leased:
                with contextlib.suppress(Exception):
                    Remote(studio, hold.python, hold.wheel, hold.launch_id).call("renew", timeout=30)
