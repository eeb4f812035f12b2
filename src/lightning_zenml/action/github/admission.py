"""Whether anything may be started for an event, as far as only GitHub can tell."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lightning_zenml.action.github.client import GitHub, GitHubError, NotFoundError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.seclusion import TOKENS
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import commit_of

_BY_HAND = frozenset({"repository_dispatch", "workflow_dispatch"})
"""Events of people who may push to the repository, in whose words a number may mean anything."""
_NO_TOKEN = GitHubError("There is no `github-token` to ask GitHub with.")


class UnknownCodeError(CodedError):
    """Nobody knows whose code would run."""

    code = Code.COMMIT


def readable(event: Event) -> Event:
    """The event, whose payload must tell whose code it brings.

    Args:
        event: what started the workflow run.

    Raises:
        UnknownCodeError: if its payload can't be read.
    """
    if event.problem:
        raise UnknownCodeError(
            f"The event's payload at GITHUB_EVENT_PATH can't be read ({event.problem}), so whose code this is can't be "
            "found out, and nothing runs. Start the job again.",
            code=Code.EVENT,
        )
    return event


def settled(event: Event, inputs: Inputs, root: Path, github: GitHub | None, workflow: Workflow) -> Event:
    """The event with the commit that really runs, and whether it is a fork's.

    Args:
        event: what started the workflow run.
        inputs: the step's inputs.
        root: folder of the workspace.
        github: the server to ask; None: there is no token for it.
        workflow: the runner, for warnings.

    Raises:
        UnknownCodeError: if that can't be found out.
    """
    try:
        event = with_head(event, github, workflow)
        # With `attach`, what is checked out doesn't run; and to ask about a fork's is for nothing.
        if inputs.attach or event.is_fork:
            return event
        return with_checkout(event, root, root / inputs.working_directory, github, workflow)
    except GitHubError as error:
        raise UnknownCodeError(f"Whose code this is can't be found out, so nothing runs. {error}") from error


def github_of(inputs: Inputs, event: Event) -> GitHub | None:
    """GitHub, where there is a token for it."""
    if not (inputs.github_token and event.repository):
        return None
    return GitHub(event.api_url, inputs.github_token)


def mask_secrets(inputs: Inputs, event: Event, workflow: Workflow, environ: Mapping[str, str]) -> None:
    """Has all secrets hidden; a commit's hash in `env` looks like one, and links need it.

    Args:
        inputs: the step's inputs.
        event: what started the workflow run.
        workflow: the runner, which hides them.
        environ: variables of the step, the runner's own tokens among them.
    """
    for name in TOKENS:
        workflow.mask(environ.get(name, ""))
    for secret in inputs.secrets:
        if secret not in (event.sha, event.head_sha):
            workflow.mask(secret)


def with_head(event: Event, github: GitHub | None, workflow: Workflow) -> Event:
    """The event with whose commit it brings, asked of GitHub where the payload doesn't say.

    Args:
        event: what started the workflow run.
        github: the server to ask; None: there is no token for it.
        workflow: the runner, for its log.

    Raises:
        GitHubError: if that can't be found out.
    """
    if event.is_settled:
        return event
    if github is None:
        raise _NO_TOKEN
    if not event.pull_requests:
        is_fork = github.is_of_fork(event.repository, event.head_sha)
        return replace(event, is_fork=is_fork, is_settled=True)
    try:
        found = github.pull_request(event.repository, event.pull_requests[0])
    except NotFoundError:
        if event.name not in _BY_HAND:
            raise
        number = event.pull_requests[0]
        workflow.log(f"`{event.name}` names pull request #{number}, which {event.repository} doesn't have.\n")
        return replace(event, pull_requests=(), is_settled=True)
    return replace(
        event,
        # The pull request may have moved on since.
        head_sha=found.head_sha if event.head_sha == event.sha else event.head_sha,
        branch=found.head_ref,
        base_branch=found.base_ref,
        is_fork=found.is_fork,
        is_settled=True,
    )


def with_checkout(event: Event, root: Path, folder: Path, github: GitHub | None, workflow: Workflow) -> Event:
    """The event with the commit that really runs; warns where that is not the one that the event tells of.

    Args:
        event: what started the workflow run.
        root: folder of the workspace.
        folder: folder of the workspace in which the command runs.
        github: the server to ask whose a commit is that the event doesn't tell of; None: there is no token for it.
        workflow: the runner, for warnings.

    Raises:
        GitHubError: if whose it is can't be found out, and somebody from outside may have caused the event.
    """
    commit = None
    # What can't be read is told of when it is packed.
    with contextlib.suppress(PackageError):
        commit = commit_of(root, folder)
    really = event.of_checkout(commit.sha if commit else None)
    if really != event:
        workflow.warning(
            f"Checked out is {really.head_sha[:7]} of {really.branch or event.ref}, which runs now, not "
            f"{event.head_sha[:7]}, which `{event.name}` tells of: actions/checkout takes that only where its `ref:` "
            "says so.",
            Code.OTHER_COMMIT,
        )
    if commit is None or commit.sha in (event.sha, event.head_sha):
        return really
    # The workflow's `ref:` chose it: `refs/pull/5/head`, say, for an event that tells of the default branch.
    try:
        if github is None:
            raise _NO_TOKEN
        is_fork = github.is_of_fork(event.repository, commit.sha)
    except GitHubError as error:
        if not event.is_of_writers:
            raise
        message = f"Whether the commit {commit.sha[:7]} comes from a fork can't be found out. {error}"
        workflow.warning(message, Code.COMMIT)
        return really
    return replace(really, is_fork=really.is_fork or is_fork)
