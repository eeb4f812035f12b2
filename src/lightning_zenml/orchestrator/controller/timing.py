"""How often the controllers of static and of dynamic pipelines look, and how long they wait."""

from __future__ import annotations

import time
from collections.abc import Hashable

STEP_POLL = 0.1
"""Seconds between two looks at the steps under way, which costs no request."""
SERVER_POLL = 5.0
"""Seconds between two questions to ZenML whether the run is to be stopped."""
HEARTBEAT_POLL = 20.0
"""Seconds between two looks at the heartbeats of a step."""
STOP_GRACE = 15.0
"""Seconds that steps have for an orderly end when they are asked to end."""


class Turns:
    """Gives each of several things its turn now and then.

    Args:
        pause: seconds between two turns of one thing, and before its first.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._last: dict[Hashable, float] = {}

    def is_due(self, thing: Hashable) -> bool:
        """Whether a thing has its turn now; then its next one is a pause away.

        Args:
            thing: what tells the thing from the others; seen for the first time, it has begun just now.
        """
        now = time.monotonic()
        if now - self._last.setdefault(thing, now) < self._pause:
            return False
        self._last[thing] = now
        return True
