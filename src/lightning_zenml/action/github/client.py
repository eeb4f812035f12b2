"""What the action asks GitHub for: a commit's pull requests and status, pushes, permissions, whose the token is.

Source: https://docs.github.com/rest/commits, https://docs.github.com/rest/collaborators/collaborators and
https://docs.github.com/rest/repos/repos#list-repository-activities. The comment is the business of `comments`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

import requests

from lightning_zenml.action.github.rest import (
    ForbiddenError,
    GitHubError,
    GitHubRest,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    TryLaterError,
    UnauthorizedError,
    UnreachableError,
    expected,
)

__all__ = [
    "ForbiddenError",
    "GitHub",
    "GitHubError",
    "InvalidError",
    "NotFoundError",
    "PullRequest",
    "Push",
    "RateLimitedError",
    "TryLaterError",
    "UnauthorizedError",
    "UnreachableError",
]

DESCRIPTION_LIMIT = 140
"""Characters of a commit status's description."""


@dataclass(frozen=True)
class PullRequest:
    """A pull request.

    Args:
        number: number of the pull request in the repository that it is made to.
        url: page of the pull request.
        head_sha: hash of the pull request's newest commit.
        head_ref: name of the branch that the pull request comes from.
        base_ref: name of the branch that the pull request is to be merged into.
        is_fork: whether the branch is in another repository, perhaps one that is deleted by now.
    """

    number: int
    url: str
    head_sha: str
    head_ref: str
    base_ref: str
    is_fork: bool


@dataclass(frozen=True)
class Push:
    """A change of a branch.

    Args:
        before: hash of its commit before; zeros where there was no branch.
        after: hash of its commit from then on; zeros where there is no branch any more.
        moment: when that was, to the second, by GitHub's clock.
    """

    before: str
    after: str
    moment: datetime


