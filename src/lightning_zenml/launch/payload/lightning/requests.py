"""One request over HTTP: bounded in time, tried again where that may help, its answer checked."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

TRIES = 5
"""How often a request is sent that fails for a passing reason."""
_SILENCE = 30.0
"""Seconds that a server may say nothing."""
_WHOLE = 60.0
"""Seconds for one answer, however it trickles in."""
_WORDS = 10_000
"""Bytes that are read of what a server says with an error."""
_LONGEST_PAUSE = 30.0
"""Seconds between two tries at most, whatever `Retry-After` says: the machine that waits is paid for."""
_PASSING = frozenset({400, 408, 409, 425, 429})
"""Statuses that say later rather than no: Lightning answers 400 to what can't be done while a machine comes or goes."""


class OddAnswerError(ValueError):
    """An answer that makes no sense, such as a page of HTML. It says nothing about what was asked, and passes."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follows none: a redirect would take the key along, to a page for people."""


_opener = urllib.request.build_opener(_NoRedirects)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Mapping[str, Any] | bytes | None = None,
    tries: int = TRIES,
) -> None:
    """Sends a request. That it was answered is no proof that what was asked for has happened.

    Args:
        method: method of HTTP.
        url: address of the resource.
        headers: headers besides `Content-Type`, which is JSON unless given.
        body: object to send as JSON, or bytes that are sent as they are.
        tries: how often it is sent, as long as it fails for a passing reason.

    Raises:
        OSError: if there was no success within the tries (an `urllib.error.HTTPError` is one).
        http.client.HTTPException: if what came was no whole answer, each time.
    """
    _try(_request(method, url, headers, body), lambda content: None, tries)


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Mapping[str, Any] | bytes | None = None,
    tries: int = TRIES,
) -> dict[str, Any]:
    """Sends a request whose answer is a JSON object; see `send`.

    Returns:
        The object.

    Raises:
        OddAnswerError: if the answer was no JSON object, each time.
        OSError: if there was no success within the tries (an `urllib.error.HTTPError` is one).
        http.client.HTTPException: if what came was no whole answer, each time.
    """
    return _try(_request(method, url, headers, body), _object, tries)


def is_refused(error: Exception) -> bool:
    """Whether an error says no rather than later."""
    return isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code not in _PASSING


def _request(
    method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any] | bytes | None
) -> urllib.request.Request:
    return urllib.request.Request(  # noqa: S310 - the client gave the URL
        url,
        method=method,
        headers={"Content-Type": "application/json", **headers},
        data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
    )


def _try(request: urllib.request.Request, read: Callable[[bytes], T], tries: int) -> T:
    for left in reversed(range(tries)):
        try:
            return read(_bounded(lambda: _content(request)))
        except (OSError, http.client.HTTPException, OddAnswerError) as error:
            if is_refused(error) or not left:
                raise
            time.sleep(min(max(0.5 * 2 ** (tries - 1 - left), _wanted_pause(error)), _LONGEST_PAUSE))
    raise AssertionError("unreachable")


def _content(request: urllib.request.Request) -> bytes:
    try:
        with _opener.open(request, timeout=_SILENCE) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        # It is an open answer itself, and whoever catches it may want to read what was said.
        said = b""
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            said = error.read(_WORDS)
        raise urllib.error.HTTPError(
            request.full_url, error.code, error.reason, error.headers, io.BytesIO(said)
        ) from None


def _object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OddAnswerError(f"The answer is no JSON object: {content[:100]!r}")
    return answer


def _bounded(call: Callable[[], bytes]) -> bytes:
    """Calls in a thread that is left alone when it takes too long: an answer may trickle in for ever."""
    told: list[bytes | Exception] = []

    def work() -> None:
        try:
            told.append(call())
        except Exception as error:
            told.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_WHOLE)
    if not told:
        raise TimeoutError(f"There was no whole answer within {_WHOLE:.0f} s.")
    if isinstance(told[0], Exception):
        raise told[0]
    return told[0]


def _wanted_pause(error: Exception) -> float:
    """Seconds that the server wants to be left alone; 0 where it doesn't say."""
    wanted = error.headers.get("Retry-After") if isinstance(error, urllib.error.HTTPError) else None
    if wanted is None:
        return 0.0
    try:
        return float(wanted)
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(wanted).timestamp() - time.time()
    except ValueError:
        return 0.0
