"""Parts of a report, made of what ZenML and the launch's records say."""

from __future__ import annotations

from datetime import UTC, datetime

from lightning_zenml.action.report import ArtifactReport, JobReport, StepReport
from lightning_zenml.action.report.usage.words import usage_of
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.zenml_api.models import Artifact, Step


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


def _machines(job: JobRecord) -> str:
    return f"{job.num_machines} x {job.machine}" if job.num_machines > 1 else job.machine
