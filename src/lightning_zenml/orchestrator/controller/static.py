"""Runs the steps of a static pipeline in the studio, on ZenML's `DagRunner`."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.enums import ExecutionMode, ExecutionStatus
from zenml.exceptions import AuthorizationException, IllegalOperationError, SettingsResolvingError
from zenml.logger import get_logger
from zenml.orchestrators import publish_utils
from zenml.orchestrators.dag_runner import DagRunner, InterruptMode, Node, NodeStatus
from zenml.stack import Stack
from zenml.utils.time_utils import utc_now

from lightning_zenml.deadline import begin
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.process import exit_code_in_words
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.controller.pipeline_errors import (
    STOPPED_EXIT_CODE,
    PipelineFailedError,
    PipelineStoppedError,
)
from lightning_zenml.orchestrator.controller.records import StepRecords
from lightning_zenml.orchestrator.controller.timing import HEARTBEAT_POLL, SERVER_POLL, STEP_POLL, STOP_GRACE, Turns
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.running import RunningStep, UnstartedStep
from lightning_zenml.orchestrator.steps.starter import StepStarter
from lightning_zenml.orchestrator.zenml_client.patience import insist
from lightning_zenml.zenml_api.run_end import REASON_LIMIT

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse

logger = get_logger(__name__)

IMPORT_SECONDS = 2.5
"""About what a step's process needs for its imports: preparing the next one before that would slow it down."""


