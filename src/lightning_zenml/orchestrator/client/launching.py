"""What is launched for a run: its controller, on a studio that has what the steps need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.variables import GITHUB
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.orchestrator import docker_settings
from lightning_zenml.orchestrator.checks import settings_to_pass_on, studio_names
from lightning_zenml.orchestrator.controller.command_line import PROGRAM, Options
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.orchestrator.steps.placement import Placement, resources_of
from lightning_zenml.orchestrator.steps.starter import modules_of_steps
from lightning_zenml.package.archive import Archive

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse
    from zenml.stack import Stack

_RESTARTS = 2
"""How often a controller that was killed is started again; it goes on where the one before was."""


def launch_spec(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    run: PipelineRunResponse,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
    archive: Archive,
    root: Path,
    machines: tuple[str, ...],
    start: Start,
) -> LaunchSpec:
    """Describes the launch of a run's controller.

    Args:
        snapshot: compiled pipeline.
        stack: ZenML stack that the pipeline runs on.
        run: the pipeline's run in ZenML.
        settings: settings of the pipeline.
        environment: variables that connect the controller to the ZenML server.
        archive: what is packed.
        root: root of what is packed, the source root or a folder around it.
        machines: names of kinds of machine for the studio, in order of preference.
        start: where the pipeline was started.

    Returns:
        The description.

    Raises:
        LaunchError: if requirements can't be found out, or lie outside of the source root.
    """
    # Dynamic pipelines run most steps in the controller itself.
    forks = settings.fork_steps and not snapshot.is_dynamic
    options = Options(
        snapshot_id=snapshot.id,
        run_id=run.id,
        start=start,
        fork_steps=modules_of_steps(stack, settings) if forks else None,
    )
    spec = base_spec(
        snapshot,
        stack,
        settings,
        environment,
        archive,
        root,
        machines,
        owner=f"ZenML run {run.name}",
        command=shlex.join(["python", "-m", PROGRAM, *options.arguments()]),
    )
    end, watch = (("-m", f"lightning_zenml.zenml_api.{name}", str(run.id)) for name in ("run_end", "run_watch"))
    return replace(spec, on_failure=end, watch=watch, restarts=_RESTARTS)


def base_spec(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
    archive: Archive,
    root: Path,
    machines: tuple[str, ...],
    *,
    owner: str,
    command: str,
) -> LaunchSpec:
    """Describes a launch that has what the steps of a pipeline need.

    Args:
        snapshot: compiled pipeline.
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
        environment: variables that connect to the ZenML server.
        archive: what is packed.
        root: root of what is packed, the source root or a folder around it.
        machines: names of kinds of machine for the studio, in order of preference.
        owner: who launches, in a few words.
        command: bash that is run in the end.

    Returns:
        The description.

    Raises:
        LaunchError: if requirements can't be found out, or lie outside of the source root.
    """
    asked = docker_settings.collect(snapshot)
    github = {GITHUB: os.environ[GITHUB]} if GITHUB in os.environ else {}
    variables = {**environment, **settings.environment, **settings_to_pass_on(), **github}
    return LaunchSpec(
        name=snapshot.pipeline_configuration.name,
        owner=owner,
        archive=archive,
        command=command,
        studio_name=settings.main_studio_name,
        studio_pool=settings.studio_pool,
        machines=machines,
        commands=tuple(settings.custom_commands or ()),
        packages=tuple(docker_settings.packages(stack, asked)),
        requirements=tuple(docker_settings.requirements(stack, asked, root)),
        installer=docker_settings.preferred_installer(asked),
        environment=variables,
        timeout=settings.timeout,
        max_cost=settings.max_cost,
        keep_studio=settings.keep_studio,
        keep_warm=60 * (settings.keep_warm or 0),
        stop_idle_gpu=60 * (settings.stop_idle_gpu or 0),
        interruptible=settings.interruptible,
        cloud=settings.cloud,
    )


def studio_machines(
    snapshot: PipelineSnapshotResponse, stack: Stack, settings: LightningOrchestratorSettings, lightning: Lightning
) -> tuple[str, ...]:
    """Finds the studio's machine, as far as the pipeline says; checks every step's with it.

    Args:
        snapshot: compiled pipeline.
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
        lightning: teamspace that the pipeline is to run in.

    Returns:
        Names of kinds of machine in order of preference; none: what the studio has, else a CPU.

    Raises:
        MachineError: if the studio's machine is unknown or can't be had.
        SettingsResolvingError: if a step's machine is unknown or can't be had, or there can be no such pool.
    """
    names = studio_names(settings)
    studio = Studio.find(lightning, names[0]) if names else None
    catalog = Catalog(lightning, studio.cluster if studio else settings.cloud)
    machines, resources = settings.machines, snapshot.pipeline_configuration.resource_settings
    placement = Placement(settings, catalog.choose(machines).name if machines else "", lambda: catalog)
    if not machines and resources is not None and not resources.empty:
        own = placement.place(settings, resources)
        machines = tuple(machine.name for machine in own.kinds) if own else ()
    orchestrator = stack.orchestrator
    placement.check(
        {
            name: (orchestrator.get_settings(step), resources_of(step))
            for name, step in snapshot.step_configurations.items()
        }
    )
    return machines
