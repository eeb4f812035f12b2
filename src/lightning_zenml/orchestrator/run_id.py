"""What a ZenML run is called on Lightning AI, what the launch knows of it, and the metadata that leads there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.client import Client
from zenml.constants import (
    METADATA_ORCHESTRATOR_LOGS_URL,
    METADATA_ORCHESTRATOR_RUN_ID,
    METADATA_ORCHESTRATOR_URL,
)
from zenml.exceptions import IllegalOperationError
from zenml.metadata.metadata_types import MetadataType, Uri
from zenml.models import PipelineRunUpdate
from zenml.orchestrators import SubmissionResult, publish_utils
from zenml.utils import dashboard_utils

from lightning_zenml.launch.payload.records import RunRecord
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.zenml_api.models import METER, START

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse

    from lightning_zenml.launch.launch import Launch
    from lightning_zenml.orchestrator.context import LaunchContext


def orchestrator_run_id(launch_id: str, run_id: object) -> str:
    """Names a run on Lightning: one launch may hold several.

    Args:
        launch_id: id of the launch.
        run_id: id of the run in ZenML.

    Returns:
        What ZenML calls the orchestrator run id, the same in the client, the controller and every step.
    """
    return f"{launch_id}-{str(run_id)[:8]}"


def launch_id_of(orchestrator_run_id: str) -> str:
    """Gets back the launch's id from what `orchestrator_run_id` gave."""
    return orchestrator_run_id.rpartition("-")[0]


def run_metadata(run_id: str, studio_url: str | None) -> dict[str, MetadataType]:
    """Makes the metadata that leads from a ZenML run to Lightning.

    Args:
        run_id: name of the run on Lightning, as `orchestrator_run_id` gives it.
        studio_url: page of the studio, whose terminal and files hold the log, too; None or '' where it isn't known.

    Returns:
        The metadata, under ZenML's names.
    """
    metadata: dict[str, MetadataType] = {METADATA_ORCHESTRATOR_RUN_ID: run_id}
    if studio_url:
        metadata[METADATA_ORCHESTRATOR_URL] = Uri(studio_url)
        metadata[METADATA_ORCHESTRATOR_LOGS_URL] = Uri(studio_url)
    return metadata


def record(snapshot: PipelineSnapshotResponse, run: PipelineRunResponse, context: LaunchContext) -> None:
    """Lets the launch know of a run in it, once: whoever ends the launch ends the run, whatever has become of us.

    Args:
        snapshot: compiled pipeline.
        run: its run in ZenML.
        context: the launch that this process is part of.
    """
    if str(run.id) in context.run_ids:
        return
    context.record_run(
        RunRecord(
            run_id=str(run.id),
            run_name=run.name,
            pipeline=snapshot.pipeline_configuration.name,
            run_url=dashboard_utils.get_run_url(run),
            orchestrator_url=context.studio_url,
        )
    )


def submitted(
    run: PipelineRunResponse,
    orchestrator_id: UUID,
    launch: Launch | LaunchContext,
    *,
    start: Start,
    wait: Callable[[], None],
) -> SubmissionResult:
    """Tells ZenML where a run that was submitted is.

    Args:
        run: the run in ZenML.
        orchestrator_id: id of our orchestrator in ZenML, which publishes the metadata.
        launch: the launch that the run is in.
        start: where the pipeline was started.
        wait: function that waits for the end of the run.

    Returns:
        How to wait, and the run's metadata.
    """
    run_id = orchestrator_run_id(launch.id, run.id)
    metadata: dict[str, MetadataType] = {**run_metadata(run_id, launch.studio_url), START: start.to_json()}
    if (meter := launch.meter) is not None:
        metadata[METER] = meter.to_json()
    try:
        # A controller that is quicker than us has published the same id.
        Client().zen_store.update_run(run.id, PipelineRunUpdate(orchestrator_run_id=run_id))
    except IllegalOperationError:
        # The server keeps a run's first id; one that was resumed or retried is found by its metadata.
        publish_utils.publish_pipeline_run_metadata(run.id, {orchestrator_id: metadata})
    return SubmissionResult(wait_for_completion=wait, metadata=metadata)