class GitHub:
    """The repositories of github.com or of an Enterprise Server.

    Args:
        api_url: base URL of the REST API, as in `GITHUB_API_URL`.
        token: token with `pull-requests: write`, and `statuses: write` for `set_status`.
        session: HTTP session of the requests; None: a new one.
        sleep: function that waits for so many seconds.

    Attributes:
        rest: sends the requests.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        session: requests.Session | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rest = GitHubRest(api_url, token, session, sleep=sleep)

    @cached_property
    def login(self) -> str | None:
        """Whom the token belongs to, e.g. `github-actions[bot]`; None where GitHub doesn't say.

        REST doesn't tell a workflow's token who it is.

        Raises:
            TryLaterError: if GitHub can't answer now.
            UnauthorizedError: if GitHub refuses the token.
        """
        try:
            viewer = self.rest.graphql("query { viewer { login } }").get("viewer") or {}
        except (ForbiddenError, NotFoundError, InvalidError):
            return None
        with expected():
            return viewer.get("login")

    def pull_requests_of_commit(self, repository: str, sha: str, *, as_older: bool = False) -> tuple[PullRequest, ...]:
        """Lists the open pull requests of this repository whose head, or merge, is the commit.

        A push event doesn't name them. A pull request in another repository doesn't count.

        Args:
            repository: name of the repository, `owner/name`.
            sha: hash of the commit.
            as_older: whether a branch's older commit counts, too.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        try:
            found = list(self.rest.pages(f"/repos/{repository}/commits/{sha}/pulls"))
        except InvalidError:
            # "No commit found": GitHub doesn't know it (any more), so no pull request has it.
            return ()
        with expected():
            return tuple(
                _pull_request(item, repository)
                for item in found
                if item["state"] == "open"
                and (as_older or sha in {item["head"]["sha"], item.get("merge_commit_sha")})
                and item["base"]["repo"]["full_name"].lower() == repository.lower()
            )

    def is_of_fork(self, repository: str, sha: str) -> bool:
        """Whether a commit is part of a fork's pull request that is not merged, and of none of this repository's own.

        Args:
            repository: name of the repository, `owner/name`.
            sha: hash of the commit.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        path = f"/repos/{repository}/commits/{sha}/pulls"
        try:
            # One empty list is no proof, and lets a stranger's code in.
            found = list(self.rest.pages(path)) or list(self.rest.pages(path))
        except InvalidError:
            # "No commit found": the workflow has made it.
            return False
        forks = [
            _pull_request(item, repository).is_fork
            for item in found
            if item["base"]["repo"]["full_name"].lower() == repository.lower()
            # What is merged is this repository's.
            and (item["state"] == "open" or not item.get("merged_at"))
        ]
        return bool(forks) and all(forks)

    def pull_request(self, repository: str, number: int) -> PullRequest:
        """Gets a pull request.

        Args:
            repository: name of the repository, `owner/name`.
            number: number of the pull request.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        found = self.rest.get(f"/repos/{repository}/pulls/{number}")
        with expected():
            return _pull_request(found, repository)

    def pushes(self, repository: str, branch: str) -> Iterator[Push]:
        """Gets what has moved a branch, the newest first, as far as GitHub remembers.

        Args:
            repository: name of the repository, `owner/name`.
            branch: name of the branch.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        ref = quote(f"refs/heads/{branch}", safe="")
        for item in self.rest.pages(f"/repos/{repository}/activity?ref={ref}"):
            with expected():
                yield Push(item["before"], item["after"], datetime.fromisoformat(item["timestamp"]))

    def permission(self, repository: str, login: str) -> str:
        """What somebody may do in a repository: `admin`, `write`, `read` or `none`; roles in between count as these.

        Args:
            repository: name of the repository, `owner/name`.
            login: name of the account.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        found = self.rest.get(f"/repos/{repository}/collaborators/{quote(login, safe='')}/permission")
        with expected():
            return str(found["permission"])

    def react(self, repository: str, comment_id: int, content: str) -> None:
        """Reacts to a comment, once however often it is asked for.

        Args:
            repository: name of the repository, `owner/name`.
            comment_id: id of the comment on an issue or pull request.
            content: GitHub's name of the reaction, e.g. `rocket`.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        self.rest.send("POST", f"/repos/{repository}/issues/comments/{comment_id}/reactions", {"content": content})

    def commits_between(self, repository: str, base: str, head: str) -> int:
        """Counts the commits of one that another hasn't.

        Args:
            repository: name of the repository, `owner/name`.
            base: hash of a commit, or name of a branch, whose commits don't count.
            head: hash of a commit, or name of a branch.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        # The files that differ, which may be many, stand on the first page.
        found = self.rest.get(
            f"/repos/{repository}/compare/{quote(base, safe='')}...{quote(head, safe='')}?page=2&per_page=1"
        )
        with expected():
            return int(found["ahead_by"])

    def set_status(
        self, repository: str, sha: str, *, context: str, state: str, target_url: str | None, description: str
    ) -> None:
        """Sets a commit's status, in place of an earlier one of the same context.

        Args:
            repository: name of the repository, `owner/name`.
            sha: hash of the commit.
            context: name of the check that the status tells of.
            state: state of the check: `pending`, `success`, `failure` or `error`.
            target_url: page that the status leads to.
            description: one sentence; what is longer than GitHub takes is cut.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        if len(description) > DESCRIPTION_LIMIT:
            description = description[: DESCRIPTION_LIMIT - 1] + "…"
        body = {"state": state, "target_url": target_url, "description": description, "context": context}
        self.rest.send("POST", f"/repos/{repository}/statuses/{sha}", body)


def _pull_request(item: dict[str, Any], repository: str) -> PullRequest:
    head_repository = (item["head"]["repo"] or {}).get("full_name", "")
    return PullRequest(
        number=item["number"],
        url=item["html_url"],
        head_sha=item["head"]["sha"],
        head_ref=item["head"]["ref"],
        base_ref=item["base"]["ref"],
        is_fork=head_repository.lower() != repository.lower(),
    )
