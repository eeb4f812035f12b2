"""What a job is to be, and what is sent to start it, once: a lost answer must not make two jobs."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_sdk.lightning_cloud.openapi import (
    JobsServiceCreateJobBody,
    JobsServiceCreateMultiMachineJobBody,
    V1EnvVar,
    V1JobSpec,
    V1MultiMachineJobFaultTolerance,
    V1MultiMachineJobFaultToleranceStrategy,
)

from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, UnreachableError
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import JobAnswer
from lightning_zenml.launch.payload import layout

_KILL_AFTER = 30
"""Seconds that a command has to end once it was asked to."""
TIMED_OUT = 124
"""Exit code of a command that `max_runtime` ended, as of coreutils' `timeout`."""
_SENDS = 3
_LOOKS = 5
_LOOK_PAUSE = 0.5


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A command, and the machines that it is to run on.

    Args:
        name: wanted name of the job; Lightning slugifies it, and changes it when it is taken.
        command: bash script, run in the job's home by a shell that has none of the studio's aliases: Python goes by its
            absolute path. With several machines it runs on each, with Lightning's variables `NODE_RANK`, `MASTER_ADDR`
            and `MASTER_PORT`.
        machine: kind of machine, one that the studio's cloud account sells.
        environment: variables of the command; secrets are fine.
        interruptible: whether spot machines will do.
        num_machines: number of machines, all of the same kind; more than one make a multi-machine job.
        max_runtime: seconds until the command is ended with exit code `TIMED_OUT`, which are asked for as a
            reservation too; None: no limit.
        max_run_attempts: how often Lightning starts the job at most; None: Lightning decides.
        snapshot: word by which jobs from one studio share the snapshot that the first of them takes: they don't see
            what the studio has written since; '': a snapshot of the job's own, as the studio is at its start.
        keep_minutes: minutes for which Lightning keeps the machines up when the job has ended, and bills them; 0: none.
        token: word by which the job is told from every other, and found again; names the file with its exit code.
    """

    name: str
    command: str
    machine: Machine
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    interruptible: bool = False
    num_machines: int = 1
    max_runtime: int | None = None
    max_run_attempts: int | None = None
    snapshot: str = ""
    keep_minutes: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))


def build(job: JobSpec, *, studio_id: str, cluster: str) -> Any:
    """What is sent for a job (`JobsServiceCreateJobBody`, or for several machines `...MultiMachineJobBody`).

    Args:
        job: command and machines of the job.
        studio_id: id of the studio whose files and Python environment the job gets.
        cluster: id of that studio's cloud account.
    """
    multi = job.num_machines > 1
    spec = V1JobSpec(
        cloudspace_id=studio_id,
        cluster_id=cluster,
        command=_wrap(job.command, job.token, job.max_runtime),
        env=[V1EnvVar(name=key, value=value) for key, value in job.environment.items()],
        image="",
        instance_name=job.machine.compute_name,
        run_id=job.snapshot,
        spot=job.interruptible,
        requested_run_duration_seconds=str(job.max_runtime) if job.max_runtime else None,
        max_run_attempts=None if multi else job.max_run_attempts,
        # Both, as lightning-sdk does for its `keep_minutes`.
        reserve_machines_timeout_minutes=job.keep_minutes or None,
        keep_machine_after_stop=True if job.keep_minutes else None,
    )
    if not multi:
        return JobsServiceCreateJobBody(name=job.name, spec=spec)
    # As lightning-sdk does: one lost machine ends the others, so all of them are made again.
    tolerance = V1MultiMachineJobFaultTolerance(strategy=V1MultiMachineJobFaultToleranceStrategy.RECREATE_ALL_NODES)
    return JobsServiceCreateMultiMachineJobBody(
        name=job.name,
        spec=spec,
        cluster_id=cluster,
        machines=job.num_machines,
        max_run_attempts=job.max_run_attempts,
        fault_tolerance=tolerance if (job.max_run_attempts or 0) > 1 else None,
    )


def result_file(token: str) -> str:
    """Where the command leaves its exit code, relative to the job's home."""
    return layout.job_result(token)


