"""The GitHub REST calls that the action makes: which pull requests a commit belongs to, and its one comment there.

Source: https://docs.github.com/rest/issues/comments and https://docs.github.com/rest/commits/commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

API_VERSION = "2022-11-28"
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for data."""

_ATTEMPTS = 4
_LONGEST_WAIT = 60
_SERVER_ERRORS = frozenset({500, 502, 503, 504})
# Who may have written our comment: the token's owner is unknown (a GITHUB_TOKEN can't ask), but it is a bot, or a
# person who can write to the repository.
_WRITERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


class GitHubError(Exception):
    """GitHub refuses a request or can't be reached. The message is for the user."""


class UnauthorizedError(GitHubError):
    """The token is not valid (any more)."""


class ForbiddenError(GitHubError):
    """The token lacks a permission."""


class NotFoundError(GitHubError):
    """The repository, pull request or comment doesn't exist, or the token may not see it."""


class InvalidError(GitHubError):
    """GitHub finds the request itself wrong, e.g. a comment too long."""


class RateLimitedError(GitHubError):
    """Too many requests, also after waiting.

    Attributes:
        retry_after: seconds that GitHub wants us to wait; None: it doesn't say.
    """

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(GitHubError):
    """No answer, or a server error: whether the request was carried out is unknown."""


@dataclass(frozen=True)
class PullRequest:
    """A pull request of the repository itself or of a fork; `base_ref` is the branch that it is to be merged into."""

    number: int
    url: str
    head_sha: str
    base_ref: str


@dataclass(frozen=True)
class Comment:
    """A comment on a pull request; `url` is its page."""

    id: int
    url: str


class GitHub:
    """The REST interface of github.com or of an Enterprise Server.

    Args:
        api_url: as in `GITHUB_API_URL`.
        token: needs `pull-requests: write`.
        session: for the requests; None: one that repeats what may be repeated, see `new_session`.
        sleep: waits for so many seconds before a comment's creation is tried again.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        session: requests.Session | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._session = session or new_session()
        self._sleep = sleep

    def pull_requests_of_commit(self, repository: str, sha: str) -> tuple[PullRequest, ...]:
        """Lists the open pull requests of this repository whose head, or merge, is the commit.

        A push event doesn't name them. A branch's older commit, and a pull request in another repository, don't count.

        Args:
            repository: `owner/name`.
            sha: of the commit.

        Raises:
            GitHubError: see its subclasses.
        """
        try:
            found = list(self._list(f"/repos/{repository}/commits/{sha}/pulls"))
        except InvalidError:
            # "No commit found": GitHub doesn't know it (any more), so no pull request has it.
            return ()
        return tuple(
            PullRequest(
                number=item["number"],
                url=item["html_url"],
                head_sha=item["head"]["sha"],
                base_ref=item["base"]["ref"],
            )
            for item in found
            if item["state"] == "open"
            and sha in {item["head"]["sha"], item.get("merge_commit_sha")}
            and item["base"]["repo"]["full_name"].lower() == repository.lower()
        )

    def upsert_comment(
        self, repository: str, number: int, marker: str, body: str, comment_id: int | None = None
    ) -> Comment:
        """Edits the comment that begins with the marker, or creates it.

        A creation whose answer is lost isn't simply repeated: the comment may be there already.

        Args:
            repository: `owner/name`.
            number: of the pull request.
            marker: hidden text that the body begins with.
            body: Markdown, marker included.
            comment_id: of the comment, if known; saves the search. It may have been deleted.

        Raises:
            GitHubError: see its subclasses.
        """
        if comment_id is not None and (comment := self._edit(repository, comment_id, body)):
            return comment
        attempt = 1
        while True:
            for found in self._find(repository, number, marker):
                if comment := self._edit(repository, found, body):
                    return comment
            try:
                return _comment(self._call("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body}))
            except (UnreachableError, RateLimitedError) as error:
                if attempt == _ATTEMPTS:
                    raise
                asked = error.retry_after if isinstance(error, RateLimitedError) else None
            self._sleep(min(2.0**attempt if asked is None else asked, _LONGEST_WAIT))
            attempt += 1

    def _find(self, repository: str, number: int, marker: str) -> list[int]:
        """Ids of the comments that can be ours, oldest first as GitHub lists them: all who look find the same."""
        comments = self._list(f"/repos/{repository}/issues/{number}/comments")
        return [
            comment["id"]
            for comment in comments
            if (comment.get("body") or "").startswith(marker)
            and ((comment["user"] or {}).get("type") == "Bot" or comment["author_association"] in _WRITERS)
        ]

    def _edit(self, repository: str, comment_id: int, body: str) -> Comment | None:
        """Edits a comment; None if it is gone or, as GitHub says then too, is not the token's to edit."""
        try:
            return _comment(self._call("PATCH", f"/repos/{repository}/issues/comments/{comment_id}", {"body": body}))
        except (NotFoundError, ForbiddenError):
            return None

    def _list(self, path: str) -> Iterator[dict[str, Any]]:
        url: str | None = f"{self._api_url}{path}?per_page=100"
        while url:
            items, response = self._send("GET", url)
            yield from items
            url = response.links.get("next", {}).get("url")

    def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any]
        answer, _ = self._send(method, self._api_url + path, body)
        return answer

    def _send(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[Any, requests.Response]:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "X-GitHub-Api-Version": API_VERSION,
        }
        try:
            response = self._session.request(method, url, json=body, headers=headers, timeout=TIMEOUT)
            if response.ok:
                return response.json(), response
        except requests.RequestException as error:
            raise UnreachableError(f"GitHub doesn't answer at {self._api_url}: {error}") from error
        raise _error(method, response)


