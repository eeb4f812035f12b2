"""What a ZenML run is called on Lightning AI, and the metadata that leads there."""

from __future__ import annotations

from zenml.constants import (
    METADATA_ORCHESTRATOR_LOGS_URL,
    METADATA_ORCHESTRATOR_RUN_ID,
    METADATA_ORCHESTRATOR_URL,
)
from zenml.metadata.metadata_types import MetadataType, Uri


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
