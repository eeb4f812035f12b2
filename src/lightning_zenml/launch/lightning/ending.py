"""The end of a studio or job: asked for, and looked at until it has come, as that it was answered is no proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning.failures import ApiError

_PATIENCE = 60.0
"""Seconds for the end to come once Lightning has taken the request."""
_PAUSE = 1.0
"""Seconds between two requests for it."""


def end(
    request: Callable[[], None],
    looks: Sequence[Callable[[], bool]],
    *,
    gone: type[LaunchError],
    otherwise: Callable[[], LaunchError],
) -> float:
    """Asks for the end, again and again until all looks agree that it has come.

    Args:
        request: asks for it; harmless when it has come.
        looks: each asks in its own way whether it has come.
        gone: error of a request or look that finds nothing there (any more).
        otherwise: makes the error for an end that does not come.

    Returns:
        When it was asked for last, seconds since 1970: the looks come after that.

    Raises:
        LaunchError: when the platform refuses, can't be reached, or the end does not come within a minute.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        refusal: ApiError | None = None
        try:
            request()
        except gone:
            # Somebody was faster: the end we want, if it is true.
            pass
        except ApiError as error:
            if error.status >= 500:
                raise
            # Refused, as there is nothing to end: the end we want, if it is true.
            refusal = error
        asked = time.time()
        told = [_told(look, gone) for look in looks]
        if all(told):
            return asked
        if refusal is not None and None not in told:
            raise refusal
        if time.monotonic() > deadline:
            raise refusal or otherwise()
        time.sleep(_PAUSE)


def _told(look: Callable[[], bool], gone: type[LaunchError]) -> bool | None:
    """What a look tells; None: nothing. Of several refusals in a row, the last may be of another kind."""
    try:
        return look()
    except gone:
        return True
    except LaunchError:
        return None
