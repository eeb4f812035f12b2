"""A job: a command on machines of its own, from a snapshot of a studio. Verbs only, as in studio.py.

What the platform does with jobs, and what follows from it for whoever runs one:

- A job starts from a snapshot of the *whole* studio, and what it changes in its home is kept as artifacts that the
  teamspace can read: nothing secret may lie in the studio's home. Secrets travel as `environment`.
- The command is part of the job's public description and is run with `set -e`: no secret in it either.
- Names are rewritten: slugified, and changed when they are taken. The id is what counts; `name` is the platform's.
- Lightning reports no exit code. The command is wrapped: it writes its own into a file under the home, which comes back
  as an artifact a short while later.
- `max_runtime` is a reservation, not a limit (docstring of lightning-sdk's `Job.run`). Ours is kept by `timeout`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import requests
from lightning_sdk.lightning_cloud.openapi import (
    JobsServiceUpdateJobBody,
    JobsServiceUpdateMultiMachineJobBody,
    V1MultiMachineJobState,
)

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning import job_request
from lightning_zenml.launch.lightning.client import ApiError, Lightning, UnreachableError
from lightning_zenml.launch.lightning.job_spec import JobSpec
from lightning_zenml.launch.lightning.studio import Studio

TIMED_OUT = job_request.TIMED_OUT

_MULTI_PREFIX = "MultiMachineJob_STATE_"


class JobError(LaunchError):
    """The job can't be started, or the platform refuses a request."""


class JobLostError(JobError):
    """The job was deleted."""


class JobPhase(StrEnum):
    """Where a job stands. The last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing comes after it."""
        return self in (JobPhase.STOPPED, JobPhase.COMPLETED, JobPhase.FAILED)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the platform says of a job.

    Args:
        phase: where it stands.
        message: the platform's words, often none.
        attempt: which one it is, from 1.
        interrupted: it lost an interruptible machine at least once.
        cost: US dollars. Provisional: stays 0 for a minute or so after the end, and rises for some more.
        exit_code: of the command (of rank 0 when there are several machines), once the job has ended. None before,
            when the command never got to its end, and for a short while after the end until the artifacts are there;
            for good where Lightning refuses to give it.
    """

    phase: JobPhase
    message: str = ""
    attempt: int = 1
    interrupted: bool = False
    cost: float = 0.0
    exit_code: int | None = None


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a job's log.

    Args:
        machine: id of the machine that wrote it.
        number: of the line on that machine; '' where the platform has forgotten.
        timestamp: when it was written, with a time zone.
        message: the text, ANSI codes included.
    """

    machine: str
    number: str
    timestamp: datetime | None
    message: str


