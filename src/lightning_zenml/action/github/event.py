"""What happened on GitHub: the `GITHUB_*` variables and the event's payload, read into one `Event`.

Source: https://docs.github.com/actions/reference/workflows-and-actions/variables and
https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DEPENDABOT = "dependabot[bot]"
_WITH_SECRETS_FOR_FORKS = frozenset({"pull_request_target", "workflow_run", "issue_comment"})
"""Events that run with the secrets of this repository though the commit that they tell of is a fork's."""
_QUEUED = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+")
"""A merge queue's branch for a pull request."""


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Event:
    """The event that started the workflow. What a variable or the payload doesn't say is empty.

    Args:
        name: name of the event, e.g. `push`, `pull_request`.
        repository: `owner/name` of the repository that the workflow runs in.
        server_url: base URL of GitHub's pages, without a slash at the end.
        api_url: base URL of GitHub's REST interface, without a slash at the end.
        run_id: id of the workflow run.
        run_attempt: number of the attempt at the workflow run, from 1.
        workflow: name of the workflow.
        job: id of the job.
        actor: login of who started the workflow.
        ref: full ref that the workflow runs for, e.g. `refs/heads/main`.
        branch: the branch that holds `head_sha`; empty for a tag.
        head_sha: the commit that the author pushed; for a pull request its head, never the test merge
            (`GITHUB_SHA`).
        sha: `GITHUB_SHA`: what actions/checkout takes where it is not told a `ref`.
        pull_requests: numbers of the pull requests that the event itself names.
        base_branch: the branch into which the pull request or merge group that the event names is to be merged.
        default_branch: default branch of the repository.
        is_fork: whether the commit comes from another repository; such runs get no secrets.
        is_dependabot: whether Dependabot started the workflow; such runs get no secrets either.
        deleted: whether the event tells of a deleted branch or tag, so that there is nothing to run.
    """

    name: str
    repository: str
    server_url: str
    api_url: str
    run_id: str
    run_attempt: int
    workflow: str
    job: str
    actor: str
    ref: str
    branch: str
    head_sha: str
    sha: str = ""
    pull_requests: tuple[int, ...]
    base_branch: str = ""
    default_branch: str = ""
    is_fork: bool
    is_dependabot: bool
    deleted: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], read: Callable[[str], str] = _read) -> Event:
        """Reads the event.

        Args:
            environ: environment variables of the step.
            read: function that returns the content of the file at `GITHUB_EVENT_PATH`. A payload that can't be read
                or isn't JSON counts as empty: the variables alone are enough for a push.
        """
        payload = _payload(environ, read)
        name = environ.get("GITHUB_EVENT_NAME", "")
        repository = environ.get("GITHUB_REPOSITORY", "")
        head = _head(name, payload)
        return cls(
            name=name,
            repository=repository,
            server_url=(environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/"),
            api_url=(environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/"),
            run_id=environ.get("GITHUB_RUN_ID", ""),
            run_attempt=_number(environ.get("GITHUB_RUN_ATTEMPT", "")),
            workflow=environ.get("GITHUB_WORKFLOW", ""),
            job=environ.get("GITHUB_JOB", ""),
            actor=environ.get("GITHUB_ACTOR", ""),
            ref=environ.get("GITHUB_REF", ""),
            branch=head.branch or environ.get("GITHUB_HEAD_REF", "") or _branch(environ.get("GITHUB_REF", "")),
            head_sha=head.sha or environ.get("GITHUB_SHA", ""),
            sha=environ.get("GITHUB_SHA", ""),
            pull_requests=_pull_requests(name, payload),
            base_branch=_text(payload, "pull_request", "base", "ref")
            or _branch(_text(payload, "merge_group", "base_ref")),
            default_branch=_text(payload, "repository", "default_branch"),
            is_fork=head.known and head.repository.lower() != repository.lower(),
            is_dependabot=environ.get("GITHUB_ACTOR") == DEPENDABOT,
            deleted=name == "delete" or (name == "push" and payload.get("deleted") is True),
        )

    @property
    def run_url(self) -> str:
        """Page of the workflow run, of this attempt where there are several."""
        attempt = f"/attempts/{self.run_attempt}" if self.run_attempt > 1 else ""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}{attempt}"

    def of_checkout(self, commit: str | None) -> Event:
        """The event as one of the commit that is checked out, where that is not the one that it tells of.

        On `issue_comment`, `workflow_run` and `pull_request_target`, actions/checkout takes the default or base branch
        where it is not told a `ref`. A pull request's test merge stands for its head; and a commit that is neither was
        chosen, or made, by the workflow itself.

        Args:
            commit: hex object name of the commit that is checked out; None where it is not known.
        """
        if commit != self.sha or commit == self.head_sha or self.name == "pull_request":
            return self
        return replace(self, head_sha=self.sha, branch=_branch(self.ref))

    def reason_to_leave(self, *, has_secrets: bool) -> str | None:
        """Why nothing may or can be run for this event; None: it may.

        Args:
            has_secrets: whether the step was given an API key of Lightning AI. GitHub gives none to what forks and
                Dependabot start, so there a missing key is no mistake of the user's.
        """
        if self.deleted:
            return "The branch or tag is deleted, so there is nothing to run."
        if self.is_fork and self.name in _WITH_SECRETS_FOR_FORKS:
            return (
                f"The commit comes from a fork, and `{self.name}` hands your secrets to whatever it runs, so a "
                "stranger's code would get your keys and a paid machine. To train on it, push it to a branch of this "
                "repository. It cost nothing."
            )
        if self.is_fork and not has_secrets:
            return (
                "The commit comes from a fork, and GitHub gives no secrets to its pull requests, so nothing runs. To "
                "train on it, push it to a branch of this repository. It cost nothing."
            )
        if self.is_dependabot and not has_secrets:
            return (
                "Dependabot started this, and GitHub gives it no secrets but Dependabot's own, so nothing runs. To "
                "train on its branches, add the keys to Dependabot's secrets. It cost nothing."
            )
        return None


@dataclass(frozen=True)
class _Head:
    """Where the commit comes from, as far as the payload says; `known` is whether it does."""

    known: bool = False
    sha: str = ""
    branch: str = ""
    repository: str = ""


def _head(name: str, payload: Mapping[str, Any]) -> _Head:
    if isinstance(payload.get("pull_request"), dict):
        # A deleted fork leaves `head.repo` null: still not this repository.
        return _Head(
            known=True,
            sha=_text(payload, "pull_request", "head", "sha"),
            branch=_text(payload, "pull_request", "head", "ref"),
            repository=_text(payload, "pull_request", "head", "repo", "full_name"),
        )
    if name == "workflow_run" and isinstance(payload.get("workflow_run"), dict):
        return _Head(
            known=True,
            sha=_text(payload, "workflow_run", "head_sha"),
            branch=_text(payload, "workflow_run", "head_branch"),
            repository=_text(payload, "workflow_run", "head_repository", "full_name"),
        )
    return _Head()


def _pull_requests(name: str, payload: Mapping[str, Any]) -> tuple[int, ...]:
    numbers = [_get(payload, "pull_request", "number")]
    if _get(payload, "issue", "pull_request") is not None:
        numbers.append(_get(payload, "issue", "number"))
    if name == "workflow_run":
        listed = _get(payload, "workflow_run", "pull_requests")
        # A push to a repository that is forked is part of pull requests elsewhere, too.
        here = _get(payload, "repository", "id")
        own = (
            item for item in (listed if isinstance(listed, list) else []) if _get(item, "base", "repo", "id") == here
        )
        numbers += [_get(item, "number") for item in own]
    if queued := _QUEUED.fullmatch(_text(payload, "merge_group", "head_ref")):
        numbers.append(int(queued[1]))
    return tuple(dict.fromkeys(n for n in numbers if isinstance(n, int) and not isinstance(n, bool)))


def _payload(environ: Mapping[str, str], read: Callable[[str], str]) -> Mapping[str, Any]:
    try:
        payload = json.loads(read(environ.get("GITHUB_EVENT_PATH", "")))
    except (OSError, ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _get(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any, *path: str) -> str:
    found = _get(value, *path)
    return found if isinstance(found, str) else ""


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 1
