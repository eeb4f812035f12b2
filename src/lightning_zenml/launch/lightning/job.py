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
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from lightning_sdk.lightning_cloud.openapi import (
    JobsServiceUpdateJobBody,
    JobsServiceUpdateMultiMachineJobBody,
    V1MultiMachineJobState,
)

from lightning_zenml.codes import Code
from lightning_zenml.http_session import Authorization, Session
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning import answers, ending, job_request
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, UnreachableError
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.records import JobAnswer, JobPhase, JobState, LogLine
from lightning_zenml.launch.lightning.studio import Studio

T = TypeVar("T")


class JobError(LaunchError):
    """The job can't be started, or the platform refuses a request."""

    code = Code.JOB


class JobLostError(JobError):
    """The job was deleted."""


class Job:
    """A job or multi-machine job of the teamspace.

    Args:
        lightning: teamspace of the job.
        id: id of the job; requests about one job know no names.
        name: the platform's name for it.
        token: word by which it is told from every other job; names its result file.
        studio_name: name of the studio that it was started from; '' where that isn't known.
        num_machines: number of its machines; more than one make a multi-machine job.
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
            lightning: teamspace of the job.
            studio: studio whose files and Python environment the job gets; may be stopped as soon as this returns.
            spec: command and machines of the job.

        Raises:
            JobError: when the platform refuses, or no answer tells whether there is a job.
        """
        request = job_request.build(spec, studio_id=studio.id, cluster=studio.cluster)
        try:
            made = job_request.send_once(lightning, request, spec.token)
        except (UnreachableError, ApiError) as error:
            raise JobError(f"Can't start the job '{spec.name}': {error}") from None
        return cls._of(lightning, made, studio_name=studio.name, token=spec.token, num_machines=spec.num_machines)

    @classmethod
    def find(cls, lightning: Lightning, studio: Studio, token: str, *, num_machines: int = 1) -> Job | None:
        """The job that was started with this token, or None: how a controller that was restarted finds its jobs.

        Args:
            lightning: teamspace of the job.
            studio: studio that the job was started from.
            token: word by which it is told from every other job.
            num_machines: number of its machines.
        """
        found = job_request.find(lightning, token, num_machines)
        if not found:
            return None
        return cls._of(lightning, found[0], studio_name=studio.name, token=token, num_machines=num_machines)

    @classmethod
    def all_unended(cls, lightning: Lightning) -> list[Job]:
        """The teamspace's jobs that have not ended and that `run` has started, whoever called it."""
        return [
            cls._of(lightning, record, studio_name="", token=token, num_machines=num_machines)
            for num_machines in (1, 2)
            for record in job_request.find(lightning, "", num_machines)
            if not record.state.phase.ended and (token := job_request.token_of(record.command))
        ]

    @staticmethod
    def end_all(lightning: Lightning, launch_id: str) -> None:
        """Deletes the jobs of a launch that have not ended: of those whose token begins with its id.

        Args:
            lightning: teamspace of the jobs.
            launch_id: id of the launch.

        Raises:
            LaunchError: when the platform refuses, or can't be reached; each job has had its turn then.
        """
        failure: LaunchError | None = None
        for num_machines in (1, 2):
            try:
                found = job_request.find(lightning, launch_id, num_machines)
            except LaunchError as error:
                failure = failure or error
                continue
            for record in found:
                if not record.state.phase.ended:
                    job = Job._of(lightning, record, studio_name="", token="", num_machines=num_machines)
                    try:
                        job.delete()
                    except LaunchError as error:
                        failure = failure or error
        if failure is not None:
            raise failure

    @property
    def url(self) -> str:
        """Where users look at the job."""
        teamspace = self._lightning.page
        if self.num_machines > 1:
            return f"{teamspace}/jobs/{self.name}?app_id=mmt"
        if not self.studio_name:
            return f"{teamspace}/jobs/{self.name}?app_id=jobs"
        return f"{teamspace}/studios/{self.studio_name}/app?app_id=jobs&job_name={self.name}"

    def state(self) -> JobState:
        """Asks the platform.

        Raises:
            JobLostError: when one look finds the job gone, which decides nothing.
        """
        state = self._get().state
        return replace(state, exit_code=self._exit_code()) if state.phase.ended else state

    def is_listed(self) -> bool:
        """Whether the teamspace's list of jobs has it: the other question that tells whether it is gone."""
        listed = job_request.find(self._lightning, self.token, self.num_machines)
        return any(record.id == self.id for record in listed)

    def logs(self, since: datetime | None = None) -> list[LogLine]:
        """What the command wrote, of all machines, in order; nothing while the job is pending.

        Args:
            since: time of the first line that is wanted, with a time zone; lines of that very moment come again, so
                compare machine and number. None: from the beginning.

        Raises:
            JobLostError: when the job is gone.
        """
        selector: dict[str, Any] = {"mmt_id": self.id} if self.num_machines > 1 else {"job_ids": [self.id]}
        if since is not None:
            selector["since"] = since.isoformat()
        lines: list[LogLine] = []
        following: str | None = None
        while following is None or following:
            wanted = {**selector, "page_token": following} if following else selector
            page = self._ask(answers.log_page, self._lightning.client.jobs_service_get_logs, **wanted)
            lines += page.lines
            following = page.following
        return lines

    def stop(self) -> None:
        """Asks the platform to stop the machines. Harmless when the job has ended or is gone."""
        client = self._lightning.client
        try:
            if self._get().state.phase.ended:
                return
            if self.num_machines > 1:
                multi = JobsServiceUpdateMultiMachineJobBody(desired_state=V1MultiMachineJobState.STOP)
                self._call(client.jobs_service_update_multi_machine_job, body=multi, id=self.id)
            else:
                self._call(client.jobs_service_update_job, body=JobsServiceUpdateJobBody(state="stop"), id=self.id)
        except JobLostError:
            return

    def delete(self) -> None:
        """Deletes the job with its log and artifacts, running or not, and looks until it is gone. Harmless when it is.

        Raises:
            LaunchError: when the platform refuses, or the job is there all the same.
        """
        ending.end(
            lambda: self._call(job_request.delete_operation(self._lightning, self.num_machines), id=self.id),
            [lambda: self._get().state.phase is JobPhase.STOPPED],
            gone=JobLostError,
            otherwise=lambda: JobError(f"The job '{self.name}' does not end, though Lightning was asked: {self.url}"),
        )

    @classmethod
    def _of(cls, lightning: Lightning, record: JobAnswer, *, studio_name: str, token: str, num_machines: int) -> Job:
        return cls(
            lightning, id=record.id, name=record.name, token=token, studio_name=studio_name, num_machines=num_machines
        )

    def _get(self) -> JobAnswer:
        client = self._lightning.client
        multi = self.num_machines > 1
        get = client.jobs_service_get_multi_machine_job if multi else client.jobs_service_get_job
        return self._ask(answers.job, get, id=self.id)

    def _call(self, operation: Callable[..., Any], **kwargs: Any) -> None:
        self._ask(answers.nothing, operation, **kwargs)

    def _ask(self, read: Callable[[Any], T], operation: Callable[..., Any], **kwargs: Any) -> T:
        try:
            return self._lightning.ask(read, operation, project_id=self._lightning.teamspace_id, **kwargs)
        except ApiError as error:
            if error.status == 404:
                raise JobLostError(f"The job '{self.name}' is gone (404): it was deleted.") from None
            raise

    def _exit_code(self) -> int | None:
        first = f"{self.name}-0" if self.num_machines > 1 else self.name
        path = f"jobs/{first}/{job_request.result_file(self.token)}"
        try:
            return self._lightning.ask(answers.exit_code, _download, self._lightning, path)
        except LaunchError:
            # That the job has ended is known all the same.
            return None


def _download(lightning: Lightning, path: str) -> str | None:
    """A small file of the teamspace's drive; None when there is none. The generated client has no such operation."""
    url = f"{lightning.url}/v1/projects/{lightning.teamspace_id}/artifacts/blobs/{path}"
    with Session() as session:
        response = session.get(url, auth=Authorization(lightning.credentials.authorization), timeout=30)
    if response.status_code == 404:
        return None
    if not response.ok:
        raise ApiError(response.status_code, response.reason)
    return str(response.text)