class Job:
    """A job or multi-machine job of the teamspace.

    Args:
        id: of the job; per-job requests know no names.
        name: as the platform has named it.
        token: tells the job's command from every other; names its result file.
        studio_name: studio that it comes from.
        num_machines: more than one: a multi-machine job.
    """

    def __init__(
        self, lightning: Lightning, *, id: str, name: str, token: str, studio_name: str, num_machines: int = 1
    ) -> None:
        self._lightning = lightning
        self.id = id
        self.name = name
        self.token = token
        self.studio_name = studio_name
        self.num_machines = num_machines

    @classmethod
    def run(cls, lightning: Lightning, studio: Studio, spec: JobSpec) -> Job:
        """Starts a job; `state` tells how it goes.

        A lost answer makes no second job: the token is looked for among the jobs before anything is sent again.

        Args:
            lightning: the teamspace.
            studio: whose files and Python environment the job gets; may be stopped as soon as this returns.
            spec: what the job is to be.

        Raises:
            JobError: the platform refuses, or no answer tells whether there is a job.
        """
        request = job_request.build(spec, studio_id=studio.id, cluster=studio.cluster)
        try:
            made = job_request.send_once(lightning, request, spec.token)
        except (UnreachableError, ApiError) as error:
            raise JobError(f"Can't start the job '{spec.name}': {error}") from None
        return cls._of(lightning, made, studio_name=studio.name, token=spec.token, num_machines=spec.num_machines)

    @classmethod
    def find(cls, lightning: Lightning, studio: Studio, token: str, *, num_machines: int = 1) -> Job | None:
        """The job that was started with this token, or None: how a controller that was restarted finds its jobs."""
        found = job_request.find(lightning, token, num_machines)
        if not found:
            return None
        return cls._of(lightning, found[0], studio_name=studio.name, token=token, num_machines=num_machines)

    @staticmethod
    def end_all(lightning: Lightning, launch_id: str) -> None:
        """Deletes the jobs of a launch that have not ended: of those whose token begins with its id.

        Raises:
            LaunchError: the platform refuses, or can't be reached; all have had their turn.
        """
        failure: LaunchError | None = None
        for num_machines in (1, 2):
            for raw in job_request.find(lightning, launch_id, num_machines):
                if not _phase(raw.state).ended:
                    job = Job(lightning, id=raw.id, name=raw.name, token="", studio_name="", num_machines=num_machines)
                    try:
                        job.delete()
                    except LaunchError as error:
                        failure = failure or error
        if failure is not None:
            raise failure

    @property
    def url(self) -> str:
        """Where users look at the job."""
        lightning = self._lightning
        teamspace = f"{lightning.url}/{lightning.owner}/{lightning.teamspace}"
        if self.num_machines > 1:
            return f"{teamspace}/jobs/{self.name}?app_id=mmt"
        return f"{teamspace}/studios/{self.studio_name}/app?app_id=jobs&job_name={self.name}"

    @property
    def cost(self) -> float:
        """US dollars so far; see `JobState.cost`."""
        return float(self._get().total_cost or 0.0)

    def state(self) -> JobState:
        """Asks the platform.

        Raises:
            JobLostError: the job is gone.
        """
        raw = self._get()
        phase = _phase(raw.state)
        attempt = raw.current_run_attempt if self.num_machines > 1 else raw.spec.current_run_attempt
        return JobState(
            phase=phase,
            message=raw.message or "",
            attempt=attempt or 1,
            interrupted=bool(getattr(raw, "interruption_notice_received", False)),
            cost=float(raw.total_cost or 0.0),
            exit_code=self._exit_code() if phase.ended else None,
        )

    def logs(self, since: datetime | None = None) -> list[LogLine]:
        """What the command wrote, of all machines, in order; nothing while the job is pending.

        Args:
            since: with a time zone; lines written then come again, so compare machine and number.

        Raises:
            JobLostError: the job is gone.
        """
        selector: dict[str, Any] = {"mmt_id": self.id} if self.num_machines > 1 else {"job_ids": [self.id]}
        if since is not None:
            selector["since"] = since.isoformat()
        lines: list[LogLine] = []
        token: str | None = None
        while token is None or token:
            page = {"page_token": token} if token else {}
            answer = self._call(self._lightning.client.jobs_service_get_logs, **selector, **page)
            lines += [
                LogLine(
                    machine=entry.resource_id or "",
                    number=entry.line or "",
                    timestamp=entry.timestamp,
                    message=entry.message or "",
                )
                for entry in answer.entries or []
            ]
            token = answer.next_page_token or ""
        # lightning-sdk drops this first line too: it is the platform's own.
        return [line for line in lines if line.message != "+ lightning"]

    def stop(self) -> None:
        """Asks the platform to stop the machines. Harmless when the job has ended or is gone."""
        client = self._lightning.client
        try:
            if _phase(self._get().state).ended:
                return
            if self.num_machines > 1:
                multi = JobsServiceUpdateMultiMachineJobBody(desired_state=V1MultiMachineJobState.STOP)
                self._call(client.jobs_service_update_multi_machine_job, body=multi, id=self.id)
            else:
                self._call(client.jobs_service_update_job, body=JobsServiceUpdateJobBody(state="stop"), id=self.id)
        except JobLostError:
            return

    def delete(self) -> None:
        """Deletes the job with its log and artifacts, running or not. Harmless when it is gone."""
        try:
            self._call(job_request.delete_operation(self._lightning, self.num_machines), id=self.id)
        except JobLostError:
            return

    @classmethod
    def _of(cls, lightning: Lightning, raw: Any, *, studio_name: str, token: str, num_machines: int) -> Job:
        return cls(lightning, id=raw.id, name=raw.name, token=token, studio_name=studio_name, num_machines=num_machines)

    def _get(self) -> Any:
        client = self._lightning.client
        multi = self.num_machines > 1
        return self._call(
            client.jobs_service_get_multi_machine_job if multi else client.jobs_service_get_job, id=self.id
        )

    def _call(self, operation: Callable[..., Any], **kwargs: Any) -> Any:
        try:
            return self._lightning.call(operation, project_id=self._lightning.teamspace_id, **kwargs)
        except ApiError as error:
            if error.status == 404:
                raise JobLostError(f"The job '{self.name}' is gone (404): it was deleted.") from None
            raise

    def _exit_code(self) -> int | None:
        first = f"{self.name}-0" if self.num_machines > 1 else self.name
        path = f"jobs/{first}/{job_request.result_file(self.token)}"
        try:
            text = self._lightning.call(_download, self._lightning, path)
        except LaunchError:
            # That the job has ended is known all the same.
            return None
        return int(text) if text is not None and text.strip().isdigit() else None


def _download(lightning: Lightning, path: str) -> str | None:
    """A small file of the teamspace's drive; None when there is none. The generated client has no such operation."""
    response = requests.get(
        f"{lightning.url}/v1/projects/{lightning.teamspace_id}/artifacts/blobs/{path}",
        headers={"Authorization": lightning.credentials.authorization},
        timeout=30,
    )
    if response.status_code == 404:
        return None
    if not response.ok:
        raise ApiError(response.status_code, response.reason)
    return response.text


def _phase(state: object) -> JobPhase:
    """The platform's state in ours; an unknown one is pending, as lightning-sdk takes it."""
    return _PHASES.get(str(state).removeprefix(_MULTI_PREFIX).lower(), JobPhase.PENDING)


# `complete` and `fail`: the command has ended, its log and artifacts are still being collected.
_PHASES = {
    **{phase.value: phase for phase in JobPhase},
    "stop": JobPhase.STOPPING,
    "delete": JobPhase.STOPPING,
    "complete": JobPhase.STOPPING,
    "fail": JobPhase.STOPPING,
    "deleted": JobPhase.STOPPED,
}
