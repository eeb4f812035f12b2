"""Requests to GitHub: authorised, in pages, tried again where that is safe, errors told clearly. For `github`.

Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import requests
import tenacity

from lightning_zenml import http_log
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.deadline import within
from lightning_zenml.http_session import Bearer, Session

T = TypeVar("T")

API_VERSION = "2022-11-28"
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for data."""
PATIENCE = 120.0
"""Seconds that one request may take in all: tries, answers that drip in, and waits for a rate limit."""
ATTEMPTS = 6
"""With the pauses between them half a minute."""
_REFUSALS = 3
"""How often what is refused is asked for: one such answer may come from something in between."""

_OF_COMMENTS = "pull-requests: write"
_PERMISSIONS = {
    "deployments": "deployments: write",
    "check-runs": "checks: write",
    "statuses/": "statuses: write",
    "git/": "contents: write",
}
"""What a token needs, by a part of the path."""

_SECONDARY_LIMIT = 60.0
"""Seconds to wait for a secondary rate limit that doesn't tell how long, as GitHub asks."""


class GitHubError(CodedError):
    """GitHub refuses a request or can't be reached. The message is for the user."""

    code = Code.GITHUB


class UnauthorizedError(GitHubError):
    """The token is not valid (any more)."""

    code = Code.GITHUB_TOKEN


class ForbiddenError(GitHubError):
    """The token lacks a permission."""

    code = Code.GITHUB_TOKEN


class NotFoundError(GitHubError):
    """The repository, pull request or comment doesn't exist, or the token may not see it."""


class InvalidError(GitHubError):
    """GitHub finds the request itself wrong, e.g. a comment too long."""


class CertificateError(GitHubError):
    """The server's certificate comes from an authority that is not trusted here."""

    code = Code.GITHUB_CERTIFICATE


class TryLaterError(GitHubError):
    """It may go well later."""

    code = Code.GITHUB_AWAY


class RateLimitedError(TryLaterError):
    """Too many requests: this one was not carried out.

    Attributes:
        retry_after: seconds that GitHub wants us to wait.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(TryLaterError):
    """No answer, or a server error: whether the request was carried out is unknown."""


class GitHubRest:
    """The REST interface of github.com or of an Enterprise Server.

    Args:
        api_url: base URL of the REST API, as in `GITHUB_API_URL`.
        token: token that authorises the requests.
        session: HTTP session of the requests; None: a new one.
        sleep: function that waits for so many seconds.
        clock: function that tells seconds since 1970, as a rate limit ends at such a time.

    Attributes:
        patience: seconds that one request may take in all; less where somebody waits for more than GitHub.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        session: requests.Session | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.patience = PATIENCE
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._request = http_log.logged("GitHub", (session or Session()).request)
        self._sleep = sleep
        self._clock = clock

    def get(self, path: str) -> Any:
        """Gets something.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses; so do all the others.
        """
        return self._send("GET", self._api_url + path).json()

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Gets all items of a list; a query may be part of the path."""
        url: str | None = f"{self._api_url}{path}{'&' if '?' in path else '?'}per_page=100"
        while url:
            response = self._send("GET", url, shape=list)
            with expected():
                yield from [dict(item) for item in response.json()]
            url = response.links.get("next", {}).get("url")

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, repeatable: bool = True) -> Any:
        """Changes something.

        Args:
            method: HTTP method.
            path: path below the base URL.
            body: JSON object to send; None: nothing.
            repeatable: whether the request does the same when it is sent twice, so that a lost answer is no matter.

        Returns:
            The JSON answer; None where there is none.
        """
        response = self._send(method, self._api_url + path, body, repeatable=repeatable)
        return response.json() if response.content else None

    def graphql(self, query: str) -> Any:
        """Asks the GraphQL interface, which knows things that REST tells no workflow's token.

        Returns:
            `data` of the answer; empty when it was refused.
        """
        # `https://<host>/api/v3` on an Enterprise Server, where this is `https://<host>/api/graphql`.
        answer = self._send("POST", self._api_url.removesuffix("/v3") + "/graphql", {"query": query}).json()
        with expected():
            return answer.get("data") or {}

    def made_once(self, find: Callable[[], T | None], make: Callable[[], T]) -> T:
        """Makes something of which there is to be one, unless it is there: the answer to a creation may be lost.

        Args:
            find: finds it; None where it isn't there.
            make: makes it, in a request that is sent once.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        waited = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            if (found := find()) is not None:
                return found
            try:
                return make()
            except UnreachableError:
                pause = 2.0**attempt
                waited += pause
                if attempt == ATTEMPTS or waited > self.patience:
                    raise
            self.pause(pause)
        raise AssertionError("unreachable")

    def pause(self, seconds: float) -> None:
        """Waits."""
        self._sleep(seconds)

    def _send(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | None = None,
        *,
        repeatable: bool = True,
        shape: type[dict[str, Any]] | type[list[Any]] = dict,
    ) -> requests.Response:
        began, refusals = time.monotonic(), 0

        def is_worth_another(error: BaseException) -> bool:
            nonlocal refusals
            if isinstance(error, UnauthorizedError | ForbiddenError | NotFoundError):
                refusals += 1
                return refusals < _REFUSALS
            return isinstance(error, RateLimitedError) or (repeatable and isinstance(error, UnreachableError))

        def is_enough(state: tenacity.RetryCallState) -> bool:
            # What waits by another clock than this machine's counts, too.
            waited = max(state.idle_for, time.monotonic() - began)
            return state.attempt_number >= ATTEMPTS or waited + state.upcoming_sleep > self.patience

        def send_in_time() -> requests.Response:
            response = self._send_once(method, url, body, began + self.patience - time.monotonic())
            if response.content and not isinstance(response.json(), shape):
                raise UnreachableError(f"GitHub's answer makes no sense: it is no {shape.__name__}.")
            return response

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_another),
            wait=_pause,
            stop=is_enough,
            sleep=self._sleep,
            reraise=True,
        )
        response: requests.Response = retrying(send_in_time)
        return response

    def _send_once(self, method: str, url: str, body: dict[str, Any] | None, seconds: float) -> requests.Response:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}

        def request() -> requests.Response:
            response: requests.Response = self._request(
                method, url, json=body, headers=headers, auth=Bearer(self._token), timeout=TIMEOUT
            )
            return response

        try:
            response = within(seconds, request)
            if response.ok:
                if response.content:
                    response.json()
                return response
        except requests.exceptions.SSLError as error:
            raise CertificateError(
                f"GitHub's certificate at {self._api_url} is not trusted here. If it comes from an authority of your "
                f"own, name its file in the step's `env` as REQUESTS_CA_BUNDLE or SSL_CERT_FILE. ({error})"
            ) from error
        except TimeoutError as error:
            raise UnreachableError(f"GitHub doesn't answer at {self._api_url} within {self.patience:g} s.") from error
        except requests.RequestException as error:
            raise UnreachableError(f"GitHub doesn't answer at {self._api_url} ({_reason(error)}).") from error
        raise _error(response, self._clock())


