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
    refusals: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Makes a call again until it succeeds, through outages far longer than one request sits out.

    Args:
        call: call that raises when it failed. Whatever that is may pass: a refusal too, once a key has changed or an
            answer was wrong.
        pause: seconds between the first two tries.
        times: number of tries.
        longest: seconds up to which the pauses grow, each by half; None: they don't grow.
        refusals: number of refusals in a row that are believed; None: none ever is.
        sleep: function that waits for so many seconds.

    Raises:
        Exception: the last error, if the call failed each time or was refused so often.
    """
    refused = 0
    for left in reversed(range(times)):
        try:
            return call()
        except Exception as error:
            refused = refused + 1 if is_refused(error) else 0
            if not left or refused == refusals:
                raise
            sleep(pause)
            pause = min(pause * 1.5, longest) if longest else pause
    return None
