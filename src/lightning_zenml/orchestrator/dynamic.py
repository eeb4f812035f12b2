"""Runs a dynamic pipeline in the studio, on ZenML's own runner of such pipelines.

Steps run in this process as far as they can. A step that needs what this process doesn't have (a machine, variables or
commands of its own), or that asks for it, is isolated: it runs as the steps of static pipelines do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from zenml.client import Client
from zenml.config.step_configurations import Step
from zenml.constants import ENV_ZENML_DYNAMIC_PIPELINE_MONITORING_INTERVAL
from zenml.enums import ExecutionStatus, StepRuntime
from zenml.execution.pipeline.dynamic.compilation import get_step_runtime
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
from zenml.integrations.registry import integration_registry
from zenml.logger import get_logger
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_status_update,
    publish_step_run_metadata,
    publish_stopped_step_run,
)

from lightning_zenml.orchestrator.records import misses_heartbeat
from lightning_zenml.orchestrator.slots import NotStartedError, Slots
from lightning_zenml.orchestrator.step_starter import StepStarter
from lightning_zenml.orchestrator.steps import RunningStep

if TYPE_CHECKING:
    from zenml.config.step_run_info import StepRunInfo
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, StepRunResponse
    from zenml.orchestrators import BaseOrchestrator

logger = get_logger(__name__)

_MONITORING_SECONDS = "1"
_HEARTBEAT_POLL = 20.0
"""Seconds between two looks at the heartbeats of a step."""
_STOPPED_EXIT_CODE = 128 + signal.SIGTERM


def run_dynamic(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    orchestrator: BaseOrchestrator,
    starter: StepStarter,
    max_parallel_steps: int | None = None,
) -> None:
    """Runs a dynamic pipeline to its end.

    Args:
        snapshot: the compiled pipeline.
        run: the run; known to ZenML by its orchestrator run id.
        orchestrator: ours; ZenML's runner asks it for isolated steps.
        starter: starts those.
        max_parallel_steps: steps that run at once, wherever they run; None: as many as the pipeline allows.

    Raises:
        BaseException: what the pipeline failed with; ZenML knows of it.
        SystemExit: after SIGTERM, once the steps are stopped.
    """
    # Ten seconds are ZenML's default, for platforms where a question costs more.
    os.environ.setdefault(ENV_ZENML_DYNAMIC_PIPELINE_MONITORING_INTERVAL, _MONITORING_SECONDS)
    integration_registry.activate_integrations()
    steps = IsolatedSteps(orchestrator, starter, Slots(max_parallel_steps))
    with steps.in_charge():
        runner = _Runner(snapshot=snapshot, run=run, orchestrator=orchestrator)
        with _stopped_by_sigterm(run.id, steps):
            runner.run_pipeline()


class IsolatedSteps:
    """The isolated steps of the dynamic pipeline that this process runs.

    Args:
        orchestrator: publishes where a step runs.
        starter: starts them.
        slots: their places, which they share with the steps that run in this process.
    """

    _current: IsolatedSteps | None = None

    def __init__(self, orchestrator: BaseOrchestrator, starter: StepStarter, slots: Slots) -> None:
        self.slots = slots
        self._orchestrator = orchestrator
        self._starter = starter
        self._children: dict[UUID, PipelineRunResponse] = {}
        self._of_children: dict[UUID, StepStarter] = {}
        self._running: dict[UUID, RunningStep] = {}
        self._cleaned_up: set[UUID] = set()
        self._asked_for_heartbeats: dict[UUID, float] = {}
        self._making = threading.Lock()
        self._taking_over = threading.Lock()

    @classmethod
    def current(cls) -> IsolatedSteps:
        """Gets those of the pipeline that runs in this process.

        Raises:
            RuntimeError: none does.
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
            # ZenML's threads may still clean up steps.
            for step in list(self._running.values()):
                step.kill()
            self._starter.clean_up()

    def add_child(self, run: PipelineRunResponse) -> None:
        """Makes ready for the steps of a child pipeline.

        Args:
            run: of the child pipeline.
        """
        self._children[run.id] = run

    def submit(self, info: StepRunInfo) -> None:
        """Starts a step that ZenML has recorded already, once its turn comes.

        Args:
            info: of the step.

        Raises:
            NotStartedError: the run fails or is stopped before.
            LaunchError: its machine can't be had.
        """
        step = Step(spec=info.spec, config=info.config, step_config_overrides=info.config)
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
            step_run: the step.
        """
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
        return ExecutionStatus.FAILED if exit_code else ExecutionStatus.COMPLETED

    def stop(self, step_run: StepRunResponse) -> None:
        """Asks a step to end; harmless when it has."""
        if step_run.id not in self._cleaned_up and (running := self._get(step_run)):
            running.terminate()

    def clean_up(self, step_run: StepRunResponse) -> None:
        """Makes sure that nothing of a finished step is left."""
        self._cleaned_up.add(step_run.id)
        if running := self._running.pop(step_run.id, None):
            running.kill()
            self.slots.give_back()

    def stop_all(self) -> None:
        """Asks all steps to end, and starts no more."""
        self.slots.close()
        self._close()
        for step in list(self._running.values()):
            step.terminate()

    def belongs_apart(self, step: Step) -> bool:
        """Whether a step needs what this process doesn't have."""
        return self._starter.belongs_apart(step)

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
        """Starts a step that has a place."""
        try:
            starter = self._starter_of(step_run.pipeline_run_id)
            running = starter.start(name, step, attempt=step_run.version, step_run_id=step_run.id)
            if running is None:
                raise NotStartedError("The run is being stopped.")
        except BaseException:
            self.slots.give_back()
            raise
        self._running[step_run.id] = running
        if running.url:
            publish_step_run_metadata(step_run.id, {self._orchestrator.id: {"orchestrator_url": running.url}})
        return running

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
            config = step_run.config
            step = Step(spec=step_run.spec, config=config, step_config_overrides=config)
            return self._begin(step_run.name, step, step_run)

    def _watch_heartbeat(self, step_run: StepRunResponse, running: RunningStep) -> None:
        """Ends a step whose process is there and says nothing: it is stuck, and costs."""
        last = self._asked_for_heartbeats.setdefault(step_run.id, time.monotonic())
        if time.monotonic() - last < _HEARTBEAT_POLL or step_run.config.command is not None:
            return
        self._asked_for_heartbeats[step_run.id] = time.monotonic()
        try:
            now = Client().get_run_step(step_run.id, hydrate=False)
        except Exception as error:
            logger.warning("Can't ask for the heartbeat of step `%s`: %s", step_run.name, error)
            return
        # Its record is older than the step: a job may have waited for its machine for long.
        if now.latest_heartbeat is not None and misses_heartbeat(now):
            logger.error("Step `%s` has sent no heartbeat for too long; it is ended.", step_run.name)
            running.kill()


