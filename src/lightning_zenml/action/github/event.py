"""What happened on GitHub: the `GITHUB_*` variables and the event's payload, read into one `Event`.

Source: https://docs.github.com/actions/reference/workflows-and-actions/variables and
https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_zenml.action.github.head import Head, branch_of, get, text

DEPENDABOT = "dependabot[bot]"
_SECRETS_AS_SET = "pull_request"
"""Its runs for forks get secrets only where a private repository is set to send them."""
_WITHOUT_SECRETS_FOR_FORKS = frozenset({_SECRETS_AS_SET, "pull_request_review", "pull_request_review_comment"})
_OF_WRITERS = frozenset({"push", "create", "release", "schedule", "workflow_dispatch", "merge_group"})
"""Events that only people who may push to the repository can cause, and nobody from outside."""
_WORDS_OF_PEOPLE: Mapping[str, tuple[str, str]] = {
    "issue_comment": ("comment", "comments"),
    "commit_comment": ("comment", "comments"),
    "pull_request_review": ("review", "reviews"),
    "pull_request_review_comment": ("comment", "comments"),
    "discussion": ("discussion", "starts discussions"),
    "discussion_comment": ("comment", "comments"),
    "issues": ("issue", "opens issues"),
}
"""Events that anybody can cause by writing something: where the payload has that, and what its author does."""
_BY_AUTHORS_OF_ISSUES = frozenset({"opened", "edited", "closed", "reopened"})
"""What the author of an issue may do with it; all else, labels above all, takes a role in the repository."""
_OF_ANYBODY = frozenset({"fork", "watch"})
"""Events that anybody can cause with a click."""
_ASSOCIATED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


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
        is_fork: whether the commit comes from another repository.
        is_settled: whether that is known; else GitHub must be asked whose the commit is.
        is_dependabot: whether Dependabot started the workflow, though a person may have started it again; such runs get
            no secrets either.
        association: what the author of the comment, review, discussion or issue is to the repository, e.g. `MEMBER`;
            '' for other events.
        is_of_words: whether something that anybody may write has caused it.
        command: the command in a comment, once it is known that its author may give one; '' for other events.
        comment_id: id of that comment; 0 for other events.
        deleted: whether the event tells of a deleted branch or tag, so that there is nothing to run.
        problem: why the payload can't be read, so that nobody knows whose code this is; '' where it could be.
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
    is_settled: bool = True
    is_dependabot: bool
    association: str = ""
    is_of_words: bool = False
    command: str = ""
    comment_id: int = 0
    deleted: bool
    problem: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], read: Callable[[str], str] = _read) -> Event:
        """Reads the event.

        Args:
            environ: environment variables of the step.
            read: function that returns the content of the file at `GITHUB_EVENT_PATH`. A payload that can't be read
                or isn't JSON counts as empty, and `problem` says so.
        """
        payload, problem = payload_of(environ, read)
        name = environ.get("GITHUB_EVENT_NAME", "")
        repository = environ.get("GITHUB_REPOSITORY", "")
        ref = environ.get("GITHUB_REF", "")
        head = Head.of(name, payload, repository, ref)
        if name == "pull_request" and get(payload, "pull_request", "merged") is True and ref.startswith("refs/heads/"):
            # What runs then is the branch that it was merged into.
            head = replace(head, sha="", branch=branch_of(ref))
        actors = {environ.get("GITHUB_ACTOR"), text(payload, "sender", "login")}
        where, _ = _WORDS_OF_PEOPLE.get(name, ("", ""))
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
            ref=ref,
            branch=head.branch or environ.get("GITHUB_HEAD_REF", "") or branch_of(ref),
            head_sha=head.sha or environ.get("GITHUB_SHA", ""),
            sha=environ.get("GITHUB_SHA", ""),
            pull_requests=head.pull_requests,
            base_branch=head.base,
            default_branch=text(payload, "repository", "default_branch"),
            is_fork=head.is_fork is True,
            is_settled=head.is_fork is not None,
            is_dependabot=DEPENDABOT in actors,
            association=text(payload, where, "author_association"),
            is_of_words=bool(where) and (name != "issues" or payload.get("action") in _BY_AUTHORS_OF_ISSUES),
            deleted=name == "delete" or (name == "push" and payload.get("deleted") is True),
            problem=problem,
        )

    @property
    def run_url(self) -> str:
        """Page of the workflow run, of this attempt where there are several."""
        attempt = f"/attempts/{self.run_attempt}" if self.run_attempt > 1 else ""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}{attempt}"

    def of_checkout(self, commit: str | None) -> Event:
        """The event as one of the commit that is checked out, where that is not the one that it tells of.

        On `issue_comment`, `workflow_run`, `pull_request_target` and others, actions/checkout takes the default or base
        branch where it is not told a `ref`. A pull request's test merge stands for its head; and a commit that is
        neither was chosen, or made, by the workflow itself.

        Args:
            commit: hex object name of the commit that is checked out; None where it is not known.
        """
        is_test_merge = self.name == "pull_request" or self.ref.startswith("refs/pull/")
        if commit != self.sha or commit == self.head_sha or is_test_merge:
            return self
        return replace(self, head_sha=self.sha, branch=branch_of(self.ref))

    @property
    def is_of_writers(self) -> bool:
        """Whether only people who may push to the repository can cause such an event."""
        return self.name in _OF_WRITERS

    def reason_to_leave(self, *, has_secrets: bool) -> str | None:
        """Why nothing may or can be run for this event; None: it may.

        Args:
            has_secrets: whether the step was given an API key of Lightning AI. GitHub gives none to what forks and
                Dependabot start, so there a missing key is no mistake of the user's.
        """
        if self.deleted:
            return "The branch or tag is deleted, so there is nothing to run."
        if self.name in _OF_ANYBODY:
            return (
                f"Anybody may star or fork a public repository, so `{self.name}` starts no paid machine. Use an event "
                "that takes a role in the repository, such as `workflow_dispatch`. It cost nothing."
            )
        if self.is_of_words and self.association not in _ASSOCIATED:
            _, does = _WORDS_OF_PEOPLE[self.name]
            return (
                f"Whoever {does} here starts a paid machine only as owner, member or collaborator of the repository; "
                f"GitHub calls this author {self.association or 'none of these'}. A member may write the same. It cost "
                "nothing."
            )
        if self.is_fork and not has_secrets and self.name in _WITHOUT_SECRETS_FOR_FORKS:
            return (
                "The commit comes from a fork, and GitHub gives no secrets to its pull requests, so nothing runs. To "
                "train on it, push it to a branch of this repository. It cost nothing."
            )
        if self.is_fork and self.name != _SECRETS_AS_SET:
            return (
                f"The commit comes from a fork, and `{self.name}` hands your secrets to whatever it runs, so a "
                "stranger's code would get your keys and a paid machine. To train on it, push it to a branch of this "
                "repository. It cost nothing."
            )
        if self.is_dependabot and not has_secrets:
            return (
                "Dependabot started this, and GitHub gives it no secrets but Dependabot's own, so nothing runs. To "
                "train on its branches, add the keys to Dependabot's secrets. It cost nothing."
            )
        return None


def payload_of(environ: Mapping[str, str], read: Callable[[str], str] = _read) -> tuple[Mapping[str, Any], str]:
    """The event's payload, and why it can't be read.

    Args:
        environ: variables of the step.
        read: function that returns the content of the file at `GITHUB_EVENT_PATH`.

    Returns:
        The payload, empty where it can't be read; the reason, '' where it could be.
    """
    try:
        payload = json.loads(read(environ.get("GITHUB_EVENT_PATH", "")))
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{type(error).__name__}: {error}"
    return (payload, "") if isinstance(payload, dict) else ({}, "no JSON object")


def _number(digits: str) -> int:
    return int(digits) if digits.isdecimal() else 1
