"""How a call to Lightning fails, and whether and when it is made again."""

from __future__ import annotations

import json
import math
import time

import tenacity
from lightning_sdk.lightning_cloud.openapi.rest import ApiException

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import CredentialsError, LaunchError

_TRIES = 10
"""How often a call is made that fails for a passing reason: an outage of half a minute is sat out."""
_REFUSALS = 3
"""How often it is made that is refused: one such answer may be a proxy's, or a server's that has just come up."""
_STRAY = frozenset({401, 403, 404})
"""Statuses of refusals that a server which knows better would not have sent."""
_PATIENCE = 60.0
"""Seconds after which a failed call is not made again."""
_LONGEST_RETRY_AFTER = 20.0
"""Seconds for which a call waits at most because Lightning asks for it (`Retry-After`)."""
_BACKOFF = tenacity.wait_exponential(multiplier=0.3, max=10) + tenacity.wait_random(0, 0.3)


class ApiError(LaunchError):
    """Lightning answered with an error.

    Args:
        status: HTTP status of the answer.
        message: the platform's own words.
        retry_after: seconds that it wants us to wait before we ask again.
    """

    code = Code.LIGHTNING

    def __init__(self, status: int, message: str, *, retry_after: float = 0) -> None:
        super().__init__(f"Lightning answered {status}: {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def of(cls, error: ApiException) -> ApiError:
        """An error of the generated client, in our words."""
        return cls(error.status or 0, _message_of(error), retry_after=_retry_after(error))

    @property
    def is_refusal(self) -> bool:
        """Whether it says no, rather than later: then the request surely wasn't carried out."""
        return self.status < 500 and self.status not in (408, 429)


class UnreachableError(LaunchError):
    """No answer from Lightning, or it was lost; whether the request was carried out is unknown."""

    code = Code.UNREACHABLE


class OddAnswerError(UnreachableError):
    """Lightning's answer makes no sense, so it is as good as lost."""


def retrying(*, idempotent: bool, deadline: float = math.inf) -> tenacity.Retrying:
    """How often a call to Lightning is made, and when.

    Args:
        idempotent: whether it may be sent again though it may have been carried out.
        deadline: when it isn't made again any more, by `time.monotonic`.

    Returns:
        A function that makes the call.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass if idempotent else _was_turned_away),
        stop=lambda state: _is_settled(state) or time.monotonic() + state.upcoming_sleep > deadline,
        wait=_pause,
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    """Whether a later try may succeed: no answer, too many requests, a fault of the server, or a stray refusal."""
    if isinstance(error, ApiError):
        return error.status in _STRAY or (not error.is_refusal and error.status != 501)
    return isinstance(error, (UnreachableError, CredentialsError))


def _was_turned_away(error: BaseException) -> bool:
    """The same for a call that surely was not carried out."""
    return isinstance(error, CredentialsError) or (isinstance(error, ApiError) and error.status in _STRAY | {429})


def _is_settled(state: tenacity.RetryCallState) -> bool:
    """Whether a call has failed often enough, or for so long that its caller should know."""
    error = state.outcome.exception() if state.outcome else None
    is_refused = isinstance(error, CredentialsError) or (isinstance(error, ApiError) and error.status in _STRAY)
    tries = _REFUSALS if is_refused else _TRIES
    return state.attempt_number >= tries or (state.seconds_since_start or 0) > _PATIENCE


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds until the next try: what Lightning asks for where that is reasonable, else more with each try."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) else 0.0
    return max(_BACKOFF(state), min(asked, _LONGEST_RETRY_AFTER))


def _retry_after(error: ApiException) -> float:
    """Seconds in the header `Retry-After`; 0 when there is none, or one that tells no number of seconds."""
    value = str((error.headers or {}).get("Retry-After") or "")
    return float(value) if value.isdecimal() else 0.0


def _message_of(error: ApiException) -> str:
    """The `message` of a gRPC gateway's error body, or the reason of the status line."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason or body[:200])
