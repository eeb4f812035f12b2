"""The isolated steps of a dynamic pipeline: started, asked for and ended as ZenML's runner wants it (`dynamic`)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from zenml.client import Client
from zenml.config.base_settings import BaseSettings
from zenml.config.step_configurations import Step
from zenml.enums import ExecutionStatus
from zenml.exceptions import AuthorizationException
from zenml.logger import get_logger
from zenml.orchestrators.publish_utils import (
    publish_step_run_metadata,
    publish_step_run_status_update,
    publish_stopped_step_run,
)
from zenml.utils.exception_utils import collect_exception_information

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.orchestrator.controller.records import death, misses_heartbeat
from lightning_zenml.orchestrator.controller.slots import NotStartedError, Slots
from lightning_zenml.orchestrator.controller.timing import HEARTBEAT_POLL, STOP_GRACE, Turns
from lightning_zenml.orchestrator.steps.running import RunningStep, UnstartedStep
from lightning_zenml.orchestrator.steps.starter import StepStarter

if TYPE_CHECKING:
    from zenml.config.pipeline_configurations import PipelineConfiguration
    from zenml.config.step_configurations import StepConfiguration, StepSpec
    from zenml.config.step_run_info import StepRunInfo
    from zenml.models import PipelineRunResponse, StepRunResponse
    from zenml.orchestrators import BaseOrchestrator

logger = get_logger(__name__)


class IsolatedSteps:
    """The isolated steps of the dynamic pipeline that this process runs.

    Args:
        orchestrator: our orchestrator, in whose name it is published where a step runs.
        starter: starts the steps.
        slots: places of the steps, shared with those that run in this process.
    """

    _current: IsolatedSteps | None = None

    def __init__(self, orchestrator: BaseOrchestrator, starter: StepStarter, slots: Slots) -> None:
        self.slots = slots
        self._orchestrator = orchestrator
        self._starter = starter
        self._children: dict[UUID, PipelineRunResponse] = {}
        self._of_children: dict[UUID, StepStarter] = {}
        self._own: dict[tuple[UUID, str], StepConfiguration] = {}
        self._running: dict[UUID, RunningStep] = {}
        self._cleaned_up: set[UUID] = set()
        self._heartbeats = Turns(HEARTBEAT_POLL)
        self._silent: set[UUID] = set()
        self._making = threading.Lock()
        self._taking_over = threading.Lock()

    @classmethod
    def current(cls) -> IsolatedSteps:
        """Gets those of the pipeline that runs in this process.

        Raises:
            RuntimeError: if no dynamic pipeline runs in this process.
        """
        if cls._current is None:
            raise RuntimeError("Isolated steps of the Lightning orchestrator belong to the controller of their run.")
        return cls._current

    @contextlib.contextmanager
    def in_charge(self) -> Iterator[None]:
        """Makes these the ones that ZenML's runner gets; leaves none of them running."""
        IsolatedSteps._current = self
        try:
            yield
        finally:
            IsolatedSteps._current = None
            self._close()
            self._kill_all()
            self._starter.clean_up()

    def add_child(self, run: PipelineRunResponse) -> None:
        """Makes ready for the steps of a child pipeline.

        Args:
            run: the child pipeline's run in ZenML.
        """
        self._children[run.id] = run

    def child_runs(self) -> list[UUID]:
        """Ids of the runs of child pipelines."""
        return list(self._children)

    def remember(self, run_id: UUID, name: str, own: StepConfiguration) -> None:
        """Keeps what a step has asked for itself: ZenML hands it over mixed with what the whole pipeline asks for.

        Args:
            run_id: id of the step's run in ZenML.
            name: name of the step's invocation.
            own: what the step has configured itself, without what it has from its pipeline.
        """
        self._own[run_id, name] = own

    def with_own(self, run_id: UUID, spec: StepSpec, config: StepConfiguration) -> Step:
        """Makes a step of its record, together with what it has asked for itself.

        Args:
            run_id: id of the step's run in ZenML.
            spec: ZenML's specification of the step.
            config: the step's configuration, mixed with the pipeline's.
        """
        own = self._own.get((run_id, spec.invocation_id), config)
        return Step(spec=spec, config=config, step_config_overrides=own)

    def submit(self, info: StepRunInfo) -> None:
        """Starts a step that ZenML has recorded already, once its turn comes.

        Args:
            info: what ZenML tells of the step and its record.

        Raises:
            NotStartedError: if the run fails or is stopped before.
        """
        step = self.with_own(info.run_id, info.spec, info.config)
        try:
            self.slots.take(info.run_id)
            self._begin(info.pipeline_step_name, step, info.step_run)
        except NotStartedError:
            # ZenML would record it as failed.
            publish_stopped_step_run(info.step_run_id)
            raise

    def status(self, step_run: StepRunResponse) -> ExecutionStatus:
        """Tells how a step goes, and goes on with one that a controller which was killed has left.

        Args:
            step_run: the step's record in ZenML.
        """
        if step_run.id in self._cleaned_up:
            # ZenML asks again where a request of its own has failed; how the step has ended is in its record.
            return ExecutionStatus.FAILED
        try:
            running = self._get(step_run)
        except Exception as error:
            # Without an answer ZenML would ask for ever, and the studio be paid for.
            logger.error("Step `%s` can't be gone on with: %s", step_run.name, error)
            return ExecutionStatus.FAILED
        if running is None:
            return ExecutionStatus.PROVISIONING
        exit_code = running.poll()
        if exit_code is None:
            self._watch_heartbeat(step_run, running)
            return ExecutionStatus.RUNNING
        return self._settle(step_run, running, exit_code) if exit_code else ExecutionStatus.COMPLETED

    def stop(self, step_run: StepRunResponse) -> None:
        """Asks a step to end; harmless when it has."""
        if step_run.id not in self._cleaned_up and (running := self._get(step_run)):
            running.terminate()

    def clean_up(self, step_run: StepRunResponse) -> None:
        """Makes sure that nothing of a finished step is left."""
        self._cleaned_up.add(step_run.id)
        if running := self._running.pop(step_run.id, None):
            if self.slots.closed:
                self._see_stopped(step_run, running)
            running.kill()
            self.slots.give_back()

    def stop_all(self) -> None:
        """Asks all steps to end, kills those that don't, and starts no more."""
        self.slots.close()
        self._close()
        for step in list(self._running.values()):
            step.terminate()
        killing = threading.Timer(STOP_GRACE, self._kill_all)
        killing.daemon = True
        killing.start()

    def belongs_apart(self, step: Step) -> bool:
        """Whether a step needs what this process doesn't have."""
        return self._starter.belongs_apart(step)

    def _kill_all(self) -> None:
        # ZenML's threads may clean up steps meanwhile.
        for step in list(self._running.values()):
            step.kill()

    def _close(self) -> None:
        for starter in (self._starter, *self._of_children.values()):
            starter.close()

    def _starter_of(self, run_id: UUID) -> StepStarter:
        """Made when it is needed: ZenML gives no token for a child that a controller before this one has finished."""
        if (child := self._children.get(run_id)) is None:
            return self._starter
        with self._making:
            if run_id not in self._of_children:
                self._of_children[run_id] = self._starter.of_child(child.snapshot, child)
            return self._of_children[run_id]

    def _begin(self, name: str, step: Step, step_run: StepRunResponse) -> RunningStep:
        """Starts a step that has a place; one whose machine can't be had has ended with that, and may be retried."""
        try:
            starter = self._starter_of(step_run.pipeline_run_id)
            running = starter.start(name, step, attempt=step_run.version, step_run_id=step_run.id)
            if running is None:
                raise NotStartedError("The run is being stopped.")
        except LaunchError as error:
            logger.error("Step `%s` can't be started: %s", name, error)
            running = UnstartedStep(error)
        except BaseException:
            self.slots.give_back()
            raise
        self._running[step_run.id] = running
        if running.url:
            self._publish_url(step_run, running.url)
        if self.slots.closed:
            running.terminate()
        return running

    def _publish_url(self, step_run: StepRunResponse, url: str) -> None:
        try:
            publish_step_run_metadata(step_run.id, {self._orchestrator.id: {"orchestrator_url": url}})
        except Exception as error:
            logger.warning("Can't tell the ZenML server the page of step `%s`, %s: %s", step_run.name, url, error)

    def _get(self, step_run: StepRunResponse) -> RunningStep | None:
        """Gets a step; None for one that died before its turn and has to wait for it again.

        Of a step that this process hasn't started, the job is found again; what died with its controller begins anew.

        ZenML goes on with isolated steps that it finds under way, and with their records.
        """
        with self._taking_over:
            if running := self._running.get(step_run.id):
                return running
            if step_run.status is not ExecutionStatus.PROVISIONING:
                self.slots.take_anyway()
            elif not self.slots.take_if_free():
                return None
            logger.info("Step `%s` was under way when its controller was killed.", step_run.name)
            step = self.with_own(step_run.pipeline_run_id, step_run.spec, step_run.config)
            return self._begin(step_run.name, step, step_run)

    def _settle(self, step_run: StepRunResponse, running: RunningStep, exit_code: int) -> ExecutionStatus:
        """Tells what became of a step whose process ended badly, which it may do with the step's work done.

        Records what nobody else can.
        """
        try:
            status = Client().get_run_step(step_run.id, hydrate=False).status
            if status.is_successful:
                return ExecutionStatus.COMPLETED
            if self.slots.closed and not status.is_finished:
                publish_stopped_step_run(step_run.id)
                return ExecutionStatus.STOPPED
            if not status.is_finished:
                error = running.error or death(exit_code, was_silent=step_run.id in self._silent)
                info = collect_exception_information(error)
                publish_step_run_status_update(step_run.id, ExecutionStatus.FAILED, exception_info=info)
        except AuthorizationException:
            logger.debug("The run is over, and its token with it.")
        except Exception as error:
            logger.warning("Can't ask how step `%s` has ended, and try again: %s", step_run.name, error)
            return ExecutionStatus.RUNNING
        return ExecutionStatus.FAILED

    def _see_stopped(self, step_run: StepRunResponse, running: RunningStep) -> None:
        """Sees a step that was asked to end to its end, which ZenML would record as a failure."""
        running.wait(STOP_GRACE)
        try:
            if not Client().get_run_step(step_run.id, hydrate=False).status.is_finished:
                publish_stopped_step_run(step_run.id)
        except Exception as error:
            logger.warning("Can't record that step `%s` was stopped: %s", step_run.name, error)

    def _watch_heartbeat(self, step_run: StepRunResponse, running: RunningStep) -> None:
        """Ends a step whose process is there and says nothing: it is stuck, and costs."""
        if step_run.config.command is not None or not self._heartbeats.is_due(step_run.id):
            return
        try:
            now = Client().get_run_step(step_run.id, hydrate=False)
        except Exception as error:
            logger.warning("Can't ask for the heartbeat of step `%s`: %s", step_run.name, error)
            return
        # Its record is older than the step: a job may have waited for its machine for long.
        if now.latest_heartbeat is not None and misses_heartbeat(now):
            logger.error("Step `%s` has sent no heartbeat for too long; it is ended.", step_run.name)
            self._silent.add(step_run.id)
            running.kill()


def own_configuration(config: StepConfiguration, pipeline: PipelineConfiguration) -> StepConfiguration:
    """Finds what a step has asked for itself, as far as its stored configuration tells.

    Args:
        config: the step's configuration, mixed with the pipeline's.
        pipeline: the pipeline's configuration.

    Returns:
        The step's configuration with the settings that aren't the pipeline's.
    """
    own = {
        key: _difference(dict(settings), dict(pipeline.settings.get(key, ())))
        for key, settings in config.settings.items()
    }
    settings = {key: BaseSettings.model_validate(values) for key, values in own.items()}
    return config.model_copy(update={"settings": settings})


def _difference(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What isn't the same elsewhere; in the variables of an environment, too."""
    return {
        name: _difference(value, other) if isinstance(value, Mapping) and isinstance(other, Mapping) else value
        for name, value in values.items()
        if value != (other := others.get(name))
    }
