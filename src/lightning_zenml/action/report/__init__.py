"""What is told of a run, as Markdown: briefly in the pull request's comment, in full in the job summary.

Most of it was written by others (branch names, commands, log lines, names of steps and metrics), so the templates
escape whatever they are given: nothing of it is taken for Markdown, HTML or Mermaid, and nobody is mentioned.
"""

from lightning_zenml.action.report.model import (
    ArtifactReport,
    JobReport,
    Report,
    RunReport,
    State,
    StepReport,
    redacted,
)
from lightning_zenml.action.report.numbers import (
    BaseReport,
    CourseReport,
    CurveReport,
    MetricReport,
    Outcome,
    RuleReport,
    Verdict,
)
from lightning_zenml.action.report.render import COMMENT_LIMIT, check, comment, summary
from lightning_zenml.action.report.visualizations.records import Kind, VisualizationReport

__all__ = [
    "COMMENT_LIMIT",
    "ArtifactReport",
    "BaseReport",
    "CourseReport",
    "CurveReport",
    "JobReport",
    "Kind",
    "MetricReport",
    "Outcome",
    "Report",
    "RuleReport",
    "RunReport",
    "State",
    "StepReport",
    "Verdict",
    "VisualizationReport",
    "check",
    "comment",
    "redacted",
    "summary",
]
