"""The API of pipelines and schedules: translates between requests and `Pipelines`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..accounts import Accounts
from ..server import ApiError, Call, Route
from .jobs import Jobs
from .pipelines import Pipeline, Pipelines, Schedule

_PROJECT = "/v1/projects/{projectId}"
_PIPELINES = f"{_PROJECT}/pipelines"
_SCHEDULES = f"{_PROJECT}/schedules"
_JOB = "PIPELINE_STEP_TYPE_JOB"


class PipelineRoutes:
    """Handlers of the operations on pipelines and their schedules.

    Args:
        pipelines: what they act on.
        jobs: know whether a step can be run.
        accounts: knows the teamspaces.
    """

    def __init__(self, pipelines: Pipelines, jobs: Jobs, accounts: Accounts) -> None:
        self._pipelines = pipelines
        self._jobs = jobs
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """All of them."""
        pipeline, schedule = "V1Pipeline", "V1Schedule"
        listing = ("parentResourceId", "resourceId")
        return [
            Route("POST", _PIPELINES, self._create, body="PipelinesServiceCreatePipelineBody", answer=pipeline),
            Route("GET", _PIPELINES, self._list, query=("parentPipelineId",), answer="V1ListPipelinesResponse"),
            Route("GET", f"{_PIPELINES}/{{name}}/getbyname", self._find, answer=pipeline),
            Route("GET", f"{_PIPELINES}/{{id}}", self._get, answer=pipeline),
            Route("DELETE", f"{_PIPELINES}/{{id}}", self._delete, answer="V1DeletePipelineResponse"),
            Route("POST", _SCHEDULES, self._schedule, body="SchedulesServiceCreateScheduleBody", answer=schedule),
            Route("GET", _SCHEDULES, self._list_schedules, query=listing, answer="V1ListSchedulesResponse"),
            Route("DELETE", f"{_SCHEDULES}/{{id}}", self._unschedule, answer="V1DeleteScheduleResponse"),
        ]

    def _create(self, call: Call) -> Any:
        project, body = self._project(call), call.json
        name = body.get("name")
        if not name:
            raise ApiError(3, "name is required")
        if not body.get("steps"):
            raise ApiError(3, "a pipeline needs a step")
        parent = body.get("parentPipelineId")
        if parent:
            self._pipelines.get(project, parent)
        elif self._pipelines.find(project, name):
            raise ApiError(6, f"pipeline {name} already exists")
        self._check_steps(project, body["steps"])
        return self._view(self._pipelines.create(project, name, body))

    def _check_steps(self, project: str, steps: list[dict[str, Any]]) -> None:
        before: set[str] = set()
        for step in steps:
            if step.get("type") != _JOB or (step.get("job") or {}).get("spec") is None:
                raise ApiError(12, "only steps that are jobs", refused=True)
            if not step.get("name") or step["name"] in before:
                raise ApiError(3, "every step needs a name of its own")
            if not before.issuperset(step.get("waitFor") or ()):
                raise ApiError(3, f"step {step['name']} waits for a step that does not come before it")
            before.add(step["name"])
            self._jobs.studio_of(project, step["job"]["spec"])

    def _list(self, call: Call) -> Any:
        parent = call.query.get("parentPipelineId")
        found = self._pipelines.present(self._project(call))
        return {"pipelines": [self._view(one) for one in found if not parent or parent == _parent_id(one)]}

    def _find(self, call: Call) -> Any:
        found = self._pipelines.find(self._project(call), call.params["name"])
        if found is None:
            raise ApiError(5, f"pipeline {call.params['name']} not found")
        return self._view(found)

    def _get(self, call: Call) -> Any:
        return self._view(self._one(call))

    def _delete(self, call: Call) -> Any:
        self._pipelines.delete(self._one(call))

    def _schedule(self, call: Call) -> Any:
        body = call.json
        if body.get("resourceType") != "PIPELINE":
            raise ApiError(12, "only schedules of pipelines", refused=True)
        project, resource = self._project(call), body.get("resourceId") or ""
        schedule = self._pipelines.schedule(
            self._pipelines.get(project, resource),
            self._pipelines.get(project, body.get("parentResourceId") or resource).id,
            name=body.get("displayName") or "",
            cron=body.get("cronExpression") or "",
            timezone=body.get("timezone") or "UTC",
            parallel=bool(body.get("parallelRuns")),
        )
        return self._view_schedule(schedule)

    def _list_schedules(self, call: Call) -> Any:
        project, query = self._project(call), call.query
        return {
            "schedules": [
                self._view_schedule(one)
                for one in self._pipelines.schedules
                if one.pipeline.project_id == project
                and query.get("parentResourceId") in (None, "", one.parent_id)
                and query.get("resourceId") in (None, "", one.pipeline.id)
            ]
        }

    def _unschedule(self, call: Call) -> Any:
        project = self._project(call)
        for schedule in self._pipelines.schedules:
            if schedule.id == call.params["id"] and schedule.pipeline.project_id == project:
                self._pipelines.schedules.remove(schedule)
                return
        raise ApiError(5, f"schedule {call.params['id']} not found")

    def _project(self, call: Call) -> str:
        return self._accounts.teamspace(call.params["projectId"]).id

    def _one(self, call: Call) -> Pipeline:
        return self._pipelines.get(self._project(call), call.params["id"])

    def _view(self, pipeline: Pipeline) -> dict[str, Any]:
        return {
            "id": pipeline.id,
            "name": pipeline.name,
            "projectId": pipeline.project_id,
            "userId": self._accounts.user_id,
            "parentPipelineId": _parent_id(pipeline) or pipeline.body.get("parentPipelineId") or "",
            "scheduleId": pipeline.schedule_id,
            "state": f"PIPELINE_STATE_{pipeline.state}",
            "error": pipeline.error,
            "createdAt": _time(pipeline.created),
            "steps": pipeline.steps,
            "sharedFilesystem": pipeline.body.get("sharedFilesystem") or {"enabled": False},
            "statuses": [
                {
                    "name": step,
                    "type": _JOB,
                    "state": job.state,
                    "resourceId": job.id,
                    "resourceName": job.name,
                }
                for step, job in pipeline.jobs.items()
            ],
        }

    def _view_schedule(self, schedule: Schedule) -> dict[str, Any]:
        return {
            "id": schedule.id,
            "displayName": schedule.name,
            "projectId": schedule.pipeline.project_id,
            "userId": self._accounts.user_id,
            "cronExpression": schedule.cron,
            "timezone": schedule.timezone,
            "parallelRuns": schedule.parallel,
            "resourceId": schedule.pipeline.id,
            "parentResourceId": schedule.parent_id,
            "resourceType": "PIPELINE",
            "createdAt": _time(schedule.created),
            "next": _time(schedule.next),
            "total": schedule.total,
        }


def _parent_id(pipeline: Pipeline) -> str:
    return pipeline.parent.id if pipeline.parent else ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
