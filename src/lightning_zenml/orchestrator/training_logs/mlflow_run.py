"""Reads the MLflow run that a step logs to: that of the stack's experiment tracker, or one that it has begun itself."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from zenml.logger import get_logger

from lightning_zenml.deadline import within

if TYPE_CHECKING:
    from lightning_zenml.orchestrator.training_logs.rows import Series

logger = get_logger(__name__)

_MOST_NAMES = 50
"""Of which each is asked for by a request of its own."""
_OF_MACHINE = "system/"
"""How the names of MLflow's own system metrics begin."""
_SECONDS = 10.0
"""For the MLflow server, which the step's end waits for."""


def of_mlflow_run() -> Series:
    """Reads the numbers of the MLflow run that is active in this thread.

    Returns:
        Its curves, counted by MLflow's `step`, or where that is always the same by the times that they were logged;
        none where MLflow isn't imported, no run is active, or its server can't be asked in time.
    """
    mlflow: Any = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow else None
    if run is None:
        return {}
    try:
        return within(_SECONDS, partial(_series, mlflow.MlflowClient(), run.info.run_id))
    except Exception as error:
        logger.debug("The MLflow run can't be read: %s", error)
        return {}


def _series(client: Any, run_id: str) -> Series:
    found: Series = {}
    deadline = time.monotonic() + _SECONDS / 2
    names = sorted(name for name in client.get_run(run_id).data.metrics if not name.startswith(_OF_MACHINE))
    for name in names[:_MOST_NAMES]:
        if time.monotonic() > deadline:
            break
        logged = sorted(client.get_metric_history(run_id, name), key=lambda one: (one.step, one.timestamp))
        if len({one.step for one in logged}) > 1:
            found[name, "step"] = {float(one.step): one.value for one in logged}
        else:
            found[name, ""] = {float(times): one.value for times, one in enumerate(logged, 1)}
    return found