def send_once(lightning: Lightning, request: Any, token: str) -> JobAnswer:
    """Creates one job although answers may be lost; of several that were made all the same, the first one stays.

    Args:
        lightning: teamspace of the job.
        request: body of the request, as `build` has made it.
        token: word by which the job is told from every other.

    Raises:
        ApiError: when the platform refuses.
        UnreachableError: when no answer comes, and there is no such job.
    """
    multi = isinstance(request, JobsServiceCreateMultiMachineJobBody)
    client, num_machines = lightning.client, request.machines if multi else 1
    create = client.jobs_service_create_multi_machine_job if multi else client.jobs_service_create_job
    failure: UnreachableError | ApiError | None = None
    for _ in range(_SENDS):
        made: list[JobAnswer] = []
        try:
            made = [
                lightning.ask(answers.job, create, body=request, project_id=lightning.teamspace_id, idempotent=False)
            ]
        except (UnreachableError, ApiError) as error:
            if isinstance(error, ApiError) and error.is_refusal:
                raise
            failure = error
        if made and failure is None:
            return made[0]
        if found := _look(lightning, token, num_machines) or made:
            for twin in found[1:]:
                lightning.call(delete_operation(lightning, num_machines), project_id=lightning.teamspace_id, id=twin.id)
            return found[0]
    assert failure is not None  # noqa: S101 - each round that found nothing has failed
    raise failure


def find(lightning: Lightning, token: str, num_machines: int) -> list[JobAnswer]:
    """The jobs whose command has the token or one that begins so, oldest first.

    Args:
        lightning: teamspace of the jobs.
        token: word that a job's token begins with.
        num_machines: number of machines of each; the jobs on several are listed apart from those on one.
    """
    jobs = _multi_machine_jobs(lightning) if num_machines > 1 else _jobs(lightning)
    ours = [job for job in jobs if result_file(token) in job.command]
    return sorted(ours, key=lambda job: job.created)


def token_of(command: str) -> str:
    """The token of the job that runs this script, as `build` has made it; '' for a script of anybody else's."""
    found = re.search(rf"^cd .* && rm -f {re.escape(result_file(''))}(\S+)$", command, re.MULTILINE)
    return found[1] if found else ""


def _jobs(lightning: Lightning) -> list[JobAnswer]:
    """The jobs on one machine, of all pages."""
    jobs: list[JobAnswer] = []
    following: str | None = None
    while following is None or following:
        wanted: dict[str, Any] = {"page_token": following} if following else {}
        listing, teamspace = lightning.client.jobs_service_list_jobs, lightning.teamspace_id
        page = lightning.ask(answers.job_page, listing, project_id=teamspace, standalone=True, **wanted)
        jobs += page.jobs
        following = page.following
    return jobs


def _multi_machine_jobs(lightning: Lightning) -> list[JobAnswer]:
    """The jobs on several machines; their listing has no pages."""
    listing = lightning.client.jobs_service_list_multi_machine_jobs
    return lightning.ask(answers.multi_machine_jobs, listing, project_id=lightning.teamspace_id)


def delete_operation(lightning: Lightning, num_machines: int) -> Callable[..., Any]:
    """The operation of the generated client that deletes a job of so many machines."""
    client = lightning.client
    delete: Callable[..., Any] = (
        client.jobs_service_delete_multi_machine_job if num_machines > 1 else client.jobs_service_delete_job
    )
    return delete


def _look(lightning: Lightning, token: str, num_machines: int) -> list[JobAnswer]:
    """The jobs with the token; gives a request whose answer was lost a moment to show."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_LOOK_PAUSE)
        if found := find(lightning, token, num_machines):
            return found
    return []


def _wrap(command: str, token: str, max_runtime: int | None) -> str:
    """The bash script of the job: runs the command and leaves its exit code in the result file.

    A shell is gone at once when it is asked to end. This one passes that on, and sees what it runs to its end.
    """
    result = result_file(token)
    # It passes a signal on to all that it runs, with or without a limit.
    limited = f"timeout --kill-after={_KILL_AFTER} {max_runtime or 0} bash -c {shlex.quote(command)}"
    return (
        # A job that is started again may find the file of the attempt before.
        f'cd "$HOME" && mkdir -p {layout.HOME}/{layout.JOBS} && rm -f {result}\n'
        # What is started without job control ignores SIGINT, and so does all that it starts.
        f"set -m\n{limited} &\ncommand=$! signalled=1 ends=0\nset +m\n"
        "trap 'signalled=1 ends=1; kill -TERM $command || true' TERM\n"
        # A signal ends the waiting, not the command.
        "while test $signalled = 1; do signalled=0 code=0; wait $command || code=$?; done\n"
        # Of what was asked to end, the shell in between is gone at once.
        f"if test $ends = 1 || test $code = {TIMED_OUT}; then\n"
        f"for _ in $(seq {10 * _KILL_AFTER}); do kill -0 -- -$command 2>/dev/null || break; sleep 0.1; done; fi\n"
        f"echo $code > {result}\nexit $code\n"
    )
