"""From a client to a studio: packs the source root, launches the controller on Lightning and follows it."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zenml.enums import ExecutionStatus
from zenml.logger import get_logger
from zenml.utils import source_utils

from lightning_zenml.launch.caller import Caller
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.variables import GITHUB
from lightning_zenml.launch.spec import LaunchSpec, Phase, Status
from lightning_zenml.orchestrator import docker_settings
from lightning_zenml.orchestrator.checks import settings_to_pass_on, studio_names
from lightning_zenml.orchestrator.client import watchdog
from lightning_zenml.orchestrator.client.packing import pack_code
from lightning_zenml.orchestrator.client.run_end import fail, how_it_ended, raise_unless_succeeded
from lightning_zenml.orchestrator.connect import connect
from lightning_zenml.orchestrator.controller.command_line import PROGRAM, Options
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.orchestrator.steps.placement import Placement, resources_of
from lightning_zenml.orchestrator.steps.starter import modules_of_steps
from lightning_zenml.package.archive import Archive

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse
    from zenml.stack import Stack

logger = get_logger(__name__)

_RESTARTS = 2
"""How often a controller that was killed is started again; it goes on where the one before was."""


class Submission:
    """A run whose controller has been launched.

    Args:
        launch: the controller's launch.
        run: the ZenML run.
        caller: whoever started this client.
        start: where the pipeline was started.
    """

    def __init__(
        self, launch: Launch, run: PipelineRunResponse, caller: Caller | None = None, start: Start | None = None
    ) -> None:
        self.launch = launch
        self.run = run
        self.start = start or Start()
        self._caller = caller or Caller()

    def follow(self) -> None:
        """Prints the log until the launch has ended, then releases the studio.

        Interrupted, it leaves the run to itself.

        Raises:
            LaunchError: if the run failed, was stopped, or the studio was lost before it had ended.
            UnfollowableError: if it can't be looked at any more; it goes on.
        """
        with Interruption.by_ctrl_c():
            self._follow()

    def _follow(self) -> None:
        status = None
        try:
            for update in self.launch.follow():
                print(update.log, end="", flush=True)
                self._caller.update(self.launch, update)
                status = update.status
        except StudioLostError as error:
            self._conclude_without_studio(error)
            return
        except BaseException:
            self._let_go()
            raise
        self._release()
        raise_unless_succeeded(status)

    def leave(self) -> None:
        """Waits until the controller runs, then leaves the run to itself.

        Raises:
            LaunchError: if the launch ended before that.
        """
        with Interruption.by_ctrl_c():
            self._leave()

    def _leave(self) -> None:
        status = None
        try:
            for update in self.launch.follow():
                self._caller.update(self.launch, update)
                status = update.status
                if update.runs or status.phase is Phase.FINISHED:
                    break
        except StudioLostError as error:
            self._conclude_without_studio(error)
            return
        except BaseException:
            self._let_go()
            raise
        self._let_go()
        if status is not None and status.phase is Phase.FINISHED:
            raise_unless_succeeded(status)
        logger.info("The run goes on in the studio %s: %s", self.launch.studio_name, self.launch.studio_url)

    def _let_go(self) -> None:
        # Unheard, the payload finds out by itself that nobody follows.
        with contextlib.suppress(LaunchError):
            self.launch.leave()
        self._caller.left(self.launch)

    def _release(self) -> None:
        self.launch.release()
        self._caller.released(self.launch)

    def _conclude_without_studio(self, error: StudioLostError) -> None:
        """Tells how the run ended as ZenML has it: its payload may have come to its end while we could not look.

        Has it not, nobody else is left who could tell ZenML and release what there is.
        """
        ended = how_it_ended(self.run.id)
        try:
            if ended is None:
                fail(self.run, str(error))
        finally:
            self._release()
        if ended is None:
            raise error
        if ended is ExecutionStatus.PAUSED:
            logger.info(
                "The run is paused: it waits for something outside. The studio is gone with the end of its log."
            )
            return
        logger.info("The end of the log is gone with the studio. ZenML has the run as %s.", ended.value)
        stopped = ended in (ExecutionStatus.STOPPED, ExecutionStatus.CANCELLED)
        raise_unless_succeeded(Status(phase=Phase.FINISHED, exit_code=int(not ended.is_successful), stopped=stopped))


def submit(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    run: PipelineRunResponse,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
) -> Submission:
    """Launches the controller of a run.

    Args:
        snapshot: compiled pipeline.
        stack: ZenML stack that the pipeline runs on.
        run: the pipeline's run in ZenML.
        settings: settings of the pipeline.
        environment: variables that connect the controller to the ZenML server; holds the run's token.

    Returns:
        The submission.

    Raises:
        LaunchError: if it can't be launched; what was started is released again.
        PackageError: if the source root can't be packed.
    """
    with Interruption.by_ctrl_c():
        return _submit(snapshot, stack, run, settings, environment)


def _submit(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    run: PipelineRunResponse,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
) -> Submission:
    root, caller = Path(source_utils.get_source_root()), Caller.find()
    start = Start.of(snapshot, run, root, caller.root_to_pack(root))
    caller.submits(str(run.id))
    lightning = connect(settings)
    machines = studio_machines(snapshot, stack, settings, lightning)
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as folder:
        scratch, packed = Path(folder), caller.root_to_pack(root)
        archive = pack_code(packed)
        spec = launch_spec(snapshot, stack, run, settings, environment, archive, packed, machines, start)
        with watchdog.beside(lightning, caller, scratch, run.id) as beside:
            launcher = Launcher(lightning, notify=logger.info, on_hold=beside.hold, scratch=scratch)
            launch = launcher.launch(caller.adapt(spec, root))
    caller.launched(launch, archive.sha256)
    return Submission(launch, run, caller, start)


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
