"""Asks ZenML how a run ended, and records it there where its controller is gone.

Through ZenML's client: it may be in the server itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.logger import get_logger
from zenml.orchestrators import publish_utils
from zenml.utils.pagination_utils import depaginate

from lightning_zenml.codes import Code, known
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.spec import Phase, Status
from lightning_zenml.orchestrator.zenml_client.patience import insist
from lightning_zenml.zenml_api.run_end import PAUSED, end_run

logger = get_logger(__name__)

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse


def how_it_ended(run_id: UUID) -> ExecutionStatus | None:
    """Asks ZenML how a run has ended, for a minute where that fails.

    Args:
        run_id: id of the run in ZenML.

    Returns:
        How the run has ended, `PAUSED` where it waits for something outside; None when it is under way, as far as ZenML
        knows or can be asked.
    """
    try:
        status = insist(lambda: Client().get_pipeline_run(run_id, hydrate=False).status)
    except Exception as error:
        logger.warning("ZenML can't be asked how the run has ended: %s", error)
        return None
    return status if status.is_finished or status is ExecutionStatus.PAUSED else None


def fail(run: PipelineRunResponse, reason: str) -> None:
    """Records a run as failed, with its child pipelines' runs and all their steps.

    A finished run stays as it is, and so does one that is paused, which has no controller.

    Args:
        run: the run in ZenML.
        reason: shown with the run.
    """
    end_run(str(run.id), status="failed", reason=reason, runs=_ClientRuns(), spared={PAUSED})


def stop(run: PipelineRunResponse) -> None:
    """Records a run as stopped, with its child pipelines' runs and all their steps; a finished run stays as it is.

    Args:
        run: the run in ZenML.
    """
    end_run(str(run.id), status="stopped", reason=None, runs=_ClientRuns())


def unfinished_steps(run_id: UUID) -> Iterator[StepRunResponse]:
    """Asks for the steps of a run that have not ended.

    Args:
        run_id: id of the run in ZenML.
    """
    steps = depaginate(Client().list_run_steps, pipeline_run_id=run_id, exclude_retried=True, hydrate=False)
    return (step for step in steps if not step.status.is_finished)


def unfinished_children(run_id: UUID) -> Iterator[PipelineRunResponse]:
    """Asks for the runs, not ended yet, of the pipelines that a dynamic pipeline has called.

    Args:
        run_id: id of the dynamic pipeline's run in ZenML.
    """
    children = depaginate(Client().list_pipeline_runs, parent_run_id=run_id, hydrate=False)
    return (child for child in children if not child.status.is_finished)


def raise_unless_succeeded(status: Status | None) -> None:
    """Raises `LaunchError` for a launch that has ended in another way than well; the message is for the user."""
    if status is None or status.succeeded:
        return
    if status.stopped:
        raise LaunchError("The run was stopped.", code=Code.STOPPED)
    if status.failure is not None and status.failure.phase is not Phase.RUNNING:
        raise LaunchError(status.failure.message, code=known(status.failure.code, Code.RUN))
    raise LaunchError("The run failed; its log names the steps.", code=Code.RUN)


class _ClientRuns:
    """ZenML's runs and steps, see `lightning_zenml.zenml_api.run_end.Runs`."""

    def status(self, run_id: str) -> str:
        return str(Client().get_pipeline_run(UUID(run_id), hydrate=False).status.value)

    def unfinished_steps(self, run_id: str) -> list[str]:
        return [str(step.id) for step in unfinished_steps(UUID(run_id))]

    def children(self, run_id: str) -> list[str]:
        return [str(child.id) for child in unfinished_children(UUID(run_id))]

    def update_run(self, run_id: str, status: str, reason: str | None) -> None:
        publish_utils.publish_pipeline_run_status_update(UUID(run_id), ExecutionStatus(status), status_reason=reason)

    def update_step(self, step_id: str, status: str) -> str:
        step = publish_utils.publish_step_run_status_update(UUID(step_id), ExecutionStatus(status))
        return str(step.status.value)
