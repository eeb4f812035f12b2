"""What the platform does with pipelines and their schedules: when asked, and by itself as time goes by.

Not known of the platform, and therefore a guess: that a pipeline runs as soon as it is made, whatever schedules follow
(lightning-sdk makes both by `Pipeline.run`, and the request that makes a pipeline can't tell); that a schedule which
is due makes a pipeline of its own, with `parentPipelineId` and `scheduleId`; that one which is due while its last run
goes on, and may not run in parallel, waits for its next time; and that what was missed is not made up for.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from ..knobs import Knobs
from ..server import ApiError
from .job_entities import Job, JobState
from .jobs import Jobs


@dataclass
class Pipeline:
    """A pipeline that runs or has run, as long as the stand-in runs: deleted ones are remembered.

    Args:
        name: unique in its teamspace among those not deleted that no schedule has started.
        project_id: the teamspace.
        body: PipelinesServiceCreatePipelineBody, as it was sent.
        parent: whose schedule has started it; None: it was made by a request.
        schedule_id: that has started it, or ''.
    """

    name: str
    project_id: str
    body: dict[str, Any]
    parent: Pipeline | None = None
    schedule_id: str = ""
    id: str = field(default_factory=lambda: f"pip_{uuid.uuid4().hex}")
    jobs: dict[str, Job] = field(default_factory=dict)
    error: str = ""
    created: float = field(default_factory=time.time)
    deleted: float | None = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Its steps (V1PipelineStep)."""
        steps: list[dict[str, Any]] = self.body["steps"]
        return steps

    @property
    def state(self) -> str:
        """PENDING, RUNNING, FAILED, STOPPED or COMPLETED."""
        states = [job.state for job in self.jobs.values()]
        if self.error or JobState.FAILED in states:
            return "FAILED"
        if JobState.STOPPED in states:
            return "STOPPED"
        if len(states) == len(self.steps) and all(state is JobState.COMPLETED for state in states):
            return "COMPLETED"
        return "RUNNING" if any(state is not JobState.PENDING for state in states) else "PENDING"

    @property
    def ended(self) -> bool:
        """Whether nothing comes after its state."""
        return self.state in ("FAILED", "STOPPED", "COMPLETED")


@dataclass
class Schedule:
    """When a pipeline runs by itself.

    Args:
        pipeline: that it runs.
        parent_id: under which it is listed: of `pipeline`, or of the one whose place that has taken.
        name: shown to users.
        cron: five fields.
        timezone: in which they are read, an IANA name.
        parallel: run also while the last run goes on.
        now: seconds since the epoch, by the clock of the schedules.
    """

    pipeline: Pipeline
    parent_id: str
    name: str
    cron: str
    timezone: str
    parallel: bool
    now: float
    id: str = field(default_factory=lambda: f"sch_{uuid.uuid4().hex}")
    next: float = 0.0
    last: Pipeline | None = None
    total: int = 0
    created: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.wait_for_next(self.now)

    def wait_for_next(self, now: float) -> None:
        """Sets `next` to the first time after `now`."""
        start = datetime.fromtimestamp(now, ZoneInfo(self.timezone))
        self.next = croniter(self.cron, start).get_next(datetime).timestamp()


class Pipelines:
    """All pipelines and schedules of the cloud. Not safe for threads: the cloud's lock is held around every call.

    Args:
        jobs: run the steps.
        knobs: how far the clock of the schedules is ahead.
    """

    def __init__(self, jobs: Jobs, knobs: Knobs) -> None:
        self.all: list[Pipeline] = []
        self.schedules: list[Schedule] = []
        self._jobs = jobs
        self._knobs = knobs

    def present(self, project_id: str) -> list[Pipeline]:
        """The pipelines of a teamspace, oldest first."""
        return [one for one in self.all if one.project_id == project_id and one.deleted is None]

    def get(self, project_id: str, pipeline_id: str) -> Pipeline:
        """The pipeline with this id.

        Raises:
            ApiError: 404.
        """
        for pipeline in self.present(project_id):
            if pipeline.id == pipeline_id:
                return pipeline
        raise ApiError(5, f"pipeline {pipeline_id} not found")

    def find(self, project_id: str, name: str) -> Pipeline | None:
        """The newest pipeline of this name that no schedule has started."""
        named = [one for one in self.present(project_id) if one.name == name and one.parent is None]
        return named[-1] if named else None

    def create(self, project_id: str, name: str, body: dict[str, Any]) -> Pipeline:
        """A new pipeline, which runs at once."""
        pipeline = Pipeline(name, project_id, body)
        self.all.append(pipeline)
        self._advance(pipeline)
        return pipeline

    def delete(self, pipeline: Pipeline) -> None:
        """Delete with all its runs, their jobs, and its schedules."""
        self.schedules = [one for one in self.schedules if one.pipeline is not pipeline]
        for one in self.present(pipeline.project_id):
            if pipeline in (one, one.parent):
                one.deleted = time.time()
                for job in one.jobs.values():
                    if job.deleted is None:
                        self._jobs.delete(job)

    def schedule(
        self, pipeline: Pipeline, parent_id: str, *, name: str, cron: str, timezone: str, parallel: bool
    ) -> Schedule:
        """A new schedule.

        Raises:
            ApiError: 400, the expression or the time zone is none.
        """
        if len(cron.split()) != 5 or not croniter.is_valid(cron):
            raise ApiError(3, f"invalid cron expression {cron!r}")
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise ApiError(3, f"unknown time zone {timezone!r}") from None
        schedule = Schedule(pipeline, parent_id, name, cron, timezone, parallel, self._now())
        self.schedules.append(schedule)
        return schedule

    def tick(self) -> None:
        """Let everything happen that is due."""
        now = self._now()
        for schedule in self.schedules:
            if now >= schedule.next:
                self._fire(schedule)
                schedule.wait_for_next(now)
        for pipeline in self.all:
            if pipeline.deleted is None and not pipeline.ended:
                self._advance(pipeline)

    def _now(self) -> float:
        return time.time() + self._knobs.schedule_clock_ahead

    def _fire(self, schedule: Schedule) -> None:
        if schedule.last is not None and not schedule.last.ended and not schedule.parallel:
            return
        parent = schedule.pipeline
        schedule.total += 1
        schedule.last = Pipeline(
            f"{parent.name}-{schedule.total}", parent.project_id, parent.body, parent=parent, schedule_id=schedule.id
        )
        self.all.append(schedule.last)
        self._advance(schedule.last)

    def _advance(self, pipeline: Pipeline) -> None:
        """Start the steps that need not wait any more."""
        for step in pipeline.steps:
            before = [pipeline.jobs.get(name) for name in step.get("waitFor") or ()]
            waits = any(job is None or job.state is not JobState.COMPLETED for job in before)
            if step["name"] in pipeline.jobs or waits:
                continue
            request = step["job"]
            spec = {**request["spec"], "pipelineId": pipeline.id}
            try:
                studio = self._jobs.studio_of(pipeline.project_id, spec)
                job = self._jobs.create(
                    request.get("name") or step["name"],
                    studio,
                    spec,
                    1,
                    int(spec.get("maxRunAttempts") or 1),
                    multi=False,
                )
            except ApiError as error:
                pipeline.error = error.message
                return
            pipeline.jobs[step["name"]] = job
