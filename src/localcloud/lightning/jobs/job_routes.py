"""The API of jobs and multi-machine jobs: translates between requests and `Jobs`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from ..accounts import Accounts
from ..knobs import Knobs
from ..server import ApiError, Call, Route
from .job_entities import Job, JobState, Node
from .jobs import Jobs

_PROJECT = "/v1/projects/{projectId}"
_JOBS = f"{_PROJECT}/jobs"
_MULTI = f"{_PROJECT}/multi-machine-jobs"
_LISTING = (
    *("cloudspaceId", "userId", "deploymentId", "multiMachineJobId", "standalone", "pageToken", "limit", "state"),
    *("sortBy", "sortOrder", "tagIds"),
)
_PAGE = 1000


class JobRoutes:
    """Handlers of the jobs' operations.

    Args:
        jobs: what they act on.
        accounts: knows the teamspaces.
        knobs: what is not implemented, and costs that settle late.
        url: of the server, for saved logs.
    """

    def __init__(self, jobs: Jobs, accounts: Accounts, knobs: Knobs, url: str) -> None:
        self._jobs = jobs
        self._accounts = accounts
        self._knobs = knobs
        self._url = url

    def routes(self) -> list[Route]:
        """All of them; `find` before the routes with an id, which would match it."""
        body = "JobsService{}Body".format
        answer = "V1{}Response".format
        job, multi = "V1Job", "V1MultiMachineJob"
        logs = ("mmtId", "since", "until", "query", "jobIds", "pageSize", "pageToken", "severity")
        saved = ("cloudspaceId", "deploymentId", "rank")
        tags = answer("SetWorkloadTags")
        return [
            Route("POST", _JOBS, self._create, body=body("CreateJob"), answer=job),
            Route("GET", _JOBS, self._list, query=_LISTING, answer=answer("ListJobs")),
            Route("GET", f"{_JOBS}/find", self._find, query=("name",), answer=job),
            Route("GET", f"{_JOBS}/{{id}}", self._get, query=("cloudspaceId",), answer=job),
            Route("PUT", f"{_JOBS}/{{id}}", self._update, body=body("UpdateJob"), answer=job),
            Route("DELETE", f"{_JOBS}/{{id}}", self._delete, query=("cloudspaceId",), answer=answer("DeleteJob")),
            Route("GET", f"{_JOBS}/{{id}}/download-logs", self._saved, query=saved, answer=answer("DownloadJobLogs")),
            Route("GET", "/storage/logs/{id}", self._saved_file, public=True),
            Route("GET", f"{_PROJECT}/page-logs", self._logs, query=logs, answer=answer("GetLogs")),
            Route("POST", _MULTI, self._create_multi, body=body("CreateMultiMachineJob"), answer=multi),
            Route(
                "GET",
                _MULTI,
                self._list_multi,
                query=("cloudspaceId", "userId", "standalone"),
                answer=answer("ListMultiMachineJobs"),
            ),
            Route("GET", f"{_MULTI}/{{name}}/getbyname", self._find_multi, answer=multi),
            Route("GET", f"{_MULTI}/{{id}}", self._get_multi, answer=multi),
            Route("PUT", f"{_MULTI}/{{id}}", self._update_multi, body=body("UpdateMultiMachineJob"), answer=multi),
            Route("DELETE", f"{_MULTI}/{{id}}", self._delete, answer=answer("DeleteMultiMachineJob")),
            Route("GET", f"{_PROJECT}/workload-tags", self._list_tags, answer=answer("ListWorkloadTags")),
            Route(
                "PUT",
                f"{_PROJECT}/workloads/{{kind}}/{{id}}/tags",
                self._tag,
                body=body("SetWorkloadTags"),
                answer=tags,
            ),
        ]

    def _create(self, call: Call) -> Any:
        job = self._new(call, machines=1, attempts=_spec(call).get("maxRunAttempts"), multi=False)
        return self._view(job, job.nodes[0])

    def _create_multi(self, call: Call) -> Any:
        machines = int(call.json.get("machines") or 0)
        if machines < 1:
            raise ApiError(3, "machines must be at least 1")
        attempts = call.json.get("maxRunAttempts") if call.json.get("faultTolerance") else None
        return self._view_multi(self._new(call, machines=machines, attempts=attempts, multi=True))

    def _new(self, call: Call, *, machines: int, attempts: int | None, multi: bool) -> Job:
        spec = _spec(call)
        studio = self._jobs.studio_of(self._project(call), spec)
        job = self._jobs.create(call.json.get("name") or "", studio, spec, machines, int(attempts or 1), multi=multi)
        job.tags = _tag_names(call.json.get("tags") or ())
        return job

    def _list(self, call: Call) -> Any:
        multi_id = call.query.get("multiMachineJobId")
        # lightning-sdk writes it as Python does.
        standalone = call.query.get("standalone", "").lower() == "true"
        found = [
            (job, node)
            for job in self._jobs.present(self._project(call))
            for node in job.nodes
            if (job.id == multi_id if multi_id else not (standalone and job.multi))
            and call.query.get("cloudspaceId") in (None, "", job.studio.id)
        ]
        start = int(call.query.get("pageToken") or 0)
        end = start + int(call.query.get("limit") or self._knobs.page_size)
        jobs = [self._view(job, node) for job, node in found[start:end]]
        return {"jobs": jobs, "nextPageToken": str(end) if end < len(found) else ""}

    def _list_multi(self, call: Call) -> Any:
        found = [job for job in self._jobs.present(self._project(call)) if job.multi]
        return {"multiMachineJobs": [self._view_multi(job) for job in found]}

    def _find(self, call: Call) -> Any:
        if self._knobs.find_job_status != 200:
            raise ApiError(12, "Not Implemented")
        for job in self._jobs.present(self._project(call)):
            for node in job.nodes:
                if node.name == call.query.get("name"):
                    return self._view(job, node)
        raise ApiError(5, "job not found")

    def _find_multi(self, call: Call) -> Any:
        for job in self._jobs.present(self._project(call)):
            if job.multi and job.name == call.params["name"]:
                return self._view_multi(job)
        raise ApiError(5, "multi-machine job not found")

    def _get(self, call: Call) -> Any:
        return self._view(*self._one(call))

    def _get_multi(self, call: Call) -> Any:
        return self._view_multi(self._one(call)[0])

    def _update(self, call: Call) -> Any:
        job, node = self._one(call)
        if set(call.json) - {"cloudspaceId"} != {"state"} or call.json["state"] != "stop":
            raise ApiError(12, "only the state 'stop'", refused=True)
        self._jobs.stop(job)
        return self._view(job, node)

    def _update_multi(self, call: Call) -> Any:
        job, _ = self._one(call)
        if call.json.get("desiredState") != _multi_state("STOP"):
            raise ApiError(12, "only the desired state STOP", refused=True)
        self._jobs.stop(job)
        return self._view_multi(job)

    def _delete(self, call: Call) -> Any:
        self._jobs.delete(self._one(call)[0])

    def _logs(self, call: Call) -> Any:
        ids = (call.query.get("jobIds"), call.query.get("mmtId"))
        if not any(ids):
            raise ApiError(3, "a job is required")
        jobs = [job for job in self._jobs.present(self._project(call)) if job.id in ids or _has_node(job, ids)]
        if not jobs:
            raise ApiError(5, "job not found")
        lines = [
            (line, node)
            for job in jobs
            if not (self._knobs.saved_logs_only and job.state.ended)
            for node in job.nodes
            if job.id in ids or node.id in ids
            for line in node.log
        ]
        since, until = (_seconds(call.query.get(name)) for name in ("since", "until"))
        terms = call.query.get("query", "").split()
        lines = [
            (line, node)
            for line, node in sorted(lines, key=lambda pair: pair[0].time)
            if (since is None or line.time >= since)
            and (until is None or line.time <= until)
            and all(term in line.text for term in terms)
        ]
        start = int(call.query.get("pageToken") or 0)
        end = start + int(call.query.get("pageSize") or _PAGE)
        entries = [
            {
                "line": str(line.number),
                "message": line.text,
                "resourceId": node.id,
                "severity": "info",
                "timestamp": _time(line.time),
            }
            for line, node in lines[start:end]
        ]
        return {"entries": entries, "nextPageToken": str(end) if end < len(lines) else ""}

    def _saved(self, call: Call) -> Any:
        job, node = self._one(call)
        if not job.state.ended:
            raise ApiError(5, "the logs are not there yet")
        return {"url": f"{self._url}/storage/logs/{node.id}"}

    def _saved_file(self, call: Call) -> Any:
        for job in self._jobs.all:
            for node in job.nodes:
                if node.id == call.params["id"]:
                    return Response("".join(f"[{_time(line.time)}] {line.text}\n" for line in node.log))
        raise ApiError(5, "not found")

    def _list_tags(self, call: Call) -> Any:
        project = self._project(call)
        return {"tags": _tags(sorted({tag for job in self._jobs.present(project) for tag in job.tags}))}

    def _tag(self, call: Call) -> Any:
        job, _ = self._one(call)
        job.tags = _tag_names(call.json.get("tags") or ())
        return {"tags": _tags(job.tags)}

    def _project(self, call: Call) -> str:
        return self._accounts.teamspace(call.params["projectId"]).id

    def _one(self, call: Call) -> tuple[Job, Node]:
        return self._jobs.get(self._project(call), call.params["id"])

    def _view(self, job: Job, node: Node) -> dict[str, Any]:
        view: dict[str, Any] = {
            "id": node.id,
            "name": node.name,
            "projectId": job.project_id,
            "userId": self._accounts.user_id,
            "state": job.state,
            "message": job.message,
            "createdAt": _time(job.created),
            "restartCount": job.attempt - 1,
            "interruptionNoticeReceived": job.interrupted is not None,
            "spec": {**job.spec, "rank": node.rank, "currentRunAttempt": job.attempt},
            "tags": _tags(job.tags),
            "totalCost": self._cost(job, [node]),
        }
        times = {
            "startedAt": job.started,
            "stoppedAt": job.stopped if job.state.ended else None,
            "interruptionNoticeReceivedAt": job.interrupted,
        }
        view |= {name: _time(value) for name, value in times.items() if value is not None}
        if job.multi:
            view["multiMachineJobId"] = job.id
        return view

    def _view_multi(self, job: Job) -> dict[str, Any]:
        status = {"message": job.message}
        if job.started is not None:
            status["startedAt"] = _time(job.started)
        if job.stopped is not None and job.state.ended:
            status["stoppedAt"] = _time(job.stopped)
        stopping = job.next_state is JobState.STOPPED
        return {
            "id": job.id,
            "name": job.name,
            "projectId": job.project_id,
            "userId": self._accounts.user_id,
            "cloudspaceId": job.studio.id,
            "machines": len(job.nodes),
            "message": job.message,
            "createdAt": _time(job.created),
            "currentRunAttempt": job.attempt,
            "maxRunAttempts": job.max_attempts,
            "desiredState": _multi_state("STOP" if stopping else "RUNNING"),
            "state": _multi_state(_MULTI_STATES.get(job.state, job.state.name)),
            "status": status,
            "spec": job.spec,
            "tags": _tags(job.tags),
            "totalCost": self._cost(job, job.nodes),
        }

    def _cost(self, job: Job, nodes: list[Node]) -> float:
        stopped = job.stopped if job.state.ended else None
        if stopped is not None and time.time() - stopped < self._knobs.cost_delay_seconds:
            return 0.0
        return sum(interval.cost for node in nodes for interval in node.intervals)


# What a multi-machine job calls the states that only jobs have.
_MULTI_STATES = {
    JobState.RESTARTING: "RUNNING",
    JobState.STOPPING: "STOP",
    JobState.COMPLETE: "RUNNING",
    JobState.FAIL: "RUNNING",
}


def _multi_state(name: str) -> str:
    return f"MultiMachineJob_STATE_{name}"


def _spec(call: Call) -> dict[str, Any]:
    spec: dict[str, Any] = call.json.get("spec") or {}
    return spec


def _has_node(job: Job, ids: tuple[str | None, ...]) -> bool:
    return any(node.id in ids for node in job.nodes)


def _tag_names(names: Any) -> list[str]:
    """In lower case and with single blanks, as the SDK says the platform does it."""
    return [re.sub(r"\s+", " ", name.strip().lower()) for name in names]


def _tags(names: list[str]) -> list[dict[str, Any]]:
    return [{"id": f"tag-{name}", "name": name} for name in names]


def _seconds(value: str | None) -> float | None:
    return datetime.fromisoformat(value).timestamp() if value else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
