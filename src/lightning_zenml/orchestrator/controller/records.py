"""ZenML's records of steps, kept in agreement with the processes that run them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.exceptions import AuthorizationException
from zenml.logger import get_logger
from zenml.orchestrators import publish_utils
from zenml.orchestrators.dag_runner import NodeStatus
from zenml.orchestrators.step_run_utils import StepRunRequestFactory, publish_cached_step_run
from zenml.steps.heartbeat import is_heartbeat_unhealthy
from zenml.utils.exception_utils import collect_exception_information
from zenml.utils.pagination_utils import depaginate
from zenml.utils.time_utils import utc_now

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.process import exit_code_in_words
from lightning_zenml.orchestrator.zenml_client.patience import insist

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, StepRunResponse
    from zenml.stack import Stack

logger = get_logger(__name__)

_PAUSE = 1.0
"""Seconds until what wasn't found is looked for once more."""


class StepRecords:
    """The step runs of one pipeline run on the ZenML server.

    Args:
        snapshot: compiled pipeline.
        pipeline_run: the pipeline's run in ZenML.
        stack: ZenML stack that the pipeline runs on.
    """

    def __init__(self, snapshot: PipelineSnapshotResponse, pipeline_run: PipelineRunResponse, stack: Stack) -> None:
        self._snapshot = snapshot
        self._run = pipeline_run
        self._requests = StepRunRequestFactory(snapshot=snapshot, pipeline_run=pipeline_run, stack=stack)
        self._silent: set[str] = set()

    def use_cache(self, name: str) -> bool:
        """Records a step as cached, if it is.

        Args:
            name: name of the step's invocation.

        Returns:
            Whether there was a cached version; else the step must run.
        """
        if not self._requests.has_caching_enabled(name):
            return False
        request = self._requests.create_request(name)
        try:
            self._requests.populate_request(request)
        except Exception as error:
            # The step's own process meets the same error and records it with the step.
            logger.warning("Can't look for a cached version of step `%s`: %s", name, error)
            return False
        if request.status is not ExecutionStatus.CACHED:
            return False
        self._requests.record_step_run(publish_cached_step_run(request, self._run))
        logger.info("Using cached version of step `%s`.", name)
        return True

    def settled(self) -> dict[str, NodeStatus]:
        """What became of the steps that have run already, in a controller that came before, and may not run again."""
        steps = insist(
            lambda: depaginate(
                Client().list_run_steps, pipeline_run_id=self._run.id, exclude_retried=True, hydrate=False
            )
        )
        return {
            step.name: NodeStatus.COMPLETED if step.status.is_successful else NodeStatus.FAILED
            for step in steps
            if step.status.is_successful or (step.status.is_finished and not step.is_retriable)
        }

    def interrupted(self, name: str) -> UUID | None:
        """Finds the record of a step that was interrupted and that ZenML takes no new one for.

        Args:
            name: name of the step's invocation.

        Returns:
            Id of the record; None: the step makes a new one.
        """
        step_run = self._find(name)
        if step_run is None or step_run.status.is_finished or step_run.is_retriable:
            return None
        found: UUID = step_run.id
        return found

    def is_silent(self, name: str, *, since: datetime) -> bool:
        """Whether ZenML misses the heartbeats of a running step; the server or the network failing is no sign of it.

        Args:
            name: name of the step's invocation.
            since: when it was started (UTC, without a time zone, as ZenML has them): a record of an earlier try, whose
                machine was lost, is silent for good.
        """
        try:
            step_run = self._look(name)
        except AuthorizationException:
            raise
        except Exception as error:
            logger.warning("Can't ask for the heartbeat of step `%s`: %s", name, error)
            return False
        if step_run is None or (step_run.start_time or since) < since:
            return False
        is_silent = misses_heartbeat(step_run)
        (self._silent.add if is_silent else self._silent.discard)(name)
        return is_silent

    def may_retry(self, name: str, attempts: int) -> bool:
        """Whether a step whose process or machine was lost has a retry left that it can't take itself any more.

        Args:
            name: name of the step's invocation.
            attempts: number of times that the step was started.
        """
        retry = self._snapshot.step_configurations[name].config.retry
        if retry is None or attempts > retry.max_retries:
            return False
        step_run = self._find(name)
        return step_run is None or (not step_run.status.is_finished and step_run.is_retriable)

    def retry_delay(self, name: str, attempts: int) -> float:
        """Seconds to wait until a step is tried again.

        Args:
            name: name of the step's invocation.
            attempts: number of times that the step was started.
        """
        retry = self._snapshot.step_configurations[name].config.retry
        return float(retry.delay * retry.backoff ** (attempts - 1)) if retry is not None else 0.0

    def record_failed(self, name: str, error: BaseException | None = None) -> None:
        """Records that a step has failed before it made a record of this try; where retries are left, as `retrying`.

        Args:
            name: name of the step's invocation.
            error: why the step has failed, as far as it is known.
        """
        info = collect_exception_information(error) if error is not None else None
        if step_run_id := self.interrupted(name):
            publish = publish_utils.publish_step_run_status_update
            insist(partial(publish, step_run_id, ExecutionStatus.FAILED, exception_info=info))
            return
        request = self._requests.create_request(name)
        try:
            self._requests.populate_request(request)
        except Exception as cause:
            logger.warning("Can't fill in the record of the failed step `%s`: %s", name, cause)
        request.status = ExecutionStatus.FAILED
        request.end_time = utc_now()
        request.exception_info = info
        Client().zen_store.create_run_step(request)

    def settle_failed(self, name: str, exit_code: int, *, stopped: bool) -> NodeStatus:
        """Settles the record of a step whose process has failed.

        Args:
            name: name of the step's invocation.
            exit_code: exit code of the process.
            stopped: whether it was asked to end.

        Returns:
            What became of the step.
        """
        error = death(exit_code, was_silent=name in self._silent)
        step_run = self._find(name)
        if step_run is None:
            if stopped:
                return NodeStatus.CANCELLED
            self.record_failed(name, error)
        elif step_run.status.is_successful:
            return NodeStatus.COMPLETED
        elif step_run.status in {ExecutionStatus.STOPPED, ExecutionStatus.CANCELLED}:
            return NodeStatus.CANCELLED
        elif not step_run.status.is_finished:
            if stopped:
                insist(partial(publish_utils.publish_stopped_step_run, step_run.id))
                return NodeStatus.CANCELLED
            publish = publish_utils.publish_step_run_status_update
            info = collect_exception_information(error)
            insist(partial(publish, step_run.id, ExecutionStatus.FAILED, exception_info=info))
        return NodeStatus.FAILED

    def close(self, names: Iterable[str]) -> None:
        """Records as stopped what is recorded as running still.

        Args:
            names: invocation names of steps whose processes have ended.
        """
        for name in names:
            step_run = self._find(name)
            if step_run is not None and not step_run.status.is_finished:
                insist(partial(publish_utils.publish_stopped_step_run, step_run.id))

    def _find(self, name: str) -> StepRunResponse | None:
        """Looks for the record of a step; that it has none is believed at the second look."""
        if (step_run := insist(partial(self._look, name))) is not None:
            return step_run
        time.sleep(_PAUSE)
        return insist(partial(self._look, name))

    def _look(self, name: str) -> StepRunResponse | None:
        page = Client().list_run_steps(
            name=name, pipeline_run_id=self._run.id, exclude_retried=True, hydrate=False, size=1
        )
        return page.items[0] if page.items else None