@contextlib.contextmanager
def expected() -> Iterator[None]:
    """A block that reads an answer. One of another shape, as of something in between, may be right the next time.

    Raises:
        UnreachableError: if the answer lacks what is read.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreachableError(f"GitHub's answer makes no sense ({type(error).__name__}: {error}).") from error


def _reason(error: BaseException) -> str:
    """What the system says of it, rather than the libraries between: `Connection refused`."""
    inner: BaseException | None = error
    while inner and not getattr(inner, "strerror", None):
        inner = inner.__cause__ or inner.__context__
    return str(getattr(inner, "strerror", None) or type(error).__name__)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, RateLimitedError) else 2.0 ** (state.attempt_number - 1)


def _error(response: requests.Response, now: float) -> GitHubError:
    status, message = response.status_code, _message(response)
    method, path = response.request.method, response.request.path_url
    said = f"GitHub says {status}: {message}"
    if (wait := _rate_limit(response, message, now)) is not None:
        return RateLimitedError(f"Too many requests to GitHub for now. ({said})", wait)
    if status == 401:
        return UnauthorizedError(f"The github-token is not valid, or no longer. ({said})")
    if status == 403 and "not accessible" in message.lower():
        # Whoever is refused to read would be refused to write next.
        needed = _permission(path)
        needed += "` and `contents: read" if method == "GET" and "contents" not in needed else ""
        return ForbiddenError(
            f"The github-token may not do this: give the job `permissions:` with `{needed}`. ({said})"
        )
    if status == 403:
        return ForbiddenError(f"GitHub doesn't allow this. ({said})")
    if status in {404, 410}:
        return NotFoundError(
            f"Not found, or not for this github-token: {path}. In a private repository the job "
            f"needs `permissions:` with `contents: read` and `{_permission(path)}`. ({said})"
        )
    if status in {400, 422}:
        return InvalidError(f"GitHub refuses the request. ({said})")
    return UnreachableError(f"GitHub can't answer now. ({said})")


def _permission(path: str) -> str:
    """What a token needs to write there."""
    within_repository = re.sub(r"^.*?/repos/[^/]+/[^/]+/", "", path)
    return next((needed for place, needed in _PERMISSIONS.items() if place in within_repository), _OF_COMMENTS)


def _rate_limit(response: requests.Response, message: str, now: float) -> float | None:
    """Seconds to wait for a primary or secondary rate limit; None where the request failed of something else.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit.
    """
    headers = response.headers
    retry_after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    used_up = headers.get("X-RateLimit-Remaining") == "0"
    limited = retry_after or used_up or "rate limit" in message.lower()
    if response.status_code != 429 and not (response.status_code == 403 and limited):
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    return max(float(reset) - now, 0.0) + 1 if used_up and reset.isdecimal() else _SECONDARY_LIMIT


def _message(response: requests.Response) -> str:
    try:
        answer = response.json()
        details = [error.get("message", "") for error in answer.get("errors", [])]
        return "; ".join(filter(None, [answer["message"], *details]))
    except (ValueError, KeyError, AttributeError, TypeError):
        return (response.reason or "no message")[:200]
