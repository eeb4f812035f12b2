"""Where a run comes from: what the Action or `lightning-zenml run` tells of it becomes its metadata and tags."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from zenml import add_tags
from zenml.logger import get_logger
from zenml.orchestrators.publish_utils import publish_pipeline_run_metadata

from lightning_zenml.launch.payload.variables import GITHUB, LAPTOP
from lightning_zenml.zenml_api import models

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

logger = get_logger(__name__)


def record(run: PipelineRunResponse, orchestrator_id: UUID, environ: Mapping[str, str] = os.environ) -> None:
    """Gives the run the metadata `github` and the tags `github`, `<owner>/<repo>` and `branch:<name>`, or its `laptop`.

    A run is worth more than its labels: what can't be recorded is only warned of.

    Args:
        run: run in ZenML that is about to begin.
        orchestrator_id: id of our orchestrator in ZenML, which publishes the metadata.
        environ: variables, `LIGHTNING_ZENML_GITHUB` or `LIGHTNING_ZENML_LAPTOP` among them; else nothing is done.
    """
    variable, name = (GITHUB, models.PROVENANCE) if GITHUB in environ else (LAPTOP, models.LAPTOP)
    if variable not in environ:
        return
    try:
        told = {key: value for key, value in json.loads(environ[variable]).items() if value is not None}
        publish_pipeline_run_metadata(run.id, {orchestrator_id: {name: told}})
        add_tags(tags=_tags(told) if variable == GITHUB else [name], run=run.id)
    except Exception as error:
        logger.warning("Can't record on the run where it comes from: %s", error)


def _tags(github: Mapping[str, Any]) -> list[str]:
    branch = [f"branch:{github['branch']}"] if github.get("branch") else []
    return ["github", str(github["repository"]), *branch]
