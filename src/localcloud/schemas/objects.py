"""Comments, pull requests, pushes and so on as GitHub sends them: its own examples, filled with what is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from localcloud import schemas


@dataclass(frozen=True)
class Place:
    """Where the stand-in answers: base URLs of the REST interface and of the pages."""

    url: str
    server_url: str


@dataclass
class Comment:
    """A comment on a pull request; `history` holds every body that it has had, the present one last."""

    id: int
    repository: str
    number: int
    login: str
    association: str
    history: list[str]
    created: datetime
    updated: datetime
    reactions: list[tuple[str, str]] = field(default_factory=list)
    """Login and content, each pair once."""

    @property
    def body(self) -> str:
        """The comment's text as it is now."""
        return self.history[-1]

    def json(self, place: Place) -> dict[str, Any]:
        """The comment as in the REST interface."""
        payload = _example("issue-comment", place, self.repository)
        payload.update(
            id=self.id,
            url=f"{place.url}/repos/{self.repository}/issues/comments/{self.id}",
            html_url=f"{place.server_url}/{self.repository}/pull/{self.number}#issuecomment-{self.id}",
            issue_url=f"{place.url}/repos/{self.repository}/issues/{self.number}",
            body=self.body,
            author_association=self.association,
            created_at=_timestamp(self.created),
            updated_at=_timestamp(self.updated),
        )
        payload["user"].update(login=self.login, type="Bot" if self.login.endswith("[bot]") else "User")
        return payload


@dataclass
class PullRequest:
    """A pull request; `head_repository` differs from `repository` for a fork's. `commits` ends with the head."""

    repository: str
    number: int
    head_sha: str
    head_ref: str
    base_ref: str
    base_sha: str
    head_repository: str
    state: str
    merge_commit_sha: str | None
    commits: tuple[str, ...]

    def json(self, place: Place, kind: str = "pull-request-simple") -> dict[str, Any]:
        """The pull request as in the REST interface: as its lists show it, or as a whole (`pull-request`)."""
        payload = _example(kind, place, self.repository)
        head = _example(kind, place, self.head_repository)["head"]
        payload.update(
            number=self.number,
            url=f"{place.url}/repos/{self.repository}/pulls/{self.number}",
            html_url=f"{place.server_url}/{self.repository}/pull/{self.number}",
            state=self.state,
            merge_commit_sha=self.merge_commit_sha,
            requested_teams=[],
            head=head | {"ref": self.head_ref, "sha": self.head_sha},
            base=payload["base"] | {"ref": self.base_ref, "sha": self.base_sha},
        )
        return payload


@dataclass(frozen=True, kw_only=True)
class Status:
    """A commit status; of a commit's statuses with the same context the newest counts."""

    id: int
    repository: str
    sha: str
    login: str
    state: str
    context: str
    target_url: str | None
    description: str | None
    created: datetime

    def json(self, place: Place) -> dict[str, Any]:
        """The status as in the REST interface."""
        payload = _example("status", place, self.repository)
        payload.update(
            id=self.id,
            url=f"{place.url}/repos/{self.repository}/statuses/{self.sha}",
            state=self.state,
            context=self.context,
            target_url=self.target_url,
            description=self.description,
            created_at=_timestamp(self.created),
            updated_at=_timestamp(self.created),
        )
        payload["creator"].update(login=self.login, type="Bot" if self.login.endswith("[bot]") else "User")
        return payload


@dataclass(frozen=True, kw_only=True)
class Push:
    """A change of a branch: `before` and `after` are hashes of commits, 40 zeros where there was no branch."""

    id: int
    repository: str
    branch: str
    login: str
    before: str
    after: str
    moment: datetime

    def json(self, place: Place) -> dict[str, Any]:
        """The push as in the REST interface, whose own example lacks required fields."""
        return {
            "id": self.id,
            "node_id": f"PSH_{self.id}",
            "before": self.before,
            "after": self.after,
            "ref": f"refs/heads/{self.branch}",
            "timestamp": _timestamp(self.moment),
            "activity_type": "push" if self.before.strip("0") else "branch_creation",
            "actor": _example("reaction", place, self.repository)["user"] | {"login": self.login},
        }


def reaction(place: Place, comment: Comment, login: str, content: str) -> dict[str, Any]:
    """A reaction to a comment as in the REST interface."""
    payload = _example("reaction", place, comment.repository)
    payload.update(id=comment.reactions.index((login, content)) + 1, content=content)
    payload["user"].update(login=login, type="Bot" if login.endswith("[bot]") else "User")
    return payload


def permission(place: Place, repository: str, login: str, role: str) -> dict[str, Any]:
    """What somebody may do in a repository as in the REST interface, which has older names for some roles."""
    payload = _example("repository-collaborator-permission", place, repository)
    payload.update(permission={"maintain": "write", "triage": "read"}.get(role, role), role_name=role)
    # GitHub's own example lacks the role there.
    payload["user"].update(login=login, role_name=role)
    return payload


def comparison(place: Place, repository: str, ahead: int, behind: int) -> dict[str, Any]:
    """Two commits beside each other as in the REST interface, on a page behind that with the files."""
    payload = _example("commit-comparison", place, repository)
    is_apart = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind", (False, False): "identical"}
    payload.pop("files", None)
    status = is_apart[bool(ahead), bool(behind)]
    payload.update(status=status, ahead_by=ahead, behind_by=behind, total_commits=ahead, commits=[])
    return payload


def _example(name: str, place: Place, repository: str) -> dict[str, Any]:
    owner, _, repo = repository.partition("/")
    replacements = {
        "https://api.github.com": place.url,
        "https://github.com": place.server_url,
        "octocat/Hello-World": repository,
        '"Hello-World"': json.dumps(repo),
        '"octocat"': json.dumps(owner),
    }
    return schemas.example(name, replacements)


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
