"""Whether anything may be started for an event, as far as only GitHub can tell."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from lightning_zenml.action.github.client import GitHub, GitHubError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import commit_of


def github_of(inputs: Inputs, event: Event) -> GitHub | None:
    """GitHub, where there is a token for it."""
    if not (inputs.github_token and event.repository):
        return None
    return GitHub(event.api_url, inputs.github_token)


def mask_secrets(inputs: Inputs, event: Event, workflow: Workflow) -> None:
    """Has the runner mask all secrets; a commit's hash in `env` looks like one, and links need it."""
    for secret in inputs.secrets:
        if secret not in (event.sha, event.head_sha):
            workflow.mask(secret)


def with_head(event: Event, github: GitHub | None) -> Event:
    """The event with the commit of its pull request: a comment on one doesn't say whose code that brings.

    Args:
        event: what started the workflow run.
        github: the server to ask; None: there is no token for it.

    Raises:
        GitHubError: if the commit can't be found out.
    """
    if event.name != "issue_comment" or not event.pull_requests:
        return event
    if github is None:
        raise GitHubError("There is no `github-token` to ask GitHub with.")
    head = github.pull_request(event.repository, event.pull_requests[0])
    return replace(event, head_sha=head.head_sha, branch=head.head_ref, is_fork=head.is_fork)


def with_checkout(event: Event, root: Path, folder: Path, workflow: Workflow) -> Event:
    """The event with the commit that really runs; warns where that is not the one that the event tells of.

    Args:
        event: what started the workflow run.
        root: folder of the workspace.
        folder: folder of the workspace in which the command runs.
        workflow: the runner, for the warning.
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
            title="Another commit is checked out",
        )
    return really
