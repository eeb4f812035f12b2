"""Requests to a ZenML server: log in, try again, tell clearly what went wrong."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import requests
import tenacity
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from lightning_zenml import http_log
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.deadline import within
from lightning_zenml.http_session import Bearer, Session
from lightning_zenml.zenml_api.patience import PAUSES, PatientAdapter

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 90.0
"""Seconds that one request may take in all: tries, pauses, and an answer that drips in."""
_CHUNK = 64 * 1024
_MORE_TRIES = 2
"""For a server that is away: it takes no connection, breaks each off, or what is before it says 502 or 503."""
_MISFITS = (AttributeError, LookupError, TypeError, ValueError)
"""What an answer of another shape makes of the code that reads it."""
_LOOKS_AT_MISFITS = 4


class ZenMLServerError(CodedError):
    """The ZenML server can't be reached or refuses. The message is meant for the user and holds no secret.

    Args:
        message: what happened and what to do next.
        status: HTTP status of the answer; None when there was no answer.
        said: the server's own words; '' when it had none, as a proxy's page hasn't.
        code: kind of the error, where that is another than that of its class.
    """

    code = Code.ZENML

    def __init__(self, message: str, status: int | None = None, said: str = "", *, code: Code | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.said = said


class OddAnswerError(ZenMLServerError):
    """An answer that is none of a ZenML server's. The next one may be."""

    code = Code.NO_ZENML


def patiently(method: Callable[P, T]) -> Callable[P, T]:
    """Asks again where an answer lacks what a method needs of it, and tells it plainly if that stays so.

    Args:
        method: reads answers of a server, or does what may be done twice; raises whatever it stumbles over.
    """

    @functools.wraps(method)
    def ask(*args: P.args, **options: P.kwargs) -> T:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((*_MISFITS, OddAnswerError)),
            stop=tenacity.stop_after_attempt(_LOOKS_AT_MISFITS),
            wait=PAUSES,
            reraise=True,
        )
        try:
            return retrying(method, *args, **options)
        except _MISFITS as error:
            raise ZenMLServerError(
                f"The ZenML server's answer lacks something ({type(error).__name__}: {error}). Is ZENML_STORE_URL its "
                "address, and is nothing between here and there that changes answers?",
                code=Code.NO_ZENML,
            ) from error

    return ask


