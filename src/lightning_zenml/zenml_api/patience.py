"""Patience with a ZenML server: which of its answers decide nothing, as the next one may well be another."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import tenacity
from requests.adapters import BaseAdapter

from lightning_zenml.zenml_api.run_end import END_OF_TOKEN
from lightning_zenml.zenml_api.sent_again import made_before

PAUSES = tenacity.wait_exponential(multiplier=0.5, max=10)
"""Between two tries."""

_ONE = re.compile(r"/api/v1/([\w-]+/[0-9a-f-]{36}|current-user)$")
_SEVERAL = re.compile(r"/api/v1/[\w-]+$")
_RECORD = re.compile(r"/api/v1/(runs|steps)/[0-9a-f-]{36}$")
"""What nobody deletes while it is needed."""


class PatientAdapter(BaseAdapter):
    """Sends a request again while its answer is odd; the last answer is believed.

    What is sent twice must do the same as what is sent once.

    Args:
        adapter: what sends it; tries again by itself where the server can't be reached or is busy.
        stop: when the last try was made.
        outages: errors of the adapter that pass, too.
        logs_in: whether whoever asks logs in anew when a token isn't accepted.
        warn: takes a line for the log.
    """

    def __init__(
        self,
        adapter: BaseAdapter,
        *,
        stop: Callable[[tenacity.RetryCallState], bool],
        outages: tuple[type[requests.RequestException], ...] = (),
        logs_in: bool = False,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__()
        self._adapter = adapter
        self._stop = stop
        self._outages = outages
        self._logs_in = logs_in
        self._warn = warn

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Sends a request, see `BaseAdapter.send`."""
        if options.get("stream"):
            # Whoever reads it bit by bit has to cope with what comes.
            return self._adapter.send(request, *args, **options)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda answer: _is_odd(request, answer, logs_in=self._logs_in))
            | tenacity.retry_if_exception_type((*self._outages, requests.exceptions.ChunkedEncodingError)),
            stop=self._stop,
            wait=PAUSES,
            before_sleep=lambda state: self._warn(_why_again(request, state)),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        began, tries = time.monotonic(), itertools.count(1)

        def once() -> requests.Response:
            is_again = next(tries) > 1
            answer = self._whole(request, *args, **options)
            if not (is_again or _was_sent_again(answer)):
                return answer
            found = made_before(request, answer, began=began, send=lambda asked: self._whole(asked, *args, **options))
            _ = found.content
            return found

        answer: requests.Response = retrying(once)
        return answer

    def close(self) -> None:
        """Closes the connections."""
        self._adapter.close()

    def _whole(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        answer = self._adapter.send(request, *args, **options)
        # Read here, as it may break off in the middle.
        _ = answer.content
        return answer


def _was_sent_again(answer: requests.Response) -> bool:
    """Whether the adapter below has sent it more than once by itself."""
    return bool(getattr(getattr(answer.raw, "retries", None), "history", ()))


def _why_again(request: requests.PreparedRequest, state: tenacity.RetryCallState) -> str:
    how = "does not come" if state.outcome and state.outcome.failed else "is odd"
    return f"ZenML's answer to {request.method} {request.path_url.partition('?')[0]} {how}. It is asked again."


def _is_odd(request: requests.PreparedRequest, answer: requests.Response, *, logs_in: bool) -> bool:
    url = urlsplit(request.url or "")
    if answer.is_redirect or "/api/v1/" not in str(url.path):
        return False
    is_login = str(url.path).endswith("/login")
    is_public = is_login or str(url.path).endswith("/info")
    is_asked_for_token = "Authorization" not in request.headers and "WWW-Authenticate" in answer.headers
    if answer.status_code == 401 and not is_public and (logs_in or is_asked_for_token):
        return False
    try:
        told = answer.json()
    except (ValueError, RecursionError):
        return True
    if answer.ok:
        return not _fits(told, request)
    detail = told.get("detail") if isinstance(told, dict) else None
    if not isinstance(detail, list):
        # It isn't ZenML that says so: that names its exception.
        return True
    match answer.status_code:
        case 401:
            # Without a token, the client asks first and logs in then.
            is_expected = is_login or "Authorization" not in request.headers
            return not (is_expected or END_OF_TOKEN.search(str(detail)))
        case 404:
            return bool(_RECORD.search(str(url.path)))
        case status:
            return status == 500


def _fits(told: Any, request: requests.PreparedRequest) -> bool:
    """Whether an answer has the shape of what was asked for, as far as all of ZenML's have the same."""
    url, method = urlsplit(str(request.url)), str(request.method)
    path, query = str(url.path), str(url.query)
    if method == "GET" and path.endswith("/api/v1/api_token"):
        return isinstance(told, str) and bool(told)
    if method == "GET" and path.endswith("/api/v1/info"):
        return isinstance(told, dict) and isinstance(told.get("version"), str)
    if method in {"GET", "PUT"} and _ONE.search(path):
        return isinstance(told, str) or _is_thing(told)
    if method == "GET" and _SEVERAL.search(path) and "page" in parse_qs(query):
        items = told.get("items") if isinstance(told, dict) else None
        return isinstance(items, list) and all(map(_is_thing, items))
    if method == "POST" and path.endswith("/batch"):
        return isinstance(told, list) and all(map(_is_thing, told)) and len(told) == len(json.loads(request.body or ""))
    return not (method == "POST" and _SEVERAL.search(path) and told in ({}, []))


def _is_thing(told: Any) -> bool:
    return isinstance(told, dict) and isinstance(told.get("id"), str)
