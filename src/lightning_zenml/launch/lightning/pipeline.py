"""A pipeline: one job, run by the platform whenever a schedule is due. Verbs only, as in job.py.

What the platform does with pipelines, and what follows from it:

- A pipeline can be made by the API alone, and only what lightning-sdk sends is known of it. Its schedules are made,
  listed and deleted; that they could be changed or paused is nowhere used. So a schedule is changed by a new one in
  its place, and paused by its removal.
- The request that makes a pipeline can't tell of schedules to come: a pipeline is expected to run once at once. Whoever
  gives the command must tell this run from the later ones, see `Execution.scheduled`.
- Each time that a schedule is due the platform makes a pipeline of its own, with the same job; the job finds its id in
  `LIGHTNING_PIPELINE_ID` (`Pipeline.from_env` of lightning-sdk).
- What job.py says of names, homes, commands and environments holds for a pipeline's job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from lightning_sdk.lightning_cloud.openapi import (
    JobsServiceUpdateJobBody,
    PipelinesServiceCreatePipelineBody,
    SchedulesServiceCreateScheduleBody,
    V1PipelineStep,
    V1PipelineStepType,
    V1ScheduleResourceType,
    V1SharedFilesystem,
)
from lightning_sdk.pipeline import Schedule

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning import answers, job_request
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, UnreachableError
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.records import PipelineAnswer
from lightning_zenml.launch.lightning.studio import Studio

PIPELINE_ID = "LIGHTNING_PIPELINE_ID"
"""Variable of a pipeline's job: id of the execution that it is part of."""
ID_PREFIX = "pip_"
"""Ids of pipelines and executions begin with it (`lightning_sdk/api/pipeline_api.py`)."""

_STEP = "run"


