"""Metrics: the numbers that a pipeline logged to ZenML, beside those of the base branch, and what is made of them.

`log_metadata` takes them for a run, a step, a version of an artifact or of a model. The input `report` says what is
better when it is higher, what is left out, what to compare with, and what is to fail.
"""

from lightning_zenml.action.report.metrics.collected import Metric
from lightning_zenml.action.report.metrics.compared import Comparison, compare, rows
from lightning_zenml.action.report.metrics.settings import ReportSettings

__all__ = ["Comparison", "Metric", "ReportSettings", "compare", "rows"]
