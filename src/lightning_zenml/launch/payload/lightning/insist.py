"""Calls that must not fail for good."""

from __future__ import annotations

import time
from collections.abc import Callable

from lightning_zenml.launch.payload.lightning.requests import is_refused


def insist(
    call: Callable[[], None],
    *,
    pause: float,
    times: int,
    longest: float | None = None,
    refused_for: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Makes a call again until it succeeds, through outages far longer than one request sits out.

    Args:
        call: call that raises when it failed. Whatever that is may pass: a refusal too, once a key has changed or an
            answer was wrong.
        pause: seconds between the first two tries.
        times: number of tries.
        longest: seconds up to which the pauses grow, each by half; None: they don't grow.
        refused_for: seconds over which nothing but refusals is believed; None: none ever is.
        sleep: function that waits for so many seconds.
        clock: function that gives the time in seconds.

    Raises:
        Exception: the last error, if the call failed each time or was refused for so long.
    """
    refused_since: float | None = None
    for left in reversed(range(times)):
        try:
            return call()
        except Exception as error:
            now = clock()
            if not is_refused(error):
                refused_since = None
            elif refused_since is None:
                refused_since = now
            is_believed = None not in (refused_for, refused_since) and now - (refused_since or 0) >= (refused_for or 0)
            if not left or is_believed:
                raise
            sleep(pause)
            pause = min(pause * 1.5, longest) if longest else pause
    return None