class ZenMLRest:
    """The REST API of a ZenML server, below `/api/v1`.

    Every method raises `ZenMLServerError` when the server refuses, or can't be reached after all tries.

    Args:
        url: base URL of the server without a slash at the end.
        api_key: API key of a service account; '' where there is only a token.
        timeout: seconds that one request may take.
        retries: number of times that a request is sent again when the server is busy, breaks off, or its answer is odd,
            see `patience`; where it is away, twice more.
        token: access token that somebody has got by a login of their own; '': the key gets one.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float, retries: int, token: str = "") -> None:
        self._url = url
        self._api_key = api_key
        self._timeout = timeout
        self._token = token
        session = Session()
        # With the pauses between them half a minute: a server that is started anew is back by then.
        tries = retries and retries + _MORE_TRIES
        retry = Retry(
            total=None,
            connect=tries,
            read=tries,
            status=tries,
            other=tries,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            # What is sent with POST or PUT here does the same when it is sent twice.
            allowed_methods=None,
            raise_on_status=False,
            # A server could name any time; the waits here are bounded.
            respect_retry_after_header=False,
        )
        stop = tenacity.stop_after_attempt(retries + 1)
        for prefix in ("http://", "https://"):
            session.mount(prefix, PatientAdapter(HTTPAdapter(max_retries=retry), stop=stop, logs_in=True))
        self._request = http_log.logged("ZenML", session.request)

    @property
    def access(self) -> dict[str, str]:
        """The variable by which ZenML's own client gets the same access: the key, where there is one."""
        return {"ZENML_STORE_API_KEY": self._api_key} if self._api_key else {"ZENML_STORE_API_TOKEN": self._token}

    def public(self, path: str) -> Any:
        """Gets what needs no login.

        Args:
            path: path below `/api/v1/`.

        Returns:
            The answer's JSON.
        """
        return self._json(self._send("GET", path))

    def description(self) -> Any:
        """Gets what the server says of its REST API, as OpenAPI has it.

        Returns:
            The description's JSON; None where the server gives none.
        """
        try:
            return self._json(self._send("GET", "openapi.json", below=""))
        except ZenMLServerError:
            return None

    def get(self, path: str, **parameters: Any) -> Any:
        """Gets something.

        Args:
            path: path below `/api/v1/`.
            **parameters: names and values of the query.

        Returns:
            The answer's JSON.
        """
        return self._json(self._authorized("GET", path, params=parameters))

    def get_at_most(self, path: str, size: int, **parameters: Any) -> Any:
        """Gets something that may be of any size.

        Args:
            path: path below `/api/v1/`.
            size: bytes of the answer that are read at most.
            **parameters: names and values of the query.

        Returns:
            The answer's JSON; None where it is larger.
        """
        with self._authorized("GET", path, params=parameters, stream=True) as answer:
            if not answer.ok:
                return self._json(answer)
            try:
                content = within(_PATIENCE, lambda: _at_most(answer, size))
            except (requests.RequestException, HTTPError, TimeoutError) as error:
                raise self._unreachable(error) from error
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            raise self._no_zenml(answer) from None

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Changes something.

        Args:
            path: path below `/api/v1/`.
            body: JSON to send.

        Returns:
            The answer's JSON.
        """
        return self._json(self._authorized("PUT", path, json=body))

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Gets all items of a list.

        Args:
            path: path below `/api/v1/`.
            **parameters: names and values of the query.

        Yields:
            The items of all pages.
        """
        number, total = 1, 1
        while number <= total:
            page = self.get(path, page=number, size=100, **parameters)
            yield from page["items"]
            number, total = number + 1, page["total_pages"]

    def _authorized(self, method: str, path: str, **arguments: Any) -> requests.Response:
        if not self._token:
            self._login()
        answer = self._send(method, path, **arguments)
        if answer.status_code == 401:
            # The access token has run out.
            self._login()
            answer = self._send(method, path, **arguments)
        return answer

    def _login(self) -> None:
        if not self._api_key:
            raise ZenMLServerError(
                f"The ZenML server {self._url} refuses the token: it has run out, most likely. Log in again, with "
                f"`zenml login {self._url}`, or set ZENML_STORE_API_KEY.",
                401,
                code=Code.ZENML_KEY,
            )
        form = {"grant_type": "zenml-api-key", "password": self._api_key}
        answer = self._send("POST", "login", data=form)
        if answer.status_code in {401, 403}:
            raise ZenMLServerError(
                f"The ZenML server {self._url} refuses the API key. Check ZENML_STORE_API_KEY; a new key comes "
                "from `zenml service-account api-key <account> create <name>`.",
                answer.status_code,
                code=Code.ZENML_KEY,
            )
        self._token = str(self._json(answer)["access_token"])

    def _send(self, method: str, path: str, *, below: str = "api/v1/", **arguments: Any) -> requests.Response:
        auth = Bearer(self._token)

        def request() -> requests.Response:
            answer: requests.Response = self._request(
                method, f"{self._url}/{below}{path}", auth=auth, timeout=self._timeout, **arguments
            )
            return answer

        try:
            answer = within(_PATIENCE, request)
        # An address without meaning comes as an error of urllib3's.
        except (requests.RequestException, HTTPError, TimeoutError) as error:
            raise self._unreachable(error) from error
        return answer

    def _unreachable(self, error: Exception) -> ZenMLServerError:
        return ZenMLServerError(
            f"The ZenML server {self._url} can't be reached ({type(error).__name__}). Check ZENML_STORE_URL, "
            "and that the server can be reached from here.",
            code=Code.ZENML_UNREACHABLE,
        )

    def _no_zenml(self, answer: requests.Response) -> ZenMLServerError:
        return ZenMLServerError(f"{self._url} isn't a ZenML server.", answer.status_code, code=Code.NO_ZENML)

    def _json(self, answer: requests.Response) -> Any:
        if not answer.ok:
            said = _detail(answer)
            words = said or answer.reason or "no reason given"
            raise ZenMLServerError(
                f"The ZenML server {self._url} answers {answer.status_code}: {words}", answer.status_code, said
            )
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise self._no_zenml(answer) from None


def _at_most(answer: requests.Response, size: int) -> bytes | None:
    """The body of an answer that is read bit by bit; None where it is larger."""
    content = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        content += chunk
        if len(content) > size:
            return None
    return bytes(content)


def _detail(answer: requests.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    # ZenML's is a list: ["KeyError", "\"Unable to get ...\""]
    text = detail[-1] if isinstance(detail, list) and detail else detail
    return str(text).strip("\"'")[:500]
