"""Runs a dynamic pipeline in the studio, on ZenML's own runner of such pipelines.

Steps run in this process as far as they can. A step that needs what this process doesn't have (a machine, variables or
commands of its own), or that asks for it, is isolated: it runs as the steps of static pipelines do (`isolated_steps`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from zenml.client import Client
from zenml.config.step_configurations import Step
from zenml.constants import ENV_ZENML_DYNAMIC_PIPELINE_MONITORING_INTERVAL
from zenml.enums import ExecutionStatus, StepRuntime
from zenml.exceptions import AuthorizationException, IllegalOperationError, RunStoppedException
from zenml.execution.pipeline.dynamic.compilation import get_step_runtime
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
from zenml.integrations.registry import integration_registry
from zenml.logger import get_logger
from zenml.orchestrators.publish_utils import publish_pipeline_run_status_update, publish_stopped_step_run
from zenml.steps import StepHeartBeatTerminationException

from lightning_zenml.orchestrator.controller.isolated_steps import IsolatedSteps, own_configuration
from lightning_zenml.orchestrator.controller.pipeline_errors import STOPPED_EXIT_CODE
from lightning_zenml.orchestrator.controller.slots import Slots
from lightning_zenml.orchestrator.controller.timing import SERVER_POLL, STOP_GRACE
from lightning_zenml.orchestrator.steps.starter import StepStarter

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, StepRunResponse
    from zenml.orchestrators import BaseOrchestrator

logger = get_logger(__name__)

_MONITORING_SECONDS = "1"
_RETRY_SECONDS = 1.0
_LOSS_POLL = 1.0
"""Seconds between two looks whether what was raised got lost."""
_STOPPING = frozenset({ExecutionStatus.STOPPING, ExecutionStatus.STOPPED})


def run_dynamic(
    snapshot: PipelineSnapshotResponse,
    run: PipelineRunResponse,
    orchestrator: BaseOrchestrator,
    starter: StepStarter,
    max_parallel_steps: int | None = None,
) -> None:
    """Runs a dynamic pipeline to its end.

    Args:
        snapshot: compiled pipeline.
        run: the pipeline's run in ZenML, which knows its orchestrator run id.
        orchestrator: our orchestrator, which ZenML's runner asks for isolated steps.
        starter: starts isolated steps.
        max_parallel_steps: number of steps that run at once, wherever they run; None: as many as the pipeline allows.

    Raises:
        BaseException: if the pipeline fails: its own error, which ZenML knows of.
        SystemExit: after SIGTERM or a stop through ZenML, once the steps are stopped.
    """
    if run.status in _STOPPING:
        # Somebody was faster than the studio.
        _publish(run.id, ExecutionStatus.STOPPED)
        raise SystemExit(STOPPED_EXIT_CODE)
    # Ten seconds are ZenML's default, for platforms where a question costs more.
    os.environ.setdefault(ENV_ZENML_DYNAMIC_PIPELINE_MONITORING_INTERVAL, _MONITORING_SECONDS)
    integration_registry.activate_integrations()
    steps = IsolatedSteps(orchestrator, starter, Slots(max_parallel_steps))
    with steps.in_charge():
        runner = _Runner(snapshot=snapshot, run=run, orchestrator=orchestrator)
        with _stoppable(run.id, steps):
            runner.run_pipeline()


class _Runner(DynamicPipelineRunner):  # type: ignore[misc]
    """Isolates the steps that need it; ZenML decides by resources and Docker settings alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._retrying: dict[str, StepRunResponse] = {}
        self._looked_at: StepRunResponse | None = None
        for name, step_run in self._existing_step_runs.items():
            own = own_configuration(step_run.config, self._snapshot.pipeline_configuration)
            IsolatedSteps.current().remember(self._run.id, name, own)

    def _compile_or_reuse(self, *args: Any, **kwargs: Any) -> Step:
        step = super()._compile_or_reuse(*args, **kwargs)
        steps, name = IsolatedSteps.current(), step.spec.invocation_id
        if name in self._existing_step_runs:
            step = steps.with_own(self._run.id, step.spec, step.config)
        else:
            steps.remember(self._run.id, name, step.step_config_overrides)
        if not steps.belongs_apart(step):
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
        runtime, _ = get_step_runtime(
            step_config=step.config,
            pipeline_docker_settings=self._snapshot.pipeline_configuration.docker_settings,
            orchestrator=self._orchestrator,
        )
        slots = IsolatedSteps.current().slots
        # The others take their place when they are started.
        with contextlib.nullcontext() if runtime is StepRuntime.ISOLATED else slots.taken(self._run.id):
            return self._try(step, remaining_retries)

    def _try(self, step: Step, remaining_retries: int | None) -> StepRunResponse:
        """Retries as ZenML does, which takes the end of this process for a failure of the step."""
        slots, retry = IsolatedSteps.current().slots, step.config.retry
        if remaining_retries is None:
            remaining_retries = retry.max_retries if retry else 0
        delay = retry.delay if retry else 0
        while True:
            try:
                return super()._run_sync_step(step, remaining_retries=0)
            except (RunStoppedException, StepHeartBeatTerminationException):
                raise
            except BaseException:
                if not remaining_retries or slots.closed:
                    raise
                logger.info("Step `%s` is started again in %d s.", step.spec.invocation_id, delay)
                if slots.wait_closed(delay):
                    raise
            remaining_retries -= 1
            delay *= retry.backoff

    def _monitoring_loop(self) -> None:
        # ZenML's ends with the first request that fails, and with it all that is known of isolated steps.
        while not self._shutdown_requested:
            try:
                super()._monitoring_loop()
            except Exception as error:
                logger.warning("Can't follow the steps that run apart, and try again: %s", error)
                if (step_run := self._looked_at) is not None:
                    # It may have been put away before it was settled.
                    self._steps_to_monitor.setdefault(step_run.name, step_run)
                self._monitoring_event.wait(_RETRY_SECONDS)

    def _get_isolated_step_infra_status(self, step_run: StepRunResponse) -> ExecutionStatus | None:
        self._looked_at = step_run
        return super()._get_isolated_step_infra_status(step_run)

    def _register_isolated_step_for_monitoring(self, invocation_id: str, step_run: StepRunResponse) -> None:
        self._retrying.pop(invocation_id, None)
        super()._register_isolated_step_for_monitoring(invocation_id, step_run)

    def _cleanup_isolated_step(self, step_run: StepRunResponse) -> None:
        # Before its place is free: those that wait for it aren't to be started after a failure.
        if step_run.status in {ExecutionStatus.FAILED, ExecutionStatus.STOPPED} and not self._continue_on_failure:
            IsolatedSteps.current().slots.end(self._run.id)
        super()._cleanup_isolated_step(step_run)
        if step_run.status is ExecutionStatus.RETRYING:
            # ZenML starts no step after a failure, and waits for the end of this one for ever.
            self._retrying[step_run.name] = step_run
            if self._failure_detected:
                self._give_up_retries()

    def _on_failure_detected(self, exception: BaseException) -> None:
        IsolatedSteps.current().slots.end(self._run.id)
        super()._on_failure_detected(exception)
        self._give_up_retries()

    def _give_up_retries(self) -> None:
        for name, step_run in list(self._retrying.items()):
            # One that has been started again by now has another record.
            with contextlib.suppress(IllegalOperationError):
                publish_stopped_step_run(step_run.id)
            self._retrying.pop(name, None)

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
def _stoppable(run_id: UUID, steps: IsolatedSteps) -> Iterator[None]:
    """Ends the pipeline's function and all steps on SIGTERM, or once ZenML has the run stopped; the run as stopped."""
    # Only the main thread may handle signals; elsewhere a SIGTERM ends the process as it would without us.
    is_main = threading.current_thread() is threading.main_thread()
    stop = _Stop(run_id, steps, can_raise=is_main)
    previous = signal.signal(signal.SIGTERM, stop.on_signal) if is_main else None
    threading.Thread(target=stop.watch, name="stop", daemon=True).start()
    try:
        yield
    except BaseException as error:
        if not stop.asked:
            raise
        _publish(run_id, ExecutionStatus.STOPPED)
        raise SystemExit(STOPPED_EXIT_CODE) from error
    finally:
        stop.end()
        if is_main:
            signal.signal(signal.SIGTERM, previous)


