"""A ZenML schedule on Lightning AI: a pipeline whose job runs our controller whenever a cron expression is due.

The studio is prepared once, by a launch like that of any run: the code and what the steps import lie in it from then
on, and the jobs start from it. It costs nothing but its storage; a due schedule costs its job's machine. The studio is
one of the schedule's own that goes with it, or `main_studio_name`, which stays. `creation` makes all this, `execution`
is what the job runs; here a schedule is changed and deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.logger import get_logger
from zenml.utils.pagination_utils import depaginate

from lightning_zenml.codes import Code
from lightning_zenml.launch.agreement import found
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.pipeline import LightningPipeline, remove
from lightning_zenml.launch.studio.names import prefixed
from lightning_zenml.orchestrator.client.following import fetch_status, stop_forcefully
from lightning_zenml.orchestrator.schedule.checks import cron_problem, timezone
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, ScheduleResponse, ScheduleUpdate

logger = get_logger(__name__)


def update(
    schedule: ScheduleResponse,
    changes: ScheduleUpdate,
    snapshot: PipelineSnapshotResponse,
    settings: LightningOrchestratorSettings,
    lightning: Lightning,
) -> None:
    """Gives a schedule another cron expression, pauses it or lets it go on.

    Args:
        schedule: the schedule as it is.
        changes: changes to the schedule.
        snapshot: compiled pipeline that the schedule runs.
        settings: settings of that pipeline.
        lightning: teamspace that the schedule is in.

    Raises:
        LaunchError: if the cron expression is none, Lightning has no such schedule, or the schedule is to be paused
            while a run of it is under way.
    """
    cron = changes.cron_expression or schedule.cron_expression
    if problem := cron_problem(cron):
        raise LaunchError(f"The schedule stays as it is: {problem}.", code=Code.SCHEDULE)
    pipeline = LightningPipeline.find(lightning, name_of(snapshot, schedule))
    if pipeline is None:
        raise LaunchError(
            f"Lightning has no pipeline `{name_of(snapshot, schedule)}` of the schedule `{schedule.name}` any more. "
            "Delete the schedule and run the pipeline with a new one.",
            code=Code.SCHEDULE,
        )
    active = schedule.active if changes.active is None else changes.active
    if schedule.active and not active and (run := _run_under_way(schedule, lightning)):
        raise LaunchError(
            f"The schedule `{schedule.name}` isn't paused: that would take from its run `{run.name}`, which is under "
            "way, the token for the ZenML server. Wait for the run to end, or stop it with "
            f"`zenml pipeline runs stop {run.id}`, then pause the schedule.",
            code=Code.SCHEDULE,
        )
    if active:
        pipeline.schedule(cron, name=schedule.name, timezone=timezone(settings))
    else:
        pipeline.unschedule()


def delete(schedule: ScheduleResponse, snapshot: PipelineSnapshotResponse, lightning: Lightning) -> None:
    """Deletes a schedule's pipeline on Lightning and the studio that was made for it; stops its run.

    Args:
        schedule: the schedule to delete.
        snapshot: compiled pipeline that the schedule runs.
        lightning: teamspace that the schedule is in.

    Raises:
        LaunchError: if Lightning refuses, or its run is in another teamspace.
    """
    name = name_of(snapshot, schedule)
    # One that was overlooked would go on, and cost.
    pipeline = found(lambda: LightningPipeline.find(lightning, name))
    if pipeline is None:
        logger.warning("Lightning has no pipeline `%s` of the schedule `%s` any more.", name, schedule.name)
    else:
        pipeline.unschedule()
    for run in _unfinished_runs(schedule):
        stop_forcefully(run, lightning)
    remove(lightning, name)


def snapshot_of(schedule: ScheduleResponse) -> PipelineSnapshotResponse:
    """Finds what a schedule runs.

    Args:
        schedule: the schedule in ZenML.

    Returns:
        The compiled pipeline.

    Raises:
        LaunchError: if ZenML has no snapshot of it any more.
    """
    page = Client().list_snapshots(
        schedule_id=schedule.id, named_only=False, project=schedule.project_id, size=1, hydrate=True
    )
    if not page.items:
        raise LaunchError(
            f"ZenML has no snapshot of the schedule `{schedule.name}` any more. On Lightning AI, delete the pipeline "
            f"whose name ends in `-{schedule.id.hex[:8]}`, and the studio of that name.",
            code=Code.SCHEDULE,
        )
    return page.items[0]


def _run_under_way(schedule: ScheduleResponse, lightning: Lightning) -> PipelineRunResponse | None:
    """A run that goes on; one whose job ended without a word is recorded as failed, and isn't it."""
    for run in _unfinished_runs(schedule):
        status, _ = fetch_status(run, lightning, include_steps=False)
        if status is None:
            return run
    return None


def _unfinished_runs(schedule: ScheduleResponse) -> Iterator[PipelineRunResponse]:
    runs = depaginate(Client().list_pipeline_runs, schedule_id=schedule.id, project=schedule.project_id)
    return (run for run in runs if not run.status.is_finished)


def name_of(snapshot: PipelineSnapshotResponse, schedule: ScheduleResponse) -> str:
    """Name of a schedule's pipeline and studio on Lightning AI, which is never stored: the schedule alone tells it."""
    return f"{prefixed(snapshot.pipeline_configuration.name)}-{schedule.id.hex[:8]}"
