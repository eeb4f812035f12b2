"""A run that was submitted earlier, seen from a client: what became of it, and how to stop it by force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.orchestrators import publish_utils
from zenml.utils.pagination_utils import depaginate

from lightning_zenml.launch.errors import StudioLostError, UnknownLaunchError
from lightning_zenml.launch.job import Job
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning import Lightning
from lightning_zenml.launch.pipeline import ID_PREFIX, Execution
from lightning_zenml.launch.spec import Phase
from lightning_zenml.orchestrator.context import launch_id_of
from lightning_zenml.orchestrator.flavor import LightningOrchestratorSettings

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse

_FORCED_GRACE = 5.0


def fetch_status(
    run: PipelineRunResponse, lightning: Lightning, *, include_steps: bool
) -> tuple[ExecutionStatus | None, dict[str, ExecutionStatus] | None]:
    """Asks Lightning what became of a run that ZenML takes for unfinished.

    Args:
        run: the run.
        lightning: where it was launched.
        include_steps: also tell of its steps.

    Returns:
        Status of the run, and by name of its unfinished steps; None where ZenML knows better.
    """
    # Without that id its client is still at the launch, and fails the run itself if that comes to nothing.
    if run.status.is_finished or not run.orchestrator_run_id or _is_alive(run, lightning):
        return None, None
    # Whoever could have told ZenML of the end is gone.
    stopping = run.status is ExecutionStatus.STOPPING
    ended = ExecutionStatus.STOPPED if stopping else ExecutionStatus.FAILED
    steps = {step.name: ended for step in _unfinished(run)} if include_steps else None
    return ended, steps


def stop_forcefully(run: PipelineRunResponse, lightning: Lightning) -> None:
    """Ends a run's launch, releases its studio and records run and steps as stopped.

    Args:
        run: the run.
        lightning: where it was launched.
    """
    if _is_scheduled(run):
        if execution := _execution(run, lightning):
            execution.stop()
        Job.end_all(lightning, launch_id_of(run.orchestrator_run_id))
    else:
        with contextlib.suppress(StudioLostError, UnknownLaunchError):
            _attach(run, lightning).stop(grace=_FORCED_GRACE)
    for step in _unfinished(run):
        publish_utils.publish_stopped_step_run(step.id)
    if not Client().get_pipeline_run(run.id, hydrate=False).status.is_finished:
        publish_utils.publish_pipeline_run_status_update(run.id, ExecutionStatus.STOPPED)


def settings_credentials(settings: LightningOrchestratorSettings) -> dict[str, str | None]:
    """The settings that say who we are on Lightning AI, as `Credentials.resolve` takes them."""
    names = ("user_id", "api_key", "teamspace", "username", "organization")
    return {name: getattr(settings, name) for name in names}


def _is_alive(run: PipelineRunResponse, lightning: Lightning) -> bool:
    if _is_scheduled(run):
        execution = _execution(run, lightning)
        return execution is None or not execution.ended
    try:
        return _attach(run, lightning, follow=False).status().phase is not Phase.FINISHED
    except (StudioLostError, UnknownLaunchError):
        return False


def _is_scheduled(run: PipelineRunResponse) -> bool:
    """Whether a schedule has started the run: it is an execution of a Lightning pipeline, not a launch."""
    return bool(launch_id_of(run.orchestrator_run_id or "").startswith(ID_PREFIX))


def _execution(run: PipelineRunResponse, lightning: Lightning) -> Execution | None:
    return Execution.find(lightning, launch_id_of(run.orchestrator_run_id))


def _attach(run: PipelineRunResponse, lightning: Lightning, *, follow: bool = True) -> Launch:
    return Launcher(lightning).attach(launch_id_of(run.orchestrator_run_id), follow=follow)


def _unfinished(run: PipelineRunResponse) -> Iterator[StepRunResponse]:
    steps = depaginate(Client().list_run_steps, pipeline_run_id=run.id, exclude_retried=True, hydrate=False)
    return (step for step in steps if not step.status.is_finished)
