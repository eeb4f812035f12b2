"""A pipeline that is called in a studio which a launch has prepared: the controller runs in that very process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, chdir
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zenml.utils import source_utils

from lightning_zenml.orchestrator import docker_settings
from lightning_zenml.orchestrator.checks import settings_from_environment, warn_of_the_ineffective
from lightning_zenml.orchestrator.controller import commands
from lightning_zenml.orchestrator.controller.controller import control
from lightning_zenml.orchestrator.run_id import submitted
from lightning_zenml.orchestrator.start import Start

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse
    from zenml.orchestrators import SubmissionResult
    from zenml.stack import Stack

    from lightning_zenml.orchestrator.context import LaunchContext
    from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings


def submit_in_place(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    context: LaunchContext,
) -> SubmissionResult:
    """Prepares a run, and tells how to wait, even when asynchronous: the studio is released with the command around us.

    Args:
        snapshot: compiled pipeline.
        run: its run in ZenML.
        stack: ZenML stack that the pipeline runs on; its orchestrator is ours.
        settings: settings of the pipeline.
        context: the launch that this process is part of.

    Returns:
        How to wait, and the run's metadata.

    Raises:
        CommandsFailedError: if one of the pipeline's `custom_commands` fails.
        LaunchError: if the pipeline's requirements can't be installed.
    """
    start = Start.of(snapshot, run, Path(source_utils.get_source_root()), context.code)
    wait = _prepare(snapshot, run, stack, settings, replace(context, start=start))
    return submitted(run, stack.orchestrator.id, context, start=start, wait=wait)


def _prepare(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    context: LaunchContext,
) -> Callable[[], None]:
    """Does what is left to do of a launch that was made before anybody knew of the pipeline.

    Returns:
        A function that runs the pipeline to its end.
    """
    warn_of_the_ineffective(settings)
    with ExitStack() as ending:
        # The next pipeline of this program has an environment of its own.
        ending.callback(_restore, {name: os.environ.get(name) for name in settings.environment})
        os.environ.update(settings.environment)
        # Somebody else may have started it, whose run is resumed.
        ending.enter_context(chdir(context.start.directory(Path(source_utils.get_source_root()))))
        docker_settings.install(stack, docker_settings.collect(snapshot), context.code)
        if settings.custom_commands:
            commands.run(settings.custom_commands, context.code)
        later = ending.pop_all()
    # The studio is there already, on another machine perhaps than the pipeline's: its steps get that as jobs.
    on_studio = settings.model_copy(update={"machine_type": settings_from_environment().get("machine_type")})

    def run_to_its_end() -> None:
        with later:
            control(snapshot, run, stack, on_studio, context)

    return run_to_its_end


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        os.environ.update({name: value} if value is not None else {})
