"""The orchestrator: what ZenML calls to run a pipeline on Lightning AI.

Called on a laptop, a runner or a server, it launches a studio with the controller in it (`client.submission`); in a
studio that a launch prepared already, it runs the controller (`controller.in_place`), which runs the steps either way.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, cast

from zenml.config.step_configurations import Step
from zenml.enums import ExecutionMode, ExecutionStatus
from zenml.logger import get_logger
from zenml.metadata.metadata_types import MetadataType
from zenml.orchestrators import SubmissionResult
from zenml.stack import StackValidator

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.variables import ORCHESTRATOR_RUN_ID
from lightning_zenml.orchestrator.checks import check_stack, settings_from_environment
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.flavor import LightningOrchestratorConfig
from lightning_zenml.orchestrator.refusal import tell_plainly
from lightning_zenml.orchestrator.run_id import record, run_metadata, submitted
from lightning_zenml.orchestrator.settings import OWN_OF_STEPS, LightningOrchestratorSettings, asked_for, overlay
from lightning_zenml.orchestrator.training_logs.curves import of_logs
from lightning_zenml.orchestrator.usage import cost_of_step, of_step
from lightning_zenml.orchestrator.zenml_client.known import HooksOfKnownSnapshots
from lightning_zenml.orchestrator.zenml_client.patience import be_patient

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.config.step_run_info import StepRunInfo
    from zenml.models import (
        PipelineRunResponse,
        PipelineSnapshotResponse,
        ScheduleResponse,
        ScheduleUpdate,
        StepRunResponse,
    )
    from zenml.stack import Stack

    from lightning_zenml.launch.lightning.client import Lightning
    from lightning_zenml.orchestrator.controller.isolated_steps import IsolatedSteps

_ISOLATED_POLL = 0.3
"""Seconds between two looks at an isolated step that is waited for."""

logger = get_logger(__name__)


class LightningOrchestrator(HooksOfKnownSnapshots):
    """Runs ZenML pipelines on Lightning AI. Whoever has one is patient with the ZenML server from then on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        be_patient()

    @property
    def config(self) -> LightningOrchestratorConfig:
        """Attributes of the component."""
        return cast(LightningOrchestratorConfig, self._config)

    @property
    def settings_class(self) -> type[LightningOrchestratorSettings]:
        """Class of the settings."""
        return LightningOrchestratorSettings

    @property
    def requirements(self) -> set[str]:
        """What a step needs on account of this component; the launcher brings our own package itself."""
        return {"lightning-sdk>=2026.10"}

    @property
    def supported_execution_modes(self) -> list[ExecutionMode]:
        """All of them."""
        return list(ExecutionMode)

    @property
    def validator(self) -> StackValidator:
        """Checks that studios can reach every component of the stack, and what else is known by then."""
        return StackValidator(custom_validation_function=check_stack)

    def get_settings(self, container: Any) -> LightningOrchestratorSettings:
        """Gets the settings of a snapshot, a run or a step.

        They lie over the attributes of the component. The JSON in the variable `LIGHTNING_ZENML_SETTINGS` lies
        over both: it's how the Action's inputs win. Over that lies only what a step asks for itself, see
        `OWN_OF_STEPS`.

        Args:
            container: a snapshot, a run, a step or its run.

        Returns:
            The settings.

        Raises:
            SettingsResolvingError: if the variable holds anything but settings.
        """
        component = self.config.model_dump(exclude_unset=True)
        stored = asked_for(self, getattr(container, "pipeline_configuration", None) or container.config)
        settings = overlay(overlay(component, stored), settings_from_environment())
        if isinstance(container, Step):
            own = asked_for(self, container.step_config_overrides)
            settings = overlay(settings, {name: own[name] for name in OWN_OF_STEPS if own.get(name)})
        return LightningOrchestratorSettings.model_validate(settings)

    def get_orchestrator_run_id(self) -> str:
        """Gets the id of the run on Lightning, in the process of one of its steps: the same in every step.

        Raises:
            RuntimeError: if this isn't the process of a step.
        """
        try:
            return os.environ[ORCHESTRATOR_RUN_ID]
        except KeyError:
            raise RuntimeError(f"{ORCHESTRATOR_RUN_ID} isn't set: this process isn't one of our steps.") from None

    def get_pipeline_run_metadata(self, run_id: UUID) -> dict[str, MetadataType]:
        """Gets what a step that has created the run publishes of it.

        Args:
            run_id: id of the run in ZenML.

        Returns:
            The metadata.
        """
        context = LaunchContext.find()
        return run_metadata(self.get_orchestrator_run_id(), context.studio_url if context else None)

    def prepare_step_run(self, info: StepRunInfo) -> None:
        """Lets the controller know that a step in the studio is through with what comes before its own code.

        Args:
            info: what ZenML tells of the step.
        """
        if context := LaunchContext.find():
            context.tell_begun()

    def get_step_run_metadata(self, info: StepRunInfo) -> dict[str, MetadataType]:
        """Gets what is published of a step at its end, in its process: its logs' curves, use and cost of its machine.

        Args:
            info: what ZenML tells of the step.

        Returns:
            The metadata; no cost for a step in the studio, as that is the run's.
        """
        return of_logs(info.step_run.start_time) | of_step(info.step_run.start_time) | cost_of_step()

    def fetch_status(
        self, run: PipelineRunResponse, include_steps: bool = False
    ) -> tuple[ExecutionStatus | None, dict[str, ExecutionStatus] | None]:
        """Asks Lightning what became of a run, see `lightning_zenml.orchestrator.client.following`.

        Args:
            run: the pipeline's run in ZenML.
            include_steps: whether to find out about its steps, too.

        Returns:
            Status of the run and of its steps; None where what ZenML has is right.
        """
        from lightning_zenml.orchestrator.client.following import fetch_status

        return fetch_status(run, self._connect(run), include_steps=include_steps)

    def _stop_run_gracefully(self, pipeline_run: PipelineRunResponse) -> None:
        """Leaves it to the controller, which looks every few seconds whether the run is to be stopped.

        Args:
            pipeline_run: the run in ZenML, `stopping` by now.
        """

    def _stop_run_forcefully(self, pipeline_run: PipelineRunResponse) -> None:
        """Ends the launch and releases the studio, see `lightning_zenml.orchestrator.client.following`.

        Args:
            pipeline_run: the pipeline's run in ZenML.
        """
        from lightning_zenml.orchestrator.client.following import stop_forcefully

        stop_forcefully(pipeline_run, self._connect(pipeline_run))

    def run(
        self, snapshot: PipelineSnapshotResponse, stack: Stack, placeholder_run: PipelineRunResponse | None = None
    ) -> None:
        """Runs a pipeline; its launch knows of the run before anything is installed for it that may end this process.

        Args:
            snapshot: compiled pipeline.
            stack: ZenML stack that the pipeline runs on.
            placeholder_run: the pipeline's run in ZenML; None: the snapshot has a schedule.
        """
        if placeholder_run is not None and (context := LaunchContext.find()):
            record(snapshot, placeholder_run, context)
        super().run(snapshot, stack, placeholder_run)

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult:
        """Starts a run; what is returned waits for its end.

        Args:
            snapshot: compiled pipeline.
            stack: ZenML stack that the pipeline runs on.
            base_environment: variables that every process of the run needs; holds the run's own token.
            step_environments: unused, the controller builds them anew.
            placeholder_run: the pipeline's run in ZenML; None: the snapshot has a schedule, which is made instead.

        Returns:
            How to wait, and the run's metadata; the schedule's metadata alone where there is one.

        Raises:
            PipelineSubmissionError: if a schedule can't be made.
            LaunchError: if nothing could be started; nothing is left running.
        """
        tell_plainly()
        settings = self.get_settings(snapshot)
        if placeholder_run is None:
            from lightning_zenml.orchestrator.schedule.creation import create

            return SubmissionResult(metadata=create(snapshot, stack, settings, base_environment))
        if context := LaunchContext.find():
            from lightning_zenml.orchestrator.controller.in_place import submit_in_place

            return submit_in_place(snapshot, placeholder_run, stack, settings, context)

        from lightning_zenml.orchestrator.client.submission import submit

        submission = submit(snapshot, stack, placeholder_run, settings, base_environment)
        wait = submission.follow if settings.synchronous else submission.leave
        return submitted(placeholder_run, self.id, submission.launch, start=submission.start, wait=wait)

    def submit_dynamic_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        environment: dict[str, str],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult:
        """Starts a run of a dynamic pipeline, or goes on with a paused one; see `submit_pipeline`.

        Args:
            snapshot: compiled pipeline.
            stack: ZenML stack that the pipeline runs on.
            environment: variables that every process of the run needs; holds the run's own token.
            placeholder_run: the pipeline's run in ZenML.

        Returns:
            How to wait, and the run's metadata.
        """
        return self.submit_pipeline(snapshot, stack, environment, {}, placeholder_run)

    def submit_isolated_step(self, step_run_info: StepRunInfo, environment: dict[str, str]) -> None:
        """Starts a step of a dynamic pipeline in a process, or on machines, of its own.

        Args:
            step_run_info: what ZenML tells of the step and its record.
            environment: unused, the controller builds it anew.
        """
        self._isolated_steps.submit(step_run_info)

    def get_isolated_step_status(self, step_run: StepRunResponse) -> ExecutionStatus:
        """Tells how an isolated step goes.

        Args:
            step_run: the step's record in ZenML.

        Returns:
            What its process or job says.
        """
        return self._isolated_steps.status(step_run)

    def wait_for_isolated_step(self, step_run: StepRunResponse) -> ExecutionStatus:
        """Waits for the end of an isolated step; a step's process costs nothing to ask.

        Args:
            step_run: the step's record in ZenML.

        Returns:
            How it ended.
        """
        while not (status := self.get_isolated_step_status(step_run)).is_finished:
            time.sleep(_ISOLATED_POLL)
        return status

    def stop_isolated_step(self, step_run: StepRunResponse) -> None:
        """Asks an isolated step, by its record in ZenML, to end."""
        self._isolated_steps.stop(step_run)

    def cleanup_isolated_step(self, step_run: StepRunResponse) -> None:
        """Makes sure that no process or machine of a finished isolated step is left.

        Args:
            step_run: the step's record in ZenML.
        """
        self._isolated_steps.clean_up(step_run)

    @property
    def _isolated_steps(self) -> IsolatedSteps:
        from lightning_zenml.orchestrator.controller.isolated_steps import IsolatedSteps

        return IsolatedSteps.current()

    def update_schedule(self, schedule: ScheduleResponse, update: ScheduleUpdate) -> None:
        """Gives a schedule another cron expression, pauses it or lets it go on.

        Args:
            schedule: the schedule in ZenML.
            update: changes to the schedule.

        Raises:
            LaunchError: if the schedule can't be changed; nothing is.
        """
        from lightning_zenml.orchestrator.schedule import lifecycle

        snapshot = lifecycle.snapshot_of(schedule)
        lifecycle.update(schedule, update, snapshot, self.get_settings(snapshot), self._connect(snapshot))

    def delete_schedule(self, schedule: ScheduleResponse) -> None:
        """Deletes what a schedule has on Lightning, and stops its run.

        Args:
            schedule: the schedule in ZenML.

        Raises:
            LaunchError: if Lightning refuses, or the run is in another teamspace.
        """
        from lightning_zenml.orchestrator.schedule import lifecycle

        try:
            snapshot = lifecycle.snapshot_of(schedule)
        except LaunchError as error:
            logger.warning("%s", error)
            return
        lifecycle.delete(schedule, snapshot, self._connect(snapshot))

    def _connect(self, container: PipelineRunResponse | PipelineSnapshotResponse) -> Lightning:
        from lightning_zenml.orchestrator.connect import connect

        return connect(self.get_settings(container))