def death(exit_code: int, *, was_silent: bool) -> LaunchError:
    """Why a step has failed that has told nothing itself.

    Args:
        exit_code: of its process, negative for a signal; -1 where nobody knows it.
        was_silent: whether it was ended as it sent no heartbeat.
    """
    if was_silent:
        return LaunchError("The step sent no heartbeat for too long, so it was ended.", code=Code.STEP)
    if exit_code == -1:
        return LaunchError("The step's process was lost with its machine.", code=Code.STEP)
    if exit_code in (-signal.SIGUSR1, 128 + signal.SIGUSR1):
        idle = "The step's process was ended by SIGUSR1, as `stop-idle-gpu` does where no GPU is used."
        return LaunchError(idle, code=Code.IDLE)
    words = exit_code_in_words(exit_code)
    return LaunchError(f"The step's process ended with {words} and told nothing.", code=Code.STEP)


def misses_heartbeat(step_run: StepRunResponse) -> bool:
    """Whether a running step has sent no heartbeat, or none yet since it was recorded, for longer than it may.

    Args:
        step_run: the step's record as it is now; a step that waits for its next try sends no heartbeat.
    """
    if step_run.status is not ExecutionStatus.RUNNING:
        return False
    unhealthy: bool = is_heartbeat_unhealthy(
        step_run_id=step_run.id,
        status=step_run.status,
        start_time=step_run.start_time,
        heartbeat_threshold=step_run.heartbeat_threshold,
        latest_heartbeat=step_run.latest_heartbeat,
    )
    return unhealthy
