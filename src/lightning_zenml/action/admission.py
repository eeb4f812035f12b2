"""Whether anything may be started for an event, as far as only GitHub can tell."""

from __future__ import annotations

from dataclasses import replace

from lightning_zenml.action.event import Event
from lightning_zenml.action.github import GitHub, GitHubError
from lightning_zenml.action.inputs import Inputs


def github_of(inputs: Inputs, event: Event) -> GitHub | None:
    """GitHub, where there is a token for it."""
    if not (inputs.github_token and event.repository):
        return None
    return GitHub(event.api_url, inputs.github_token)


def with_head(event: Event, github: GitHub | None) -> Event:
    """The event with the commit of its pull request: a comment on one doesn't say whose code that brings.

    Args:
        event: any.
        github: None: GitHub can't be asked.

    Raises:
        GitHubError: it can't be found out.
    """
    if event.name != "issue_comment" or not event.pull_requests:
        return event
    if github is None:
        raise GitHubError("There is no `github-token` to ask GitHub with.")
    head = github.pull_request(event.repository, event.pull_requests[0])
    return replace(event, head_sha=head.head_sha, branch=head.head_ref, is_fork=head.is_fork)
