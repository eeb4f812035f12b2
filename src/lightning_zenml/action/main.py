"""The main step: what has started the workflow, and whether it is to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lightning_zenml.action.checks.refusal import InputError
from lightning_zenml.action.commands.admission import admitted, refuse_inputs
from lightning_zenml.action.commands.comment import asks_for_command, reason_to_ignore
from lightning_zenml.action.commands.launches import carry_out
from lightning_zenml.action.github.admission import UnknownCodeError, github_of, mask_secrets, readable, settled
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.story import Story
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.http_session import is_readable_on_the_way


def main(environ: Mapping[str, str], workflow: Workflow) -> int:
    """Runs the action.

    Args:
        environ: variables of the step.
        workflow: the runner.

    Returns:
        The exit code: 0 for a completed run, or one that runs on when asynchronous.

    Raises:
        Cancelled: if the workflow is cancelled, after everything was stopped, or left as asked.
    """
    root, event = workspace_of(environ), Event.from_environ(environ)
    has_secrets = any(environ.get(name) for name in ("INPUT_LIGHTNING-API-KEY", "LIGHTNING_API_KEY"))
    by_comment = not event.problem and asks_for_command(event, environ)
    leave = reason_to_ignore(event, environ) if by_comment else event.reason_to_leave(has_secrets=has_secrets)
    if leave and not event.problem:
        return _do_nothing(leave, workflow)
    # What is wrong is collected, for whoever has to mend it to read of all of it in the pull request.
    inputs, refusals = _read(environ, root)
    mask_secrets(inputs, event, workflow, environ)
    warn(inputs, (inputs.zenml_store_url, event.api_url, environ.get("LIGHTNING_CLOUD_URL", "")), workflow)
    github = github_of(inputs, event)

    def story(inputs: Inputs, event: Event, *, stop_is_wanted: bool = False) -> Story:
        return Story(inputs, event, workflow, github, environ, root, stop_is_wanted=stop_is_wanted, refusals=refusals)

    if by_comment:
        if refusals:
            return refuse_inputs(refusals, event, environ, github, workflow)
        asked = admitted(event, inputs, environ, root, github, workflow)
        if isinstance(asked, int):
            return asked
        return carry_out(
            asked,
            workflow,
            run=lambda inputs: story(inputs, asked.event).run(),
            report=lambda inputs: story(inputs, asked.event, stop_is_wanted=True).run(),
        )
    try:
        event = settled(readable(event), inputs, root, github, workflow)
    except UnknownCodeError as error:
        refusals.append(error)
        # What runs for the words of people, the commit of the default branch, is not what the pull request brings.
        event = event if event.is_settled or not event.pull_requests else replace(event, head_sha="")
    else:
        if reason := event.reason_to_leave(has_secrets=has_secrets):
            return _do_nothing(reason, workflow)
    return story(inputs, event).run()


def warn(inputs: Inputs, servers: Iterable[str], workflow: Workflow) -> None:
    """Warns of inputs that may not be what is meant, and of keys that anybody can read on their way.

    Args:
        inputs: the step's inputs.
        servers: addresses to which keys go.
        workflow: the runner.
    """
    for name, message in inputs.warnings:
        workflow.warning(f"`{name}` {message}", Code.INPUT_IN_DOUBT, title=f"Input {name}")
    for url in filter(is_readable_on_the_way, servers):
        workflow.warning(f"Keys go to {url} as plain text, for all to read in between: use https://.", Code.NO_TLS)


def workspace_of(environ: Mapping[str, str]) -> Path:
    """Root of the checked-out repository."""
    return Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()


def _read(environ: Mapping[str, str], root: Path) -> tuple[Inputs, list[CodedError]]:
    """The inputs, as far as they can be read, and what is wrong with them."""
    try:
        return Inputs.from_environ(environ, root), []
    except InputsError as error:
        return error.inputs, [InputError(name, message) for name, message in error.problems]


def _do_nothing(reason: str, workflow: Workflow) -> int:
    workflow.notice(reason, Code.NOTHING_STARTED)
    return 0
