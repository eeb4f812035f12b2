"""The one comment of a key on a pull request, whoever writes at the same time, and whatever gets lost on the way.

Source: https://docs.github.com/rest/issues/comments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_zenml.action.github.client import ForbiddenError, GitHub, NotFoundError, UnreachableError
from lightning_zenml.action.github.rest import ATTEMPTS, expected

# Who may have written our comment where GitHub doesn't tell who we are: a bot, or a person who can write to the
# repository.
_WRITERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


@dataclass(frozen=True, kw_only=True)
class Marker:
    """The hidden first line of a comment, by which it is found again.

    Args:
        key: text that tells several comments on one pull request apart.
        run_id: id of the workflow run that the comment tells of; GitHub counts them upwards.
        run_attempt: number of the attempt of that run.
    """

    key: str
    run_id: int
    run_attempt: int

    def __str__(self) -> str:
        return f"{self._beginning}{self.run_id}.{self.run_attempt} -->"

    def is_on(self, body: str) -> bool:
        """Whether a comment has this key."""
        return body.startswith(self._beginning)

    def is_older_than(self, body: str) -> bool:
        """Whether a comment of this key tells of a newer run, or of a later attempt."""
        found = re.match(r"(\d+)\.(\d+) -->", body.removeprefix(self._beginning)) if self.is_on(body) else None
        return found is not None and (int(found[1]), int(found[2])) > (self.run_id, self.run_attempt)

    @property
    def _beginning(self) -> str:
        return f"<!-- lightning-zenml: {_plain(self.key)} | run "


@dataclass(frozen=True)
class Comment:
    """A comment on a pull request; `url` is its page, `author` the login of who has written it."""

    id: int
    url: str
    body: str
    author: str


Compose = Callable[[str], str]
"""Makes the body of a comment of the one that it has."""
_EDITS = 2
"""Tries to edit a comment that is there, before it counts as somebody else's."""


class Comments:
    """The comments that carry a marker's key.

    Args:
        github: the server that has the comments.
        repository: name of the repository, `owner/name`.
        marker: first line of the comments' bodies.
    """

    def __init__(self, github: GitHub, repository: str, marker: Marker) -> None:
        self._github = github
        self._rest = github.rest
        self._path = f"/repos/{repository}/issues"
        self._marker = marker
        self._refused: set[int] = set()

    def put(self, number: int, body: str | Compose, comment_id: int | None = None) -> Comment | None:
        """Edits the comment on a pull request, or creates it where there is none (any more).

        A creation whose answer is lost isn't simply repeated: the comment may be there already. Two that create at
        once both look again, and both keep the older one; so does whoever finds two, as one may have died before.

        Args:
            number: number of the pull request.
            body: Markdown of the comment, marker included; or what makes it of the comment as it is, '' for a new one.
            comment_id: id of the comment, which may be deleted by now; None: the comment is searched for.

        Returns:
            The comment; None where it tells of a newer run by now, and was left so.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        if comment_id is not None and (known := self._get(comment_id)):
            if self._marker.is_older_than(known.body):
                return None
            if comment := self._edit(known.id, _composed(body, known.body)):
                return comment
        waited = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            all_of_them = self._find(number)
            for found in all_of_them:
                if self._marker.is_older_than(found.body):
                    return None
                if comment := self._edit(found.id, _composed(body, found.body)):
                    self._delete_younger(found, all_of_them)
                    return comment
            try:
                return self._settle(number, self._create(number, _composed(body, "")), body)
            except UnreachableError:
                pause = 2.0**attempt
                waited += pause
                if attempt == ATTEMPTS or waited > self._rest.patience:
                    raise
            self._rest.pause(pause)
        raise AssertionError("unreachable")

    def is_there(self, number: int) -> bool:
        """Whether there is one on a pull request.

        Args:
            number: number of the pull request.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        return bool(self._find(number))

    def look(self, comment_id: int) -> Comment | None:
        """The comment as it is; None where it is deleted.

        Args:
            comment_id: id of the comment.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        return self._get(comment_id)

    def _settle(self, number: int, created: Comment, body: str | Compose) -> Comment | None:
        """Looks for one who created at the same time; of two comments the older stays, so all come to the same."""
        older = [found for found in self._find(number) if found.id < created.id]
        if not older:
            return created
        self._delete(created.id)
        return self.put(number, body, older[0].id)

    def _delete_younger(self, kept: Comment, all_of_them: list[Comment]) -> None:
        for one in all_of_them:
            if one.id > kept.id and one.author == kept.author and not self._marker.is_older_than(one.body):
                self._delete(one.id)

    def _find(self, number: int) -> list[Comment]:
        """The comments that are ours, oldest first as GitHub lists them: all who look find the same."""
        items = list(self._rest.pages(f"{self._path}/{number}/comments"))
        with expected():
            return [
                _comment(item) for item in items if self._marker.is_on(item.get("body") or "") and self._is_ours(item)
            ]

    def _is_ours(self, item: dict[str, Any]) -> bool:
        author = item["user"] or {}
        if item["id"] in self._refused:
            return False
        if self._github.login:
            return bool(author.get("login") == self._github.login)
        return author.get("type") == "Bot" or item["author_association"] in _WRITERS

    def _get(self, comment_id: int) -> Comment | None:
        try:
            return _comment(self._rest.get(f"{self._path}/comments/{comment_id}"))
        except NotFoundError:
            return None

    def _create(self, number: int, body: str) -> Comment:
        return _comment(self._rest.send("POST", f"{self._path}/{number}/comments", {"body": body}, repeatable=False))

    def _edit(self, comment_id: int, body: str) -> Comment | None:
        """Edits a comment; None if it is gone or, as GitHub says then too, is not the token's to edit."""
        for _ in range(_EDITS):
            try:
                return _comment(self._rest.send("PATCH", f"{self._path}/comments/{comment_id}", {"body": body}))
            except (NotFoundError, ForbiddenError):
                # One odd answer would leave a second comment beside one that tells of a run that goes on.
                if self._get(comment_id) is None:
                    break
        self._refused.add(comment_id)
        return None

    def _delete(self, comment_id: int) -> None:
        try:
            self._rest.send("DELETE", f"{self._path}/comments/{comment_id}")
        except NotFoundError:
            # Somebody was faster, or the answer to our first try was lost.
            return


def _comment(answer: dict[str, Any]) -> Comment:
    with expected():
        return Comment(
            id=int(answer["id"]),
            url=str(answer["html_url"]),
            body=str(answer.get("body") or ""),
            author=str((answer.get("user") or {}).get("login", "")),
        )


def _composed(body: str | Compose, present: str) -> str:
    return body if isinstance(body, str) else body(present)


def _plain(key: str) -> str:
    """The key in characters that can't end the marker; a digest keeps keys apart that would look the same."""
    plain = re.sub(r"[^A-Za-z0-9_./ =,:()-]|(?<=-)-", "_", key)
    return plain if plain == key else f"{plain} {hashlib.sha256(key.encode(errors='replace')).hexdigest()[:8]}"
