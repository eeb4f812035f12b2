"""A run that was submitted earlier, seen from a client: what became of it, and how to stop it by force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenml.constants import METADATA_ORCHESTRATOR_RUN_ID, METADATA_ORCHESTRATOR_URL
from zenml.enums import ExecutionStatus
from zenml.logger import get_logger

from lightning_zenml.codes import Code
from lightning_zenml.launch.agreement import found
from lightning_zenml.launch.errors import JobsLeftError, LaunchError, StudioLostError, UnknownLaunchError
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.pipeline import ID_PREFIX, Execution
from lightning_zenml.launch.spec import Phase
from lightning_zenml.orchestrator.client.run_end import fail, how_it_ended, stop, unfinished_children, unfinished_steps
from lightning_zenml.orchestrator.run_id import launch_id_of

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

logger = get_logger(__name__)

_FORCED_GRACE = 5.0
_WITHOUT_LAUNCH = frozenset({ExecutionStatus.PAUSED, ExecutionStatus.RESUMING})
"""Statuses of a run that waits for something outside, or whose next launch is on its way: its last one is over."""


def fetch_status(
    run: PipelineRunResponse, lightning: Lightning, *, include_steps: bool
) -> tuple[ExecutionStatus | None, dict[str, ExecutionStatus] | None]:
    """Asks Lightning what became of a run that ZenML takes for unfinished.

    Args:
        run: the run in ZenML.
        lightning: teamspace of the credentials at hand.
        include_steps: whether to find out about its steps, too.

    Returns:
        Status of the run, and by name of its unfinished steps; None where ZenML knows better.
    """
    # Without that id its client is still at the launch, and fails the run itself if that comes to nothing.
    if run.status.is_finished or run.status in _WITHOUT_LAUNCH or not run.orchestrator_run_id:
        return None, None
    if elsewhere := _elsewhere(run, lightning):
        logger.warning("What became of the run `%s` can't be told: %s", run.name, elsewhere)
        return None, None
    lost = _why_lost(run, lightning)
    # Looking took its time: the run may have ended meanwhile, and given its studio back.
    if lost is None or how_it_ended(run.id):
        return None, None
    try:
        # Whoever would have ended them is gone.
        Job.end_all(lightning, _launch_id(run))
    except LaunchError as error:
        logger.error("Jobs of the run `%s` may still run, and cost: %s Delete them on Lightning AI.", run.name, error)
    # Whoever could have told ZenML of the end is gone.
    if run.status is ExecutionStatus.STOPPING:
        for child in unfinished_children(run.id):
            stop(child)
        steps = {step.name: ExecutionStatus.STOPPED for step in unfinished_steps(run.id)} if include_steps else None
        return ExecutionStatus.STOPPED, steps
    # Recorded here, as ZenML itself would neither keep the reason nor end a step that has tries left.
    fail(run, lost)
    return ExecutionStatus.FAILED, None


def stop_forcefully(run: PipelineRunResponse, lightning: Lightning) -> None:
    """Ends a run's launch, releases its studio and records run and steps as stopped.

    Args:
        run: the run in ZenML.
        lightning: teamspace of the credentials at hand.

    Raises:
        LaunchError: if the run is in another teamspace, or Lightning refuses to end it.
    """
    if elsewhere := _elsewhere(run, lightning):
        raise LaunchError(f"{elsewhere} Until then its controller stops it, if that still runs.", code=Code.CREDENTIALS)
    # Without that id nothing has been launched, or its job was gone before it could tell.
    if run.orchestrator_run_id:
        _end(run, lightning)
    stop(run)


def _end(run: PipelineRunResponse, lightning: Lightning) -> None:
    if _is_scheduled(run):
        if execution := _execution(run, lightning):
            execution.stop()
        Job.end_all(lightning, _launch_id(run))
        return
    try:
        _attach(run, lightning).stop(grace=_FORCED_GRACE)
    except (StudioLostError, UnknownLaunchError):
        # Its jobs may still be there.
        Job.end_all(lightning, _launch_id(run))
    except JobsLeftError as error:
        logger.warning("%s", error)


def _why_lost(run: PipelineRunResponse, lightning: Lightning) -> str | None:
    if _is_scheduled(run):
        execution = _execution(run, lightning)
        gone = execution is not None and execution.ended
        return "Its job on Lightning AI ended without a word." if gone else None
    try:
        if _attach(run, lightning, follow=False).status().phase is not Phase.FINISHED:
            return None
    except (StudioLostError, UnknownLaunchError) as error:
        return str(error)
    return "Its launch on Lightning AI ended without a word."


def _elsewhere(run: PipelineRunResponse, lightning: Lightning) -> str | None:
    """Where to look for the run, if that isn't the teamspace of the credentials at hand."""
    url = str(run.run_metadata.get(METADATA_ORCHESTRATOR_URL) or "")
    if not url or url.startswith(f"{lightning.url}/{lightning.owner}/{lightning.teamspace}/"):
        return None
    return (
        f"It runs at {url}, and the credentials at hand are for the teamspace "
        f"{lightning.owner}/{lightning.teamspace}. Set LIGHTNING_TEAMSPACE, and LIGHTNING_ORG or LIGHTNING_USERNAME."
    )


def _is_scheduled(run: PipelineRunResponse) -> bool:
    """Whether a schedule has started the run: it is an execution of a Lightning pipeline, not a launch."""
    return _launch_id(run).startswith(ID_PREFIX)


def _execution(run: PipelineRunResponse, lightning: Lightning) -> Execution | None:
    return found(lambda: Execution.find(lightning, _launch_id(run)))


def _attach(run: PipelineRunResponse, lightning: Lightning, *, follow: bool = True) -> Launch:
    return Launcher(lightning).attach(_launch_id(run), follow=follow)


def _launch_id(run: PipelineRunResponse) -> str:
    """Of the newest launch: the server keeps the first `orchestrator_run_id` of a run that is resumed or retried."""
    newest = run.run_metadata.get(METADATA_ORCHESTRATOR_RUN_ID) or run.orchestrator_run_id or ""
    return launch_id_of(str(newest))