class StaticController:
    """Starts, watches and stops the steps of one run. Its methods are called from several threads.

    Args:
        snapshot: compiled pipeline.
        pipeline_run: the pipeline's run in ZenML.
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
        context: the launch that this process is part of.
        forks: makes the processes of steps, if it was started already.
    """

    def __init__(
        self,
        snapshot: PipelineSnapshotResponse,
        pipeline_run: PipelineRunResponse,
        stack: Stack,
        settings: LightningOrchestratorSettings,
        context: LaunchContext,
        forks: ForkServer | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._run = pipeline_run
        self._stack = stack
        self._settings = settings
        self._context = context
        self._mode = snapshot.pipeline_configuration.execution_mode
        self._records = StepRecords(snapshot, pipeline_run, stack)
        self._starter = StepStarter(snapshot, pipeline_run, stack, settings, context, forks=forks)
        # A replayed run has the steps that it skips recorded as such.
        settled = self._records.settled() if context.restarted or pipeline_run.original_run else {}
        self._nodes = [
            Node(id=name, upstream_nodes=step.spec.upstream_steps, status=settled.get(name, NodeStatus.NOT_READY))
            for name, step in snapshot.step_configurations.items()
        ]
        self._settled = set(settled)
        self._steps: dict[str, RunningStep] = {}
        self._attempts: Counter[str] = Counter()
        if context.restarted:
            # The last job of each step is found again.
            last_jobs = context.last_jobs(pipeline_run.id)
            self._attempts.update({name: last.attempt - 1 for name, last in last_jobs.items()})
        self._next_tries: dict[str, float] = {}
        self._refusals: dict[str, str] = {}
        self._heartbeats = Turns(HEARTBEAT_POLL)
        self._terminated = threading.Event()
        self._interrupt: InterruptMode | None = None
        self._asked_server = time.monotonic()
        self._question: Future[ExecutionStatus] | None = None
        # It may have been stopped before the studio was ready.
        self._run_status: ExecutionStatus | None = pipeline_run.status

    def run(self) -> None:
        """Runs the steps, see `lightning_zenml.orchestrator.controller.controller.control`."""
        try:
            self._starter.check(set(self._snapshot.step_configurations) - self._settled)
        except (SettingsResolvingError, LaunchError) as error:
            self._publish_end(stopped=False, failure=str(error))
            raise PipelineFailedError(str(error)) from error
        self._starter.prepare()
        runner = DagRunner(
            self._nodes,
            node_startup_function=self._start,
            node_monitoring_function=self._check,
            node_stop_function=lambda node: self._steps[node.id].terminate(),
            interrupt_function=self._find_interrupt,
            monitoring_interval=STEP_POLL,
            interrupt_check_interval=0,
            max_parallelism=self._settings.max_parallel_steps,
        )
        with _on_sigterm(self._terminated):
            try:
                runner.run()
            except BaseException:
                # Whatever went wrong, no step may be left running.
                self._terminated.set()
                self._find_interrupt()
                raise
            finally:
                self._drain()
                self._finish()
        if self._terminated.is_set():
            raise SystemExit(STOPPED_EXIT_CODE)

    def _start(self, node: Node) -> NodeStatus:
        if self._records.use_cache(node.id):
            return NodeStatus.COMPLETED
        return self._begin(node)

    def _begin(self, node: Node) -> NodeStatus:
        self._attempts[node.id] += 1
        attempt = self._attempts[node.id]
        # Only what was interrupted has a record that its program would find taken.
        interrupted = attempt > 1 or self._context.restarted
        try:
            step = self._starter.start(
                node.id,
                self._snapshot.step_configurations[node.id],
                attempt=attempt,
                step_run_id=self._records.interrupted(node.id) if interrupted else None,
            )
        except LaunchError as error:
            logger.error("Step `%s` can't be started: %s", node.id, error)
            self._refuse(node.id, error)
            step = UnstartedStep()
        else:
            self._refusals.pop(node.id, None)
        if step is None:
            return NodeStatus.CANCELLED
        self._steps[node.id] = step
        return NodeStatus.RUNNING

    def _check(self, node: Node) -> NodeStatus:
        exit_code = self._steps[node.id].poll()
        if exit_code is None:
            self._prepare_next(self._steps[node.id])
            self._watch_heartbeat(node.id)
            return NodeStatus.RUNNING
        if exit_code == 0:
            return NodeStatus.COMPLETED
        waits = node.id in self._next_tries
        if not waits:
            logger.error("Step `%s` ended with %s.", node.id, exit_code_in_words(exit_code))
        with _run_may_be_over():
            if not waits and (error := self._steps[node.id].error):
                self._refuse(node.id, error)
            if self._interrupt is None and (waits or self._records.may_retry(node.id, self._attempts[node.id])):
                # A process that can tries again itself: this one, or its machine, was lost, or is one of several.
                return self._try_again(node)
            return self._records.settle_failed(node.id, exit_code, stopped=self._interrupt is InterruptMode.FORCE)
        return NodeStatus.FAILED

    def _refuse(self, name: str, error: LaunchError) -> None:
        """Records a step that has no machine."""
        self._refusals[name] = str(error)
        self._records.record_failed(name, error)

    def _try_again(self, node: Node) -> NodeStatus:
        """Starts a step again, once the delay is over that its retries have."""
        delay = self._records.retry_delay(node.id, self._attempts[node.id])
        if time.monotonic() < self._next_tries.setdefault(node.id, time.monotonic() + delay):
            return NodeStatus.RUNNING
        del self._next_tries[node.id]
        logger.info("Step `%s` is started again.", node.id)
        return self._begin(node)

    def _prepare_next(self, running: RunningStep) -> None:
        """Starts the process of a step to come, once the imports of the running ones are done."""
        if running.age > IMPORT_SECONDS and any(node.status is NodeStatus.NOT_READY for node in self._nodes):
            self._starter.prepare()

    def _watch_heartbeat(self, name: str) -> None:
        """Ends a step whose process is there and says nothing: it is stuck, and costs."""
        if self._snapshot.step_configurations[name].config.step_operator:
            # It may wait in the queue of its step operator for as long as that likes.
            return
        if not self._heartbeats.is_due(name):
            return
        with _run_may_be_over():
            if self._records.is_silent(name, since=utc_now() - timedelta(seconds=self._steps[name].age)):
                logger.error("Step `%s` has sent no heartbeat for too long; it is ended.", name)
                self._steps[name].kill()

    def _find_interrupt(self) -> InterruptMode | None:
        self._interrupt = self._wanted_interrupt()
        return self._interrupt

    def _wanted_interrupt(self) -> InterruptMode | None:
        if self._terminated.is_set():
            self._announce_stop()
            return InterruptMode.FORCE
        if self._ask_server() in {ExecutionStatus.STOPPING, ExecutionStatus.STOPPED}:
            return InterruptMode.FORCE
        failed = any(node.status is NodeStatus.FAILED for node in self._nodes)
        return self._interrupt_after_failure() if failed or self._run_status is ExecutionStatus.FAILED else None

    def _ask_server(self) -> ExecutionStatus | None:
        """Asks for the run's status now and then, and waits for no answer; what the server has said last."""
        if self._question is None and time.monotonic() - self._asked_server >= SERVER_POLL:
            self._question = begin(self._ask_status)
        elif self._question is not None and self._question.done():
            try:
                self._run_status = self._question.result()
            except Exception as error:
                logger.warning("Can't ask the ZenML server whether to stop: %s", error)
            self._question, self._asked_server = None, time.monotonic()
        return self._run_status

    def _ask_status(self) -> ExecutionStatus:
        status: ExecutionStatus = Client().get_pipeline_run(self._run.id, hydrate=False).status
        return status

    def _interrupt_after_failure(self) -> InterruptMode | None:
        return {
            ExecutionMode.FAIL_FAST: InterruptMode.FORCE,
            ExecutionMode.STOP_ON_FAILURE: InterruptMode.GRACEFUL,
        }.get(self._mode)

    def _announce_stop(self) -> None:
        # Told before the steps end, so that they and the server see a stop rather than a failure.
        try:
            publish_utils.publish_pipeline_run_status_update(
                self._run.id, ExecutionStatus.STOPPING, status_reason="The controller was told to stop."
            )
        except Exception as error:
            logger.warning("Can't tell the ZenML server of the stop: %s", error)

    def _drain(self) -> None:
        """Sees every step to its end after an interrupt; `DagRunner` leaves them running."""
        self._starter.close()
        running = {name: step for name, step in self._steps.items() if step.poll() is None}
        while running and self._interrupt is not InterruptMode.FORCE:
            time.sleep(STEP_POLL)
            running = {name: step for name, step in running.items() if step.poll() is None}
            for name in running:
                self._watch_heartbeat(name)
            self._find_interrupt()
        for step in running.values():
            step.terminate()
        deadline = time.monotonic() + STOP_GRACE
        for name, step in running.items():
            if not step.wait(max(0.0, deadline - time.monotonic())):
                logger.warning("Step `%s` doesn't end when asked to; it is killed.", name)
            step.kill()
        self._starter.clean_up()
        for node in self._nodes:
            # `DagRunner` takes what it has stopped for cancelled, even a step that had failed just before.
            if node.id in self._steps and node.status not in {NodeStatus.COMPLETED, NodeStatus.FAILED}:
                node.status = self._check(node)

    def _finish(self) -> None:
        """Publishes how the run ended.

        The run's own token dies with the run, which the server may have ended with the last step.
        """
        failed = [node.id for node in self._nodes if node.status is NodeStatus.FAILED]
        unfinished = [node.id for node in self._nodes if node.status not in {NodeStatus.COMPLETED, NodeStatus.FAILED}]
        failure = self._failure(failed or unfinished)
        stopped = self._terminated.is_set()
        try:
            status = insist(self._ask_status)
            stopped = stopped or status in {ExecutionStatus.STOPPING, ExecutionStatus.STOPPED}
            self._records.close(self._attempts)
            if not status.is_finished or self._refusals:
                insist(lambda: self._publish_end(stopped=stopped, failure=failure))
        except AuthorizationException:
            logger.debug("The run is over, and its token with it.")
        except Exception as error:
            # The steps have told how they went, and that is how the run went.
            logger.warning("Can't tell the ZenML server how the run has ended: %s", error)
        if unfinished:
            logger.warning("Steps that didn't run to their end: %s.", ", ".join(unfinished))
        if self._terminated.is_set():
            return
        if stopped:
            raise PipelineStoppedError("The run was stopped.")
        if failure:
            raise PipelineFailedError(failure)

    def _failure(self, failed: Sequence[str]) -> str:
        """What went wrong, '' for nothing; of a step that ran, its own record tells more."""
        reasons = [f" {name}: {self._refusals[name]}" for name in failed if name in self._refusals]
        return f"Steps failed: {', '.join(failed)}.{''.join(reasons)}" if failed else ""

    def _publish_end(self, *, stopped: bool, failure: str) -> None:
        status = ExecutionStatus.FAILED if failure else ExecutionStatus.COMPLETED
        # The server ends a run by itself when its last step ends.
        with contextlib.suppress(IllegalOperationError):
            publish_utils.publish_pipeline_run_status_update(
                self._run.id,
                ExecutionStatus.STOPPED if stopped else status,
                status_reason=None if stopped else failure[:REASON_LIMIT],
            )


@contextlib.contextmanager
def _on_sigterm(event: threading.Event) -> Iterator[None]:
    # Only the main thread may handle signals; elsewhere a SIGTERM ends the process as it would without us.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        event.set()

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def _run_may_be_over() -> Iterator[None]:
    try:
        yield
    except AuthorizationException:
        logger.debug("The run is over, and its token with it.")
