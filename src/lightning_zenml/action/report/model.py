"""What a report tells: plain records, made by the Action, rendered by the templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import cast

from lightning_zenml.action.github.check_runs import Annotation
from lightning_zenml.action.report.numbers import BaseReport, CurveReport, MetricReport, Outcome, RuleReport
from lightning_zenml.action.report.visualizations.records import VisualizationReport
from lightning_zenml.launch.payload.usage.records import Usage
from lightning_zenml.launch.spec import Failure, Phase


class State(StrEnum):
    """Where a run stands, as far as a reader cares."""

    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """A step of a pipeline run.

    Args:
        name: name of the step's invocation.
        status: status in ZenML, or `waiting` for a step that has not begun.
        duration: seconds that the step took; of a running step so far.
        machine: name of the machine that the step runs on.
        job_url: page of the job that the step runs as; None for a step in the studio.
        start: when the step began.
        log: end of what the step printed, where it failed.
        usage: what was used of the machine while the step ran; None where that wasn't sampled.
    """

    name: str
    status: str
    duration: float | None = None
    machine: str | None = None
    job_url: str | None = None
    start: datetime | None = None
    log: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, kw_only=True)
class ArtifactReport:
    """A version of an artifact; `type` is ZenML's, `url` the page that shows it."""

    name: str
    version: str
    type: str
    url: str | None = None
    uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """A job at Lightning that a step runs as; `cost` is in US dollars so far, None where the price isn't known."""

    step: str
    machine: str
    url: str | None = None
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """A pipeline run; `status` is ZenML's, `run_url` its page in ZenML, `orchestrator_url` its page at Lightning.

    Args:
        run_name: name of the run.
        pipeline: name of the pipeline.
        run_url: page of the run in ZenML.
        orchestrator_url: page of the run at Lightning AI.
        status: status in ZenML.
        steps: steps of the run, those that have not begun last.
        edges: pairs of a step's name and the name of a step that waits for it.
        metrics: metrics in the order in which they are shown.
        curves: curves in the order in which they are shown.
        base: what the metrics are compared with; None: nothing.
        artifacts: artifact versions that the run has made.
        visualizations: how these look, those first that tell most at a glance.
    """

    run_name: str
    pipeline: str | None = None
    run_url: str | None = None
    orchestrator_url: str | None = None
    status: str | None = None
    steps: tuple[StepReport, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    metrics: tuple[MetricReport, ...] = ()
    curves: tuple[CurveReport, ...] = ()
    base: BaseReport | None = None
    artifacts: tuple[ArtifactReport, ...] = ()
    visualizations: tuple[VisualizationReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that can be told at one time; None and empty: not known yet.

    Args:
        state: where the run stands.
        pipeline: name of the pipeline, or the command as long as no run has begun.
        studio_name: name of the studio.
        studio_url: page of the studio.
        studio_deleted: whether the studio, and its page, is gone.
        machine: name of the studio's machine.
        warmth: how long that machine is kept for the next run, and at what price, in words.
        commit_sha: hash of the commit that runs.
        commit_url: page of the commit.
        branch: name of the commit's branch.
        leg: leg of the matrix.
        command: the command in a comment that has asked for it.
        runs: pipeline runs that the command started.
        jobs: Lightning jobs that steps run as.
        rules: the rules of `fail-if`, once they are judged.
        advice: which machines were larger than they had to be, in words.
        workflow_run_url: page of the workflow run.
        elapsed: seconds since the start.
        cost: US dollars that the run has cost so far, jobs among it.
        estimate: what it was expected to cost, in words.
        budget: what was left of the budgets before it, in words.
        failure: why the run failed.
        others: what else has kept it from being started.
        annotations: failures in files of the repository.
        launch_id: id of the launch.
        is_async: whether the workflow leaves the run to itself.
        stops_on_cancel: whether to cancel the workflow is to stop the run.
        updated: when all this was so.
    """

    state: State
    pipeline: str
    studio_name: str | None = None
    studio_url: str | None = None
    studio_deleted: bool = False
    machine: str | None = None
    warmth: str | None = None
    commit_sha: str | None = None
    commit_url: str | None = None
    branch: str | None = None
    leg: str | None = None
    command: str | None = None
    runs: tuple[RunReport, ...] = ()
    jobs: tuple[JobReport, ...] = ()
    rules: tuple[RuleReport, ...] = ()
    advice: tuple[str, ...] = ()
    workflow_run_url: str | None = None
    elapsed: float | None = None
    cost: float | None = None
    estimate: str | None = None
    budget: str | None = None
    failure: Failure | None = None
    others: tuple[Failure, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    launch_id: str | None = None
    is_async: bool = False
    stops_on_cancel: bool = True
    updated: datetime | None = None

    @property
    def orchestrator_url(self) -> str | None:
        """Page of the first run that has one."""
        return next((run.orchestrator_url for run in self.runs if run.orchestrator_url), None)

    @property
    def orchestrator_urls(self) -> tuple[str, ...]:
        """Pages of all runs at Lightning AI, each once: runs of one command share a studio."""
        return tuple(dict.fromkeys(run.orchestrator_url for run in self.runs if run.orchestrator_url))

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the pipelines that the command has run, each once; the command as long as no run has begun."""
        return tuple(dict.fromkeys(run.pipeline or run.run_name for run in self.runs)) or (self.pipeline,)

    @property
    def title(self) -> str:
        """What has run, in one line of plain text."""
        return ", ".join(self.pipelines[:3]) + (f" and {len(self.pipelines) - 3} more" if self.pipelines[3:] else "")

    @property
    def page(self) -> str | None:
        """Where to look at the run: at Lightning as long as its studio is there, then in ZenML."""
        in_zenml = next((run.run_url for run in self.runs if run.run_url), None)
        return in_zenml if self.studio_deleted else self.orchestrator_url or in_zenml

    @property
    def status(self) -> str:
        """ZenML's word for the state: it has none for a run whose workflow was cancelled but `stopped`."""
        return (State.STOPPED if self.state is State.CANCELLED else self.state).value

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in {State.STARTING, State.RUNNING}

    @property
    def is_refused(self) -> bool:
        """Whether it has failed before anything was started."""
        is_early = self.failure is not None and self.failure.phase is Phase.STARTING
        return is_early and self.state is State.FAILED and not (self.studio_name or self.launch_id)

    @property
    def failed_rules(self) -> tuple[RuleReport, ...]:
        """The rules for which the step fails, though the run is completed."""
        return tuple(rule for rule in self.rules if rule.outcome is Outcome.FAILED)

    @property
    def studio_cost(self) -> float | None:
        """US dollars for the studio's machine alone; None where that can't be told."""
        known = [job.cost for job in self.jobs if job.cost is not None]
        return None if self.cost is None or len(known) < len(self.jobs) else max(self.cost - sum(known), 0.0)


def redacted(report: Report, redact: Callable[[str], str]) -> Report:
    """The report with `redact` applied to every text in it; later is too late, escaping changes secrets too."""
    return cast(Report, _redacted(report, redact))


def _redacted(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str) and not isinstance(value, StrEnum):
        return redact(value)
    if isinstance(value, tuple):
        return tuple(_redacted(item, redact) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _redacted(getattr(value, field.name), redact) for field in fields(value)})
    return value