def new_session(backoff: float = 1.0) -> requests.Session:
    """A session that repeats reads and edits on connection and server errors, and when GitHub says to wait.

    Args:
        backoff: seconds, doubled with each repetition from the second on.
    """
    retry = _Retry(
        total=_ATTEMPTS - 1,
        allowed_methods={"GET", "PATCH"},
        status_forcelist={429, *_SERVER_ERRORS},
        backoff_factor=backoff,
        backoff_max=_LONGEST_WAIT,
        retry_after_max=_LONGEST_WAIT,
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


class _Retry(Retry):
    # GitHub's secondary rate limits answer 403 with Retry-After; a 403 without it is a missing permission.
    RETRY_AFTER_STATUS_CODES = frozenset({403, 413, 429, 503})


def _comment(answer: dict[str, Any]) -> Comment:
    return Comment(id=answer["id"], url=answer["html_url"])


def _error(method: str, response: requests.Response) -> GitHubError:
    status, message = response.status_code, _message(response)
    said = f"GitHub says {status}: {message}"
    retry_after = response.headers.get("Retry-After", "")
    limited = retry_after or "rate limit" in message.lower() or response.headers.get("X-RateLimit-Remaining") == "0"
    if status == 429 or (status == 403 and limited):
        wait = int(retry_after) if retry_after.isdecimal() else None
        return RateLimitedError(f"Too many requests to GitHub for now. ({said})", wait)
    if status == 401:
        return UnauthorizedError(f"The github-token is not valid, or no longer. ({said})")
    if status == 403 and "not accessible" in message.lower():
        needed = "pull-requests: read` and `contents: read" if method == "GET" else "pull-requests: write"
        return ForbiddenError(
            f"The github-token may not do this: give the job `permissions:` with `{needed}`. ({said})"
        )
    if status == 403:
        return ForbiddenError(f"GitHub doesn't allow this. ({said})")
    if status in {404, 410}:
        return NotFoundError(
            f"Not found, or not for this github-token: {response.request.path_url}. In a private repository the job "
            f"needs `permissions:` with `contents: read` and `pull-requests: write`. ({said})"
        )
    if status in {400, 422}:
        return InvalidError(f"GitHub refuses the request. ({said})")
    return UnreachableError(f"GitHub can't answer now. ({said})")


def _message(response: requests.Response) -> str:
    try:
        answer = response.json()
        details = [error.get("message", "") for error in answer.get("errors", [])]
        return "; ".join(filter(None, [answer["message"], *details]))
    except (ValueError, KeyError, AttributeError, TypeError):
        return (response.reason or "no message")[:200]