class _Runner(DynamicPipelineRunner):  # type: ignore[misc]
    """Isolates the steps that need it; ZenML decides by resources and Docker settings alone."""

    def _compile_or_reuse(self, *args: Any, **kwargs: Any) -> Step:
        step = super()._compile_or_reuse(*args, **kwargs)
        if not IsolatedSteps.current().belongs_apart(step):
            return step
        isolated = {"runtime": StepRuntime.ISOLATED}
        heartbeat = self._snapshot.pipeline_configuration.enable_heartbeat is not False
        return Step(
            # As ZenML's compiler does for steps that it knows to be isolated.
            spec=step.spec.model_copy(update={"enable_heartbeat": heartbeat}),
            config=step.config.model_copy(update=isolated),
            step_config_overrides=step.step_config_overrides.model_copy(update=isolated),
        )

    def _run_sync_step(self, step: Step, remaining_retries: int | None = None) -> StepRunResponse:
        # The others take their place when they are started.
        runtime, _ = get_step_runtime(
            step_config=step.config,
            pipeline_docker_settings=self._snapshot.pipeline_configuration.docker_settings,
            orchestrator=self._orchestrator,
        )
        if runtime is StepRuntime.ISOLATED:
            return super()._run_sync_step(step, remaining_retries)
        slots = IsolatedSteps.current().slots
        slots.take(self._run.id)
        try:
            return super()._run_sync_step(step, remaining_retries)
        finally:
            slots.give_back()

    def _cleanup_isolated_step(self, step_run: StepRunResponse) -> None:
        # Before its place is free: those that wait for it aren't to be started after a failure.
        if step_run.status in {ExecutionStatus.FAILED, ExecutionStatus.STOPPED} and not self._continue_on_failure:
            IsolatedSteps.current().slots.end(self._run.id)
        super()._cleanup_isolated_step(step_run)

    def _on_failure_detected(self, exception: BaseException) -> None:
        IsolatedSteps.current().slots.end(self._run.id)
        super()._on_failure_detected(exception)

    def _build_child_runner(self, child_run: PipelineRunResponse) -> DynamicPipelineRunner:
        IsolatedSteps.current().add_child(child_run)
        return _Runner(
            snapshot=child_run.snapshot,
            run=child_run,
            orchestrator=self._orchestrator,
            pause_coordinator=self._pause_coordinator,
            parent_runner=self,
        )


@contextlib.contextmanager
def _stopped_by_sigterm(run_id: UUID, steps: IsolatedSteps) -> Iterator[None]:
    """Ends the pipeline's function on SIGTERM, and the run as stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _publish(run_id, ExecutionStatus.STOPPING)
        steps.stop_all()
        raise SystemExit(_STOPPED_EXIT_CODE)

    # Only the main thread may handle signals; elsewhere a SIGTERM ends the process as it would without us.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            _publish(run_id, ExecutionStatus.STOPPED)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _publish(run_id: UUID, status: ExecutionStatus) -> None:
    try:
        if not Client().get_pipeline_run(run_id, hydrate=False).status.is_finished:
            publish_pipeline_run_status_update(run_id, status, status_reason="The controller was told to stop.")
    except Exception as error:
        logger.warning("Can't tell the ZenML server of the stop: %s", error)
