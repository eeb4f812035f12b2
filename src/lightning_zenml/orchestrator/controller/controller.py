"""Runs a pipeline in the studio: a static one (`static`) or a dynamic one (`dynamic`).

`python -m lightning_zenml.orchestrator.controller --snapshot-id ID --run-id ID` where a client has launched it,
or `control` in the process that compiled the pipeline, when that stands in the studio itself.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zenml.client import Client
from zenml.exceptions import IllegalOperationError
from zenml.logger import get_logger
from zenml.models import PipelineRunUpdate
from zenml.stack import Stack
from zenml.utils import source_utils
from zenml.utils.logging_utils import is_pipeline_logging_enabled, setup_logging_context

from lightning_zenml.orchestrator import provenance
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.controller.command_line import Options
from lightning_zenml.orchestrator.controller.pipeline_errors import (
    STOPPED_EXIT_CODE,
    PipelineFailedError,
    PipelineStoppedError,
)
from lightning_zenml.orchestrator.controller.static import StaticController
from lightning_zenml.orchestrator.run_id import orchestrator_run_id, record
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.starter import StepStarter
from lightning_zenml.orchestrator.zenml_client.patience import be_patient

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse

logger = get_logger(__name__)


def control(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    context: LaunchContext,
    forks: ForkServer | None = None,
) -> None:
    """Runs a pipeline to its end.

    Args:
        snapshot: compiled pipeline.
        run: the pipeline's run in ZenML.
        stack: ZenML stack that the pipeline runs on; its orchestrator is ours.
        settings: settings of the pipeline.
        context: the launch that this process is part of.
        forks: makes the processes of steps, if it was started already.

    Raises:
        PipelineFailedError: if steps failed, or the run had ended before.
        PipelineStoppedError: if the run was stopped through ZenML.
        SystemExit: after SIGTERM, once the steps are stopped.
    """
    if not context.restarted:
        record(snapshot, run, context)
        provenance.record(run, stack.orchestrator.id)
    elif not run.in_progress:
        # `failed` it may be, and yet go on: under CONTINUE_ON_FAILURE, until nothing is left to do.
        raise PipelineFailedError(f"The run is {run.status.value} already.")
    with contextlib.suppress(IllegalOperationError):
        update = PipelineRunUpdate(orchestrator_run_id=orchestrator_run_id(context.id, run.id))
        Client().zen_store.update_run(run.id, update)
    if snapshot.is_dynamic:
        _control_dynamic(snapshot, run, stack, settings, context, forks)
    else:
        # ZenML itself does so for dynamic pipelines.
        with _log_kept(snapshot, run):
            StaticController(snapshot, run, stack, settings, context, forks).run()


def _log_kept(snapshot: PipelineSnapshotResponse, run: PipelineRunResponse) -> AbstractContextManager[Any]:
    """A context whose output ZenML keeps as the run's log, which outlives the studio; no run fails for want of it."""
    if not is_pipeline_logging_enabled(snapshot.pipeline_configuration):
        return nullcontext()
    try:
        kept: AbstractContextManager[Any] = setup_logging_context(source="orchestrator", pipeline_run=run)
    except Exception as error:
        logger.warning("The controller's log isn't kept in ZenML: %s", error)
        return nullcontext()
    return kept


def _control_dynamic(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    context: LaunchContext,
    forks: ForkServer | None,
) -> None:
    from lightning_zenml.orchestrator.controller.dynamic import run_dynamic

    starter = StepStarter(snapshot, run, stack, settings, context, forks=forks)
    try:
        now = Client().get_pipeline_run(run.id)
        if not now.steps:
            starter.look_ahead()
        run_dynamic(snapshot, now, stack.orchestrator, starter, settings.max_parallel_steps)
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code == STOPPED_EXIT_CODE:
            raise
        # Code that ends the process, as any click command does, has failed the run, be it with exit code 0.
        raise PipelineFailedError(f"The pipeline failed: {type(error).__name__}: {error}") from error


def main(options: Options, forks: ForkServer | None) -> int:
    """Runs the controller that a client has launched.

    Args:
        options: command line of this process.
        forks: makes the processes of steps, if it was started already.

    Returns:
        The exit code: 0 only if the whole pipeline completed.
    """
    context = LaunchContext.find()
    if context is None:
        logger.error("This program runs in a studio that a launch has prepared.")
        return 2
    context = replace(context, start=options.start)
    context.start.enter(context.code)
    source_utils.set_custom_source_root(str(context.code))
    be_patient()
    snapshot = Client().zen_store.get_snapshot(options.snapshot_id)
    stack = Stack.from_model(snapshot.stack)
    run = Client().get_pipeline_run(options.run_id)
    try:
        control(snapshot, run, stack, stack.orchestrator.get_settings(snapshot), context, forks)
    except (PipelineFailedError, PipelineStoppedError) as error:
        logger.error("%s", error)
        return 1
    return 0
