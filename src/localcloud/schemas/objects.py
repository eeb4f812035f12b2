"""Comments, pull requests, check runs and so on as GitHub sends them: its own examples, filled with what is stored."""

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


@dataclass(kw_only=True)
class CheckRun:
    """A check run; `summaries` holds every summary that it has had, `annotations` all that were ever added."""

    id: int
    repository: str
    sha: str
    name: str
    external_id: str
    status: str
    started: datetime
    conclusion: str | None = None
    completed: datetime | None = None
    details_url: str | None = None
    title: str | None = None
    summaries: list[str] = field(default_factory=list)
    text: str | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def json(self, place: Place) -> dict[str, Any]:
        """The check run as in the REST interface."""
        payload = schemas.example("check-run", {"https://api.github.com": place.url})
        url = f"{place.url}/repos/{self.repository}/check-runs/{self.id}"
        output = {
            "title": self.title,
            "summary": self.summaries[-1] if self.summaries else None,
            "text": self.text,
            "annotations_count": len(self.annotations),
            "annotations_url": f"{url}/annotations",
        }
        payload.update(
            id=self.id,
            head_sha=self.sha,
            name=self.name,
            external_id=self.external_id,
            url=url,
            html_url=f"{place.server_url}/{self.repository}/runs/{self.id}",
            details_url=self.details_url,
            status=self.status,
            conclusion=self.conclusion,
            started_at=_timestamp(self.started),
            completed_at=_timestamp(self.completed) if self.completed else None,
            output=output,
            pull_requests=[],
        )
        return payload


@dataclass(frozen=True, kw_only=True)
class DeploymentStatus:
    """A status of a deployment, of which the newest counts."""

    id: int
    state: str
    description: str
    environment_url: str
    log_url: str
    created: datetime


@dataclass(kw_only=True)
class Deployment:
    """A deployment; `statuses` holds every status that it has had, oldest first."""

    id: int
    repository: str
    sha: str
    ref: str
    task: str
    environment: str
    payload: dict[str, Any] | str
    description: str | None
    is_transient: bool
    is_production: bool
    login: str
    created: datetime
    statuses: list[DeploymentStatus] = field(default_factory=list)

    def json(self, place: Place) -> dict[str, Any]:
        """The deployment as in the REST interface."""
        payload = _example("deployment", place, self.repository)
        url = self._url(place)
        payload.update(
            id=self.id,
            url=url,
            sha=self.sha,
            ref=self.ref,
            task=self.task,
            payload=self.payload,
            environment=self.environment,
            original_environment=self.environment,
            description=self.description,
            transient_environment=self.is_transient,
            production_environment=self.is_production,
            created_at=_timestamp(self.created),
            updated_at=_timestamp(self.statuses[-1].created if self.statuses else self.created),
            statuses_url=f"{url}/statuses",
            repository_url=f"{place.url}/repos/{self.repository}",
        )
        payload["creator"].update(login=self.login, type="Bot" if self.login.endswith("[bot]") else "User")
        return payload

    def status_json(self, place: Place, status: DeploymentStatus) -> dict[str, Any]:
        """One of its statuses as in the REST interface."""
        payload = _example("deployment-status", place, self.repository)
        payload.update(
            id=status.id,
            url=f"{self._url(place)}/statuses/{status.id}",
            state=status.state,
            description=status.description,
            environment=self.environment,
            environment_url=status.environment_url,
            log_url=status.log_url,
            target_url=status.log_url,
            created_at=_timestamp(status.created),
            updated_at=_timestamp(status.created),
            deployment_url=self._url(place),
            repository_url=f"{place.url}/repos/{self.repository}",
        )
        return payload

    def _url(self, place: Place) -> str:
        return f"{place.url}/repos/{self.repository}/deployments/{self.id}"


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
