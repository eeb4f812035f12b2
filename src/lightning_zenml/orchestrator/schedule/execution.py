"""One run of a scheduled pipeline, in the job that Lightning starts whenever the schedule is due.

`python -m lightning_zenml.orchestrator.schedule.execution --snapshot-id ID`, as `creation` has asked of Lightning.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import tenacity
from zenml.client import Client
from zenml.logger import get_logger
from zenml.models import PipelineRunUpdate
from zenml.orchestrators.publish_utils import publish_pipeline_run_metadata, publish_schedule_metadata
from zenml.pipelines.run_utils import create_placeholder_run
from zenml.stack import Stack
from zenml.utils import source_utils

from lightning_zenml.launch.agreement import found
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.pipeline import ID_PREFIX, PIPELINE_ID, Execution
from lightning_zenml.launch.payload.variables import EXECUTION
from lightning_zenml.orchestrator.client.run_end import fail
from lightning_zenml.orchestrator.connect import connect
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.controller.controller import control
from lightning_zenml.orchestrator.controller.pipeline_errors import PipelineFailedError, PipelineStoppedError
from lightning_zenml.orchestrator.run_id import orchestrator_run_id, run_metadata
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.orchestrator.zenml_client.patience import be_patient

if TYPE_CHECKING:
    from zenml.models import PipelineSnapshotResponse

    from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

logger = get_logger(__name__)

FIRST_EXECUTION = "lightning_first_execution"
"""Metadata of the schedule: the execution that came with the making of the pipeline."""

_REFUSAL_PATIENCE = 1800.0
"""Seconds in which Lightning is asked again to end jobs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the pipeline, unless it was only made a moment ago and isn't due.

    Args:
        arguments: command line without the program; None: that of this process.

    Returns:
        The exit code: 0 only if the whole pipeline completed, or nothing was due.
    """
    parser = argparse.ArgumentParser(prog="python -m lightning_zenml.orchestrator.schedule.execution")
    parser.add_argument("--snapshot-id", type=UUID, required=True)
    parser.add_argument("--start", type=Start.parse, default=Start(), help="where the schedule was made, JSON")
    parser.add_argument("--after-crash", action="store_true", help="end what the program before has left behind")
    options = parser.parse_args(arguments)
    context = LaunchContext.find()
    if context is None:
        parser.error("this program runs in a job from a studio that a launch has prepared")
    # Where Lightning tells no id, one that it doesn't know: then it can't be asked for this run.
    execution = os.environ.get(PIPELINE_ID) or os.environ.get(EXECUTION) or uuid4().hex
    execution = execution if execution.startswith(ID_PREFIX) else f"{ID_PREFIX}{execution}"
    context = replace(context, id=execution, start=options.start)
    context.start.enter(context.code)
    source_utils.set_custom_source_root(str(context.code))
    be_patient()
    snapshot = Client().zen_store.get_snapshot(options.snapshot_id)
    stack = Stack.from_model(snapshot.stack)
    settings = stack.orchestrator.get_settings(snapshot)
    if options.after_crash:
        return _settle(settings, context)
    if _is_first(snapshot, settings, context.id, stack.orchestrator.id):
        logger.info("The schedule is made; this first job has nothing to do.")
        return 0
    return _run(snapshot, stack, settings, context)


def _run(
    snapshot: PipelineSnapshotResponse, stack: Stack, settings: LightningOrchestratorSettings, context: LaunchContext
) -> int:
    run = create_placeholder_run(snapshot)
    try:
        # The first thing that it gets: without its id, it could neither be refreshed nor stopped.
        run_id = orchestrator_run_id(context.id, run.id)
        Client().zen_store.update_run(run.id, PipelineRunUpdate(orchestrator_run_id=run_id))
        metadata = run_metadata(run_id, context.studio_url)
        publish_pipeline_run_metadata(run.id, {stack.orchestrator.id: metadata})
        control(snapshot, run, stack, settings, context)
    except (PipelineFailedError, PipelineStoppedError) as error:
        logger.error("%s", error)
        return 1
    except Exception as error:
        fail(run, f"Its controller failed: {type(error).__name__}: {error}")
        raise
    finally:
        if context.has_jobs:
            _end_jobs(settings, context.id)
    return 0


def _settle(settings: LightningOrchestratorSettings, context: LaunchContext) -> int:
    """Ends what a killed program has left behind; in a job no supervisor stands behind it that would."""
    try:
        for run_id in context.run_ids:
            reason = "Its controller on Lightning AI was killed; its memory may have been too small."
            fail(Client().get_pipeline_run(run_id), reason)
    finally:
        if context.has_jobs:
            _end_jobs(settings, context.id)
    return 1


def _end_jobs(settings: LightningOrchestratorSettings, execution_id: str) -> None:
    """Ends what Lightning refused to end before; no supervisor stands behind this program that would.

    Raises:
        LaunchError: if it still refuses after half an hour.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LaunchError),
        stop=tenacity.stop_after_delay(_REFUSAL_PATIENCE),
        wait=tenacity.wait_exponential(multiplier=2, max=60),
        reraise=True,
    )
    retrying(lambda: Job.end_all(connect(settings), execution_id))


def _is_first(
    snapshot: PipelineSnapshotResponse, settings: LightningOrchestratorSettings, execution_id: str, orchestrator: UUID
) -> bool:
    """Whether this job came with the making of the pipeline, rather than with a schedule.

    Lightning tells; should it not, the first job of a schedule is taken for that one.
    """
    execution = None
    with suppress(LaunchError):
        lightning = connect(settings)
        execution = found(lambda: Execution.find(lightning, execution_id))
    if execution is not None and execution.scheduled:
        return False
    if FIRST_EXECUTION in Client().zen_store.get_schedule(snapshot.schedule.id).run_metadata:
        return False
    publish_schedule_metadata(snapshot.schedule.id, {orchestrator: {FIRST_EXECUTION: execution_id}})
    return True


if __name__ == "__main__":
    sys.exit(main())