class _Stopped(SystemExit):
    """Ends the pipeline's function."""


class _Stop:
    """Notices that the run is to be stopped, and does not forget it.

    Python drops what a signal's handler raises in a finalizer or the callback of a weak reference; then it is raised
    again, see `launch.interruption`.

    Args:
        run_id: id of the run in ZenML.
        steps: isolated steps to be stopped with the run.
        can_raise: whether a signal's handler can end the pipeline's function, which the main thread calls then.
    """

    def __init__(self, run_id: UUID, steps: IsolatedSteps, *, can_raise: bool) -> None:
        self.asked = False
        self._can_raise = can_raise
        self._run_id = run_id
        self._steps = steps
        self._raised: Callable[[], _Stopped | None] | None = None
        self._over = threading.Event()
        self._ending = threading.Lock()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Stops the run. ZenML installs this handler anew behind each step, so a second signal may come here."""
        if not self.asked:
            self._ask()
        elif not self._is_lost:
            return
        raise self._exception()

    def watch(self) -> None:
        """Asks ZenML now and then: only heartbeats would tell, which by far not all steps send."""
        while not self._over.wait(_LOSS_POLL if self.asked else SERVER_POLL):
            if not (self._is_lost if self.asked else self._is_stopped_in_zenml()):
                continue
            if not self._can_raise:
                # The function ends with its steps, or all that is left is the end of the process.
                self._ask()
                self._over.wait(STOP_GRACE)
            with self._ending:
                if not self._over.is_set():
                    os.kill(os.getpid(), signal.SIGTERM)

    def end(self) -> None:
        """From now on the signal means others."""
        with self._ending:
            self._over.set()

    def _ask(self) -> None:
        self.asked = True
        for run_id in (self._run_id, *self._steps.child_runs()):
            # Told before the steps end, so that they and the server see a stop rather than a failure.
            _publish(run_id, ExecutionStatus.STOPPING)
        self._steps.stop_all()

    @property
    def _is_lost(self) -> bool:
        return self._raised is not None and self._raised() is None

    def _exception(self) -> _Stopped:
        """What is to be raised. No frame that raises it may have a name for it: then it would keep itself alive."""
        error = _Stopped(STOPPED_EXIT_CODE)
        self._raised = weakref.ref(error)
        return error

    def _is_stopped_in_zenml(self) -> bool:
        try:
            return Client().get_pipeline_run(self._run_id, hydrate=False).status in _STOPPING
        except AuthorizationException:
            logger.debug("The run is over, and its token with it; or the server errs, and is asked again.")
        except Exception as error:
            logger.warning("Can't ask the ZenML server whether to stop: %s", error)
        return False


def _publish(run_id: UUID, status: ExecutionStatus) -> None:
    try:
        if not Client().get_pipeline_run(run_id, hydrate=False).status.is_finished:
            publish_pipeline_run_status_update(run_id, status, status_reason="The controller was told to stop.")
    except Exception as error:
        logger.warning("Can't tell the ZenML server of the stop: %s", error)
