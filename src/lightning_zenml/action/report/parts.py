"""Parts of a report, made of what ZenML and the launch's records say, and these of each other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from lightning_zenml.action.report import ArtifactReport, JobReport, StepReport
from lightning_zenml.action.report.usage.words import usage_of
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.spec import Phase, Status
from lightning_zenml.zenml_api.models import Artifact, Run, Step


def step_report(step: Step, machine: str | None, job: JobRecord | None) -> StepReport:
    """A step.

    Args:
        step: as ZenML has it.
        machine: name of the studio's machine; None where it isn't known.
        job: the Lightning job that it runs as; None: it runs in the studio.
    """
    end = step.end or (None if step.status != "running" else datetime.now(UTC))
    return StepReport(
        name=step.name,
        status=step.status,
        duration=(end - step.start).total_seconds() if step.start and end else None,
        machine=_machines(job) if job else machine,
        job_url=job.url if job else None,
        start=step.start,
        usage=usage_of(step),
    )


def job_report(record: JobRecord) -> JobReport:
    """A Lightning job, with what it has cost so far."""
    return JobReport(step=record.step, machine=_machines(record), url=record.url, cost=record.cost)


def artifact_report(artifact: Artifact) -> ArtifactReport:
    """A version of an artifact."""
    return ArtifactReport(
        name=artifact.name, version=artifact.version, type=artifact.type, url=artifact.url, uri=artifact.uri
    )


def end_of_launch(runs: Iterable[Run], launch_id: str | None) -> Status:
    """How a launch ended that nobody saw the end of, as its payload has told ZenML.

    Args:
        runs: its runs, which have ended.
        launch_id: its id; None where that isn't known.

    Returns:
        Its record; without an exit code, a failure or a stop where nothing is known but how the runs ended.
    """
    ends = [end.status for run in runs if launch_id and (end := run.end_of(launch_id))]
    return ends[-1] if ends else Status(phase=Phase.FINISHED)


def record_of(run: Run) -> RunRecord:
    """A run as its controller would have recorded it."""
    return RunRecord(
        run_id=run.id,
        run_name=run.name,
        pipeline=run.pipeline,
        run_url=run.url,
        orchestrator_url=run.orchestrator_url or "",
    )


def _machines(job: JobRecord) -> str:
    return f"{job.num_machines} x {job.machine}" if job.num_machines > 1 else job.machine
