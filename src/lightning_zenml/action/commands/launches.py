"""The launches of a pull request that go on: which one `/attach` means, and their end by `/stop`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lightning_zenml.action.checks.checks import connect
from lightning_zenml.action.commands.admission import Admitted, refused
from lightning_zenml.action.commands.command import CommandError, Verb
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.launch.errors import LaunchError, StudioLostError, UnknownLaunchError
from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.zenml_api.finding import ZenMLFinder
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer

_GRACE = 20.0
"""Seconds that a run has for an orderly end."""


@dataclass(frozen=True, kw_only=True)
class _Launched:
    """A launch that goes on.

    Args:
        id: id of the launch.
        runs: pipeline runs that it has made so far.
    """

    id: str
    runs: tuple[Run, ...]


def carry_out(
    asked: Admitted,
    workflow: Workflow,
    *,
    run: Callable[[Inputs], int],
    report: Callable[[Inputs], int],
) -> int:
    """Carries out a command, and answers its comment.

    Args:
        asked: the command.
        workflow: the runner.
        run: starts or follows a run by its inputs; returns the exit code.
        report: reports the launch that the input `attach` names, which has been stopped as was wanted.

    Returns:
        The exit code.
    """
    inputs, log = asked.inputs, Log(workflow)
    zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
    stopped: list[str] = []
    try:
        if asked.command.verb is Verb.STOP:
            log.title("Stop")
            _stop(asked, zenml, log, stopped)
        elif asked.command.verb is Verb.ATTACH:
            inputs = _attached(inputs, _under_way(asked, zenml)[0].id)
    except CommandError as error:
        return refused(str(error), asked.answer, workflow)
    except (LaunchError, ZenMLServerError) as error:
        asked.answer.refuse(str(error))
        workflow.error(str(error), error.code, title="The command could not be carried out")
        return 1
    finally:
        log.end()
        # Of an asynchronous run nobody else may be there to tell.
        for launch_id in stopped:
            report(_attached(inputs, launch_id))
    asked.answer.accept()
    return 0 if asked.command.verb is Verb.STOP else run(inputs)


def _attached(inputs: Inputs, launch_id: str) -> Inputs:
    """The inputs with which an earlier launch is reported: it was started with limits of its own."""
    return replace(inputs, attach=launch_id, is_async=False, max_cost=None)


def _under_way(asked: Admitted, zenml: ZenMLServer) -> list[_Launched]:
    """The launches of the pull request that go on, the newest first; only that which the command names, if it does."""
    pull_request, wanted = asked.pull_request, asked.command.launch_id
    runs = ZenMLFinder(zenml).of_pull_request(asked.event.repository, pull_request.number, pull_request.head_ref)
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.launch_id, []).append(run)
    found = [
        _Launched(id=launch_id, runs=tuple(runs))
        for launch_id, runs in grouped.items()
        if not all(run.is_over for run in runs) and wanted in ("", launch_id)
    ]
    if not found:
        named = f"The launch `{wanted}` is none of this pull request that goes on" if wanted else "Nothing runs"
        raise CommandError(
            f"{named}, as far as ZenML knows. A launch whose pipeline run has not begun yet is ended by cancelling its "
            "workflow run."
        )
    return found


def _stop(asked: Admitted, zenml: ZenMLServer, log: Log, stopped: list[str]) -> None:
    """Ends them, gives back what they hold, and notes the id of each."""
    launches = _under_way(asked, zenml)
    lightning = connect(asked.inputs, zenml.stack(asked.inputs.stack).teamspace)
    reason = f"Stopped by a comment on {asked.event.repository}#{asked.pull_request.number}."
    for launched in launches:
        # Should its studio not answer: the controller looks at ZenML.
        for run in launched.runs:
            zenml.ask_to_stop(run.id, reason)
        log.line(f"{launched.id}: {_stopped(launched.id, lightning)}")
        # A controller that was killed has told ZenML nothing.
        for run in launched.runs:
            zenml.end_run(run.id, reason=reason)
        stopped.append(launched.id)


def _stopped(launch_id: str, lightning: Lightning) -> str:
    try:
        launch = Launcher(lightning).attach(launch_id, follow=False)
    except (StudioLostError, UnknownLaunchError) as error:
        Job.end_all(lightning, launch_id)
        return str(error)
    if not launch.is_under_way():
        return "it has ended before."
    launch.stop(grace=_GRACE)
    return f"stopped. {launch.release_notice}."
