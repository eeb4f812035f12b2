"""Starts the steps of a run, each where it belongs, with the environment that it needs."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.exceptions import SettingsResolvingError
from zenml.logger import get_logger
from zenml.orchestrators.utils import get_config_environment_vars
from zenml.utils import source_utils
from zenml.utils.env_utils import get_runtime_environment

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.variables import ORCHESTRATOR_RUN_ID
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.run_id import orchestrator_run_id
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps import variables
from lightning_zenml.orchestrator.steps.entrypoint import ResumedStepEntrypoint, StepEntrypoint, arguments_of
from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.placement import OwnMachines, Placement, resources_of
from lightning_zenml.orchestrator.steps.process import StepProcess, StepProcesses
from lightning_zenml.orchestrator.steps.running import Beginnings, RunningStep

if TYPE_CHECKING:
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse
    from zenml.stack import Stack

    from lightning_zenml.launch.lightning.client import Lightning
    from lightning_zenml.launch.lightning.machines import Catalog
    from lightning_zenml.launch.lightning.studio import Studio
    from lightning_zenml.orchestrator.steps.job import StepJob
    from lightning_zenml.orchestrator.steps.job_starter import StepJobs

logger = get_logger(__name__)

_SNAPSHOT_PATIENCE = 10.0
"""Seconds that a request for the snapshot may still take; whoever ends the launch looks for its job, too."""


class StepStarter:
    """Starts the steps of one run. Its methods may be called from several threads.

    Args:
        snapshot: compiled pipeline.
        run: the pipeline's run in ZenML.
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
        context: the launch that this process is part of.
        root: the run that this one is a child of, if it is one: ZenML knows both by the same orchestrator run id.
        forks: makes the processes of steps in the studio, if it was started already.
    """

    def __init__(
        self,
        snapshot: PipelineSnapshotResponse,
        run: PipelineRunResponse,
        stack: Stack,
        settings: LightningOrchestratorSettings,
        context: LaunchContext,
        *,
        root: PipelineRunResponse | None = None,
        forks: ForkServer | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._run = run
        self._stack = stack
        self._pipeline = settings
        self._context = context
        self._root = root or run
        self._orchestrator_run_id = orchestrator_run_id(context.id, self._root.id)
        self._source_root = Path(source_utils.get_source_root()).absolute()
        self._environment = self._make_environment()
        self._placement = Placement(settings, context.machine, self._catalog)
        directory, common = context.start.directory(self._source_root), variables.of_the_studio() | self._environment
        if forks is None and settings.fork_steps:
            forks = ForkServer(common, directory, modules_of_steps(stack, settings), sys.stdout)
        self._forks = forks
        self._processes = StepProcesses(common, directory, sys.stdout, context.code, forks)
        # Reentrant: a signal's handler may close while its own thread starts a step.
        self._starting = threading.RLock()
        self._beginnings = Beginnings()
        self._closed = False
        self._snapshot_taker: threading.Thread | None = None
        self._snapshot_job: StepJob | None = None

    def of_child(self, snapshot: PipelineSnapshotResponse, run: PipelineRunResponse) -> StepStarter:
        """Makes one for the steps of a child pipeline, which belong to a run and a snapshot of their own.

        Args:
            snapshot: compiled child pipeline.
            run: the child pipeline's run in ZenML.
        """
        return StepStarter(
            snapshot, run, self._stack, self._pipeline, self._context, root=self._root, forks=self._forks
        )

    def check(self, names: Collection[str]) -> None:
        """Checks that steps can have the machines that they ask for.

        Args:
            names: invocation names of the steps that are still to run.

        Raises:
            SettingsResolvingError: if a step can't have its machines.
            LaunchError: if Lightning can't be asked.
        """
        steps = {name: step for name, step in self._snapshot.step_configurations.items() if name in names}
        own = self._own(steps)
        # The first steps of a run would wait for it all the same.
        self._take_ahead(step for name, step in steps.items() if name in own and step.spec.upstream_steps)

    def look_ahead(self) -> None:
        """Does for the steps that a dynamic pipeline names in `depends_on` what can be done before they are called.

        They may never be: what is wrong with them is told when they are.
        """
        steps = self._snapshot.step_configurations
        with contextlib.suppress(SettingsResolvingError, LaunchError):
            self._take_ahead(steps[name] for name in self._own(steps))

    def _own(self, steps: Mapping[str, Step]) -> list[str]:
        """Names of the steps that have machines of their own; see `Placement.check`."""
        return self._placement.check({name: (self._settings(step), resources_of(step)) for name, step in steps.items()})

    def _take_ahead(self, steps: Iterable[Step]) -> None:
        """Takes the snapshot that the jobs of these steps share, if any do."""
        if any(self._settings(step).reuse_snapshot for step in steps):
            self._snapshot_taker = threading.Thread(target=self._take_snapshot, name="snapshot", daemon=True)
            self._snapshot_taker.start()

    def prepare(self) -> None:
        """Starts the process of a step to come ahead of its time, unless one waits already."""
        with self._starting:
            if not self._closed:
                self._processes.prepare()

    def start(self, name: str, step: Step, *, attempt: int = 1, step_run_id: UUID | None = None) -> RunningStep | None:
        """Starts a step.

        Args:
            name: name of the step's invocation.
            step: configuration of the step.
            attempt: counts the times that the step was started here, from 1.
            step_run_id: id of the step's record in ZenML; None: it has none yet.

        Returns:
            The step under way; None after `close`.

        Raises:
            LaunchError: if the step's machine can't be had.
        """
        settings = self._settings(step)
        own = self._placement.place(settings, resources_of(step))
        environment = settings.environment | get_runtime_environment(config=step.config, stack=self._stack)
        commands = self._commands(settings)
        if own is None:
            # Whoever tries again watches the other steps, too, and is not to wait.
            with self._beginnings.turn() if attempt == 1 else contextlib.nullcontext(), self._starting:
                return None if self._closed else self._start_in_studio(name, step, environment, commands, step_run_id)
        if self._closed:
            return None
        job = self._jobs.begin(
            name,
            step.config.command or self._job_program(name, own, step_run_id),
            own=own,
            settings=settings,
            environment=self._environment | environment,
            commands=commands,
            attempt=attempt,
        )
        if self._closed:
            # The run was stopped while the platform made the job.
            job.kill()
            return None
        return job

    def _start_in_studio(
        self,
        name: str,
        step: Step,
        environment: Mapping[str, str],
        commands: tuple[str, ...],
        step_run_id: UUID | None,
    ) -> StepProcess | None:
        if step.config.command is not None:
            return self._processes.begin_command(name, step.config.command, environment, commands)
        kind = ResumedStepEntrypoint if step_run_id else StepEntrypoint
        arguments = arguments_of(kind, name, self._snapshot.id, step_run_id)
        forked = self._settings(step).fork_steps
        process = self._processes.begin(name, arguments, environment, commands, forked=forked)
        if self._closed:
            # The run was stopped while the step waited for the imports of the fork server.
            process.kill()
            return None
        if not commands:
            self._beginnings.add(process, lambda: self._context.has_begun(process.pid))
        return process

    def belongs_apart(self, step: Step) -> bool:
        """Whether a step is a command, or needs machines, variables or commands that the run as a whole doesn't have.

        Args:
            step: configuration of the step.

        Raises:
            LaunchError: if the step's machine can't be had.
        """
        settings = self._settings(step)
        return (
            step.config.command is not None
            or settings.environment != self._pipeline.environment
            or bool(self._commands(settings))
            or self._placement.place(settings, resources_of(step)) is not None
        )

    def close(self) -> None:
        """Nothing is started any more; ends the process that waits."""
        self._closed = True
        self._beginnings.close()
        if self._forks is not None:
            # Who waits for it has the lock.
            self._forks.close()
        with self._starting:
            self._processes.close()

    def clean_up(self) -> None:
        """Deletes the job that has taken the snapshot; last, for the steps must not wait for that to be ended."""
        if self._snapshot_taker is not None:
            self._snapshot_taker.join(_SNAPSHOT_PATIENCE)
        if self._snapshot_job is not None:
            self._snapshot_job.kill()

    def _take_snapshot(self) -> None:
        """While earlier steps run; a run doesn't fail for want of it."""
        try:
            self._snapshot_job = self._jobs.take_snapshot(self._catalog().cheapest(cpus=1))
        except Exception as error:
            logger.warning("The snapshot for the run's jobs isn't taken ahead of its time: %s", error)

    def _commands(self, settings: LightningOrchestratorSettings) -> tuple[str, ...]:
        """The commands of a step alone: the launch has run those of the pipeline."""
        commands = tuple(settings.custom_commands or ())
        return () if commands == tuple(self._pipeline.custom_commands or ()) else commands

    def _job_program(self, name: str, own: OwnMachines, step_run_id: UUID | None) -> list[str]:
        arguments = ["--step-name", name, "--snapshot-id", str(self._snapshot.id), "--run-id", str(self._run.id)]
        arguments += ["--num-machines", str(own.count)]
        arguments += ["--step-run-id", str(step_run_id)] if step_run_id else []
        return [sys.executable, "-P", "-m", "lightning_zenml.orchestrator.steps.job_program", *arguments]

    def _settings(self, step: Step) -> LightningOrchestratorSettings:
        settings: LightningOrchestratorSettings = self._stack.orchestrator.get_settings(step)
        return settings

    def _make_environment(self) -> dict[str, str]:
        """What every step needs, wherever it runs. A step gets the run's own token only, and settles nothing anew."""
        of_zenml, secrets = get_config_environment_vars(pipeline_run_id=self._run.id)
        own = self._context.own_variables()
        return {
            **{name: value for name, value in own.items() if name not in variables.WITHHELD},
            **of_zenml,
            **secrets,
            ORCHESTRATOR_RUN_ID: self._orchestrator_run_id,
            **variables.of_the_start(self._context.start, self._source_root),
        }

    # lightning-sdk takes two seconds to import, which a run that stays in the studio is spared.

    def _catalog(self) -> Catalog:
        from lightning_zenml.launch.lightning.machines import Catalog

        # The run has begun: a step whose machine is out of capacity at the moment waits for it.
        return Catalog(self._lightning, self._studio.cluster, queues=True)

    @cached_property
    def _lightning(self) -> Lightning:
        from lightning_zenml.launch.lightning.client import Credentials, Lightning

        return Lightning.connect(Credentials.resolve(os.environ, teamspace=self._context.teamspace or None))

    @cached_property
    def _studio(self) -> Studio:
        from lightning_zenml.launch.lightning.studio import Studio

        studio = Studio.find(self._lightning, self._context.studio_name)
        if studio is None:
            raise RuntimeError(f"The studio {self._context.studio_name}, which this process runs in, isn't found.")
        return studio

    @cached_property
    def _jobs(self) -> StepJobs:
        from lightning_zenml.orchestrator.steps.job_starter import StepJobs

        return StepJobs(
            self._lightning,
            self._studio,
            self._context,
            run_id=str(self._run.id),
            run_name=self._run.name,
            orchestrator_run_id=self._orchestrator_run_id,
            output=sys.stdout,
        )


def modules_of_steps(stack: Stack, settings: LightningOrchestratorSettings) -> tuple[str, ...]:
    """Finds what a fork server imports for the steps of a pipeline: their artifact store, and what the user asks for.

    Args:
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
    """
    artifact_store = type(stack.artifact_store).__module__
    return (*((artifact_store,) if artifact_store.startswith("zenml.") else ()), *settings.preload)
