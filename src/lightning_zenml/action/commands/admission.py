"""Whether a comment's command is carried out: who wrote it, what it may set, and which commit its author saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, takewhile
from pathlib import Path

from lightning_zenml.action.commands.answer import Answer
from lightning_zenml.action.commands.command import Command, CommandError, Verb, command_in
from lightning_zenml.action.commands.comment import CommandComment
from lightning_zenml.action.commands.parameters import settled
from lightning_zenml.action.github.client import GitHub, GitHubError, PullRequest, TryLaterError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import commit_of

_WRITERS = frozenset({"admin", "write"})
"""Permissions that let somebody push, and so run what they like with the workflow's secrets anyway."""
_LOOKS = 4
"""How often GitHub is asked for pushes, until it tells of the one that brought the head: its list may lag behind."""
_PAUSE = 3.0
"""Seconds between two looks."""
_CHECKOUT = "`ref: refs/pull/${{ github.event.issue.number }}/head`"


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A command that is to be carried out.

    Args:
        command: the command.
        event: the event, as one of the pull request's commit.
        inputs: the inputs, with what the command sets.
        pull_request: the pull request.
        answer: tells whoever wrote it.
    """

    command: Command
    event: Event
    inputs: Inputs
    pull_request: PullRequest
    answer: Answer


def admitted(
    event: Event, inputs: Inputs, environ: Mapping[str, str], root: Path, github: GitHub | None, workflow: Workflow
) -> Admitted | int:
    """Reads, checks and perhaps refuses the command in the comment that has started the workflow.

    Args:
        event: the event, for which there is no `reason_to_ignore`.
        inputs: the step's inputs.
        environ: variables of the step.
        root: folder of the workspace.
        github: the server to ask; None: there is no token for it.
        workflow: the runner.

    Returns:
        The command; the exit code, where there is none that is carried out: 0, or 1 where GitHub can't be asked.
    """
    comment = CommandComment.from_environ(environ)
    if github is None:
        workflow.error(
            "There is no `github-token` to ask GitHub with who may give commands, so nothing runs.", Code.GITHUB_TOKEN
        )
        return 1
    answer = Answer(comment, event, github, workflow)
    try:
        _check_author(comment, event, github)
        command = command_in(comment.body)
        pull_request = github.pull_request(event.repository, comment.number)
        seen = _of_pull_request(event, pull_request)
        if reason := seen.reason_to_leave(has_secrets=True):
            raise CommandError(reason)
        if command.verb is Verb.TRAIN:
            seen = _of_commit(seen, comment, pull_request, root / inputs.working_directory, root, github)
            inputs = _with_parameters(inputs, command)
            seen = replace(seen, command=str(command), comment_id=comment.id)
        return Admitted(command=command, event=seen, inputs=inputs, pull_request=pull_request, answer=answer)
    except CommandError as error:
        return refused(str(error), answer, workflow)
    except TryLaterError as error:
        workflow.error(
            f"Whether the command may be carried out can't be found out, so nothing runs. {error} Start the job again.",
            error.code,
        )
        return 1
    except GitHubError as error:
        # It will be refused the next time, too: whoever wrote the comment should know.
        answer.refuse(f"Whether the command may be carried out can't be found out. {error}")
        workflow.error(
            f"Whether the command may be carried out can't be found out, so nothing runs. {error}",
            error.code,
        )
        return 1


def refuse_inputs(
    reasons: Sequence[CodedError],
    event: Event,
    environ: Mapping[str, str],
    github: GitHub | None,
    workflow: Workflow,
) -> int:
    """Refuses a command for what is wrong with the workflow's own inputs.

    Args:
        reasons: what is wrong with them.
        event: the event, for which there is no `reason_to_ignore`.
        environ: variables of the step.
        github: the server that has the comment; None: there is no token for it.
        workflow: the runner.

    Returns:
        The exit code, 1.
    """
    for reason in reasons:
        workflow.error(str(reason), reason.code)
    if github:
        answer = Answer(CommandComment.from_environ(environ), event, github, workflow)
        answer.refuse(f"The workflow's inputs can't be used. {'. '.join(map(str, reasons))}.")
    return 1


def refused(reason: str, answer: Answer, workflow: Workflow) -> int:
    """Refuses a command, in a reply and in the log; the step is green, as nothing is wrong with the workflow.

    Args:
        reason: why, and what to do.
        answer: tells whoever wrote it.
        workflow: the runner.
    """
    answer.refuse(reason)
    workflow.notice(reason, Code.NOTHING_STARTED)
    return 0


def _check_author(comment: CommandComment, event: Event, github: GitHub) -> None:
    """What GitHub calls an author in the event (`author_association`) tells nothing of what they may do."""
    permission = github.permission(event.repository, comment.author)
    if permission not in _WRITERS:
        raise CommandError(
            f"Commands are for people who may write to {event.repository}; {comment.author} has the permission "
            f"`{permission}`. It cost nothing."
        )


def _of_pull_request(event: Event, pull_request: PullRequest) -> Event:
    return replace(
        event,
        head_sha=pull_request.head_sha,
        branch=pull_request.head_ref,
        base_branch=pull_request.base_ref,
        pull_requests=(pull_request.number,),
        is_fork=pull_request.is_fork,
        is_settled=True,
        # Of one who may write: GitHub has been asked.
        is_of_words=False,
    )


def _of_commit(
    event: Event, comment: CommandComment, pull_request: PullRequest, folder: Path, root: Path, github: GitHub
) -> Event:
    """The event with the head as it was when the comment was written, which must be what is checked out."""
    try:
        commit = commit_of(root, folder)
    except PackageError:
        commit = None
    if commit is None:
        raise CommandError(f"No commit is checked out: the workflow needs `actions/checkout` with {_CHECKOUT}.")
    if comment.created is None:
        raise CommandError("The event does not tell when the comment was written.")
    seen, later = _head_at(comment.created, event.repository, pull_request, github)
    if commit.sha == seen:
        return replace(event, head_sha=seen)
    if commit.sha in later:
        raise CommandError(
            f"`{commit.sha[:7]}` was pushed after the comment was written, which saw `{seen[:7]}`: nothing runs that "
            "its author hasn't seen. Look at it, and write the command again."
        )
    raise CommandError(
        f"Checked out is `{commit.sha[:7]}`, and the head of the pull request was `{seen[:7]}` when the comment was "
        f"written: the workflow needs `actions/checkout` with {_CHECKOUT}."
    )


def _head_at(
    moment: datetime, repository: str, pull_request: PullRequest, github: GitHub
) -> tuple[str, tuple[str, ...]]:
    """A pull request's head at a moment, and those since, by GitHub's own list of pushes to its branch.

    Dates in commits are whatever their authors want them to be.
    """
    for look in range(_LOOKS):
        if look:
            github.rest.pause(_PAUSE)
            pull_request = github.pull_request(repository, pull_request.number)
        pushes = github.pushes(repository, pull_request.head_ref)
        newest = next(pushes, None)
        if newest is None or newest.after != pull_request.head_sha:
            continue
        # One in the same second has not been seen.
        later = list(takewhile(lambda push: push.moment >= moment, chain([newest], pushes)))
        return (later[-1].before if later else newest.after), tuple(push.after for push in later)
    raise CommandError(
        f"GitHub doesn't tell when `{pull_request.head_sha[:7]}` was pushed to `{pull_request.head_ref}`, so nobody "
        "knows whether the comment's author has seen it. Write the command again in a minute, or push again."
    )


def _with_parameters(inputs: Inputs, command: Command) -> Inputs:
    machine, variables = settled(command.given, inputs.command_parameters, inputs.machine_type)
    return replace(
        inputs,
        machine_type=(machine,) if machine else inputs.machine_type,
        env={**inputs.env, **variables},
    )