class LightningPipeline:
    """A pipeline of the teamspace whose one step is a job.

    Args:
        lightning: teamspace of the pipeline.
        id: id of the pipeline.
        name: name of the pipeline, unique in the teamspace.
        command: bash script of each execution, where it was listed.
    """

    def __init__(self, lightning: Lightning, *, id: str, name: str, command: str = "") -> None:
        self._lightning = lightning
        self.id = id
        self.name = name
        self.command = command

    @classmethod
    def create(cls, lightning: Lightning, studio: Studio, job: JobSpec) -> LightningPipeline:
        """Makes a pipeline, which the platform runs once; `schedule` makes it run again.

        Args:
            lightning: teamspace of the pipeline.
            studio: studio whose files and Python environment the job gets; must stay as long as the pipeline.
            job: command and machine of each execution. Its name is the pipeline's too: lower-case letters, digits and
                hyphens, not taken yet.

        Raises:
            ApiError: when the platform refuses.
            UnreachableError: when no answer comes, and there is no such pipeline.
        """
        name = job.name
        request = job_request.build(job, studio_id=studio.id, cluster=studio.cluster)
        body = PipelinesServiceCreatePipelineBody(
            name=name,
            steps=[V1PipelineStep(name=_STEP, type=V1PipelineStepType.JOB, wait_for=[], job=request)],
            shared_filesystem=V1SharedFilesystem(enabled=False),
            parent_pipeline_id="",
            continue_on_step_failure=False,
            interruption_retry_limit=0,
        )
        create = lightning.client.pipelines_service_create_pipeline
        try:
            made = lightning.ask(answers.named, create, body, lightning.teamspace_id, idempotent=False)
        except (UnreachableError, ApiError) as error:
            # The answer may be lost while the pipeline exists.
            found = None if _is_refusal(error) else cls.find(lightning, name)
            if found is None:
                raise
            return found
        return cls(lightning, id=made.id, name=made.name)

    @classmethod
    def find(cls, lightning: Lightning, name: str) -> LightningPipeline | None:
        """The pipeline of that name, or None."""
        get = lightning.client.pipelines_service_get_pipeline_by_name
        try:
            found = lightning.ask(answers.named, get, project_id=lightning.teamspace_id, name=name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return cls(lightning, id=found.id, name=found.name)

    @classmethod
    def all(cls, lightning: Lightning) -> list[LightningPipeline]:
        """The teamspace's pipelines whose step runs as `create` has it run, whoever called it; no executions."""
        found: list[PipelineAnswer] = []
        following: str | None = None
        while following is None or following:
            wanted: dict[str, Any] = {"page_token": following} if following else {}
            listing = lightning.client.pipelines_service_list_pipelines
            page = lightning.ask(answers.pipeline_page, listing, project_id=lightning.teamspace_id, **wanted)
            found += page.pipelines
            following = page.following
        return [
            cls(lightning, id=one.id, name=one.name, command="\n".join(one.commands))
            for one in found
            if not one.parent and any(map(job_request.token_of, one.commands))
        ]

    @property
    def url(self) -> str:
        """Where users look at the pipeline and its runs."""
        return f"{self._lightning.page}/pipelines/{self.name}?app_id=pipeline"

    def schedule(self, cron: str, *, name: str, timezone: str | None = None) -> None:
        """Lets the pipeline run by this schedule, and by no other any more; never twice at the same time.

        Args:
            cron: cron expression of five fields.
            name: name that users see.
            timezone: time zone of the expression, one of `timezones`; None: UTC.

        Raises:
            ApiError: when the platform refuses; the schedule before stays then.
        """
        before = self._schedules()
        body = SchedulesServiceCreateScheduleBody(
            cron_expression=cron,
            display_name=name,
            resource_id=self.id,
            parent_resource_id=self.id,
            resource_type=V1ScheduleResourceType.PIPELINE,
            timezone=timezone,
            parallel_runs=False,
        )
        create = self._lightning.client.schedules_service_create_schedule
        try:
            self._lightning.call(create, body, self._lightning.teamspace_id, idempotent=False)
        except (UnreachableError, ApiError) as error:
            if _is_refusal(error) or not set(self._schedules()) - set(before):
                raise
        self._unschedule(before)

    def unschedule(self) -> None:
        """Lets the pipeline run no more; a run under way goes on."""
        self._unschedule(self._schedules())

    def delete(self) -> None:
        """Deletes the pipeline with its schedules and runs, also one that is under way. Harmless when it is gone."""
        self.unschedule()
        self._delete(self._lightning.client.pipelines_service_delete_pipeline, self.id)

    def _schedules(self) -> list[str]:
        return self._lightning.ask(
            answers.schedules,
            self._lightning.client.schedules_service_list_schedules,
            self._lightning.teamspace_id,
            parent_resource_id=self.id,
        )

    def _unschedule(self, schedules: list[str]) -> None:
        for schedule in schedules:
            self._delete(self._lightning.client.schedules_service_delete_schedule, schedule)

    def _delete(self, operation: Callable[..., Any], id: str) -> None:
        try:
            self._lightning.call(operation, self._lightning.teamspace_id, id)
        except ApiError as error:
            if error.status != 404:
                raise


@dataclass(frozen=True)
class Execution:
    """One run of a pipeline, as it was when it was asked for.

    Args:
        lightning: teamspace of the pipeline.
        scheduled: whether a schedule has started it; otherwise it came with the making of the pipeline.
        ended: whether nothing comes any more.
        jobs: ids of its jobs.
    """

    lightning: Lightning
    scheduled: bool
    ended: bool
    jobs: tuple[str, ...]

    @classmethod
    def find(cls, lightning: Lightning, id: str) -> Execution | None:
        """The execution with the id that its job has in `PIPELINE_ID`; None when Lightning knows none."""
        get = lightning.client.pipelines_service_get_pipeline
        try:
            state = lightning.ask(answers.execution_state, get, project_id=lightning.teamspace_id, id=id)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return cls(lightning, scheduled=state.scheduled, ended=state.ended, jobs=state.jobs)

    def stop(self) -> None:
        """Asks the platform to stop its jobs. Harmless when they have ended or are gone."""
        for job in self.jobs:
            try:
                self.lightning.call(
                    self.lightning.client.jobs_service_update_job,
                    project_id=self.lightning.teamspace_id,
                    id=job,
                    body=JobsServiceUpdateJobBody(state="stop"),
                )
            except ApiError as error:
                if error.status >= 500:
                    raise


def remove(lightning: Lightning, name: str) -> None:
    """Removes a schedule's pipeline, and the studio of its own if it has one.

    Args:
        lightning: teamspace of the pipeline.
        name: name of the pipeline, and of that studio.
    """
    if pipeline := LightningPipeline.find(lightning, name):
        pipeline.delete()
    if studio := Studio.find(lightning, name):
        studio.delete()


def timezones() -> tuple[str, ...]:
    """The time zones that a schedule can have, as lightning-sdk's `Schedule` lists them; UTC is none of them."""
    optional = get_type_hints(Schedule)["timezone"]
    names: tuple[str, ...] = get_args(get_args(optional)[0])
    return names


def _is_refusal(error: LaunchError) -> bool:
    """Whether the request was surely not carried out."""
    return isinstance(error, ApiError) and error.is_refusal and error.status != 409
