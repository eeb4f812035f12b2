"""Where a run comes from: what the Action tells of the commit becomes metadata and tags of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from zenml import add_tags
from zenml.logger import get_logger
from zenml.orchestrators.publish_utils import publish_pipeline_run_metadata

from lightning_zenml.launch.payload.variables import GITHUB

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

logger = get_logger(__name__)


def record(run: PipelineRunResponse, orchestrator_id: UUID, environ: Mapping[str, str] = os.environ) -> None:
    """Gives the run the metadata `github` and the tags `github`, `<owner>/<repo>` and `branch:<name>`.

    A run is worth more than its labels: what can't be recorded is only warned of.

    Args:
        run: run in ZenML that the Action has started.
        orchestrator_id: id of our orchestrator in ZenML, which publishes the metadata.
        environ: variables, `LIGHTNING_ZENML_GITHUB` among them; without it nothing is done.
    """
    if GITHUB not in environ:
        return
    try:
        github = {name: value for name, value in json.loads(environ[GITHUB]).items() if value is not None}
        publish_pipeline_run_metadata(run.id, {orchestrator_id: {"github": github}})
        add_tags(tags=_tags(github), run=run.id)
    except Exception as error:
        logger.warning("Can't record on the run where it comes from: %s", error)


def _tags(github: Mapping[str, Any]) -> list[str]:
    branch = [f"branch:{github['branch']}"] if github.get("branch") else []
    return ["github", str(github["repository"]), *branch]
