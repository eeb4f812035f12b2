"""Lightning's answers, read into records of our own and checked for what is needed of them.

The only module that knows how the answers of lightning-sdk's REST client look. `Lightning.ask` calls one of these
functions with an answer; an `AttributeError`, `KeyError`, `TypeError` or `ValueError` says that it makes no sense.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

from lightning_sdk.api.cloud_account_api import CloudAccountApi
from lightning_sdk.lightning_cloud.openapi import V1ClusterType
from lightning_sdk.lightning_cloud.openapi.rest import RESTResponse
from lightning_sdk.machine import CloudProvider
from lightning_sdk.machine import Machine as SdkMachine

from lightning_zenml.launch.lightning.records import (
    Accelerator,
    CloudAccount,
    CommandState,
    Completed,
    ExecutionState,
    Instance,
    JobAnswer,
    JobPage,
    JobPhase,
    JobState,
    LogLine,
    LogPage,
    Membership,
    Named,
    PipelineAnswer,
    PipelinePage,
    StudioAnswer,
    StudioPage,
    StudioState,
    Teamspace,
)

_INSTANCE_PREFIX = "CLOUD_SPACE_INSTANCE_STATE_"
_MULTI_MACHINE_PREFIX = "MultiMachineJob_STATE_"
_EXECUTION_PREFIX = "PIPELINE_STATE_"
_ENDED_EXECUTION = {"FAILED", "DELETED", "STOPPED", "COMPLETED"}
_JOB_PHASES = {
    **{phase.value: phase for phase in JobPhase},
    "stop": JobPhase.STOPPING,
    "delete": JobPhase.STOPPING,
    # The command has ended, its log and artifacts are still being collected.
    "complete": JobPhase.STOPPING,
    "fail": JobPhase.STOPPING,
    "deleted": JobPhase.STOPPED,
}


def whole(answer: Any) -> None:
    """Checks, before the REST client makes an object of it, that an answer is a JSON object or nothing at all.

    The client takes a page in HTML, a body that is cut, or a list, for an object without fields.

    Args:
        answer: HTTP answer (`RESTResponse`), or a stream (`urllib3.HTTPResponse`), which is read later.
    """
    if isinstance(answer, RESTResponse) and answer.data and not isinstance(json.loads(answer.data), dict):
        raise ValueError("it is no JSON object")


def user(answer: Any) -> Named:
    """A user (`V1GetUserResponse`)."""
    return Named(id=_needed(answer, "id"), name=_needed(answer, "username"))


def named(answer: Any) -> Named:
    """An organization (`V1Organization`) or a pipeline (`V1Pipeline`)."""
    return Named(id=_needed(answer, "id"), name=_needed(answer, "name"))


def memberships(answer: Any) -> list[Membership]:
    """The teamspaces of an account (`V1ListMembershipsResponse`)."""
    return [
        Membership(
            teamspace_id=_needed(one, "project_id"),
            name=one.name or "",
            display_name=one.display_name or "",
            owner_id=one.owner_id or "",
            roles=tuple(role.name for role in one.roles or () if role.name),
            balance=None if one.balance is None else float(one.balance),
            # 0 stands for none, as numbers of Lightning's do.
            most_running=int(one.quotas.max_running_lightning_works or 0) or None if one.quotas else None,
        )
        for one in answer.memberships or ()
    ]


def teamspace(answer: Any) -> Teamspace:
    """A teamspace (`V1Project`)."""
    return Teamspace(
        id=_needed(answer, "id"),
        name=_needed(answer, "name"),
        owner_id=answer.owner_id or "",
        is_organizations=answer.owner_type == "organization",
        default_cluster=answer.project_settings.preferred_cluster or None,
    )


def cloud_account(wanted: str | None, answer: Any) -> CloudAccount | None:
    """The cloud account with the wanted id in a list (`V1ListClustersResponse`, `V1ListProjectClustersResponse`)."""
    found = next((one for one in answer.clusters or () if one.id == wanted), None)
    return None if found is None else CloudAccount(id=_needed(found, "id"), provider=_provider(found))


def _provider(cluster: Any) -> str | None:
    if cluster.spec.cluster_type != V1ClusterType.GLOBAL:
        return None
    provider = CloudAccountApi._get_cloud_account_provider(cluster) or CloudProvider.AWS
    # `V1CloudProvider`; the SDK's own method for this is younger than the oldest that we support.
    return "MACHINE" if provider is CloudProvider.LIGHTNING else str(provider)


def accelerators(answer: Any) -> list[Accelerator]:
    """The machines that a cloud account sells (`V1ListClusterAcceleratorsResponse`), those that are enabled."""
    return [_accelerator(one) for one in answer.accelerator or () if one.enabled]


def _accelerator(one: Any) -> Accelerator:
    is_gpu = one.accelerator_type == "GPU"
    return Accelerator(
        sdk_machine=SdkMachine._from_accelerator(one),
        slug=one.slug or "",
        aliases=_lower(one.slug, one.slug_multi_cloud, one.instance_id, one.secondary_instance_id),
        family=one.family,
        is_gpu=is_gpu,
        gpus=int(one.resources.gpu or 0) if is_gpu else 0,
        cpus=float(one.resources.cpu or 0),
        memory=float(one.resources.memory_mb or 0),
        cost=one.cost,
        # lightning-sdk's `interruptible_cost`.
        spot_cost=one.spot_price or None,
        out_of_capacity=bool(one.out_of_capacity),
        is_restricted=bool(one.is_tier_restricted),
    )


def studio(answer: Any) -> StudioAnswer:
    """A studio (`V1CloudSpace`)."""
    return StudioAnswer(
        id=_needed(answer, "id"),
        name=_needed(answer, "name"),
        cluster=answer.cluster_id or "",
        state=studio_state(answer.code_status) if answer.code_status else None,
        stays_awake=bool(answer.code_config and answer.code_config.disable_auto_shutdown),
        created=answer.created_at.timestamp() if answer.created_at else 0.0,
    )


def studios(answer: Any) -> list[StudioAnswer]:
    """A list of studios (`V1ListCloudSpacesResponse`)."""
    return [studio(one) for one in answer.cloudspaces or ()]


def studio_page(answer: Any) -> StudioPage:
    """A page of a list of studios (`V1ListCloudSpacesResponse`)."""
    return StudioPage(studios=tuple(studios(answer)), following=answer.next_page_token or "")


def template(answer: Any) -> str | None:
    """Id of the first enabled environment template; None where the organization has disabled all."""
    return next((_needed(one, "id") for one in answer.templates or () if not one.disabled), None)


def studio_state(answer: Any) -> StudioState:
    """How a studio stands (`V1GetCloudSpaceInstanceStatusResponse`)."""
    return StudioState(in_use=_instance(answer.in_use), requested=_instance(answer.requested))


def _instance(one: Any) -> Instance | None:
    if one is None or not one.phase:
        return None
    return Instance(
        id=one.cloud_space_instance_id or "",
        phase=one.phase.removeprefix(_INSTANCE_PREFIX),
        machine=one.compute_config.name if one.compute_config else "",
        interruptible=bool(one.compute_config and one.compute_config.spot),
        message=one.status_message or "",
        restored=bool(one.startup_status and one.startup_status.initial_restore_finished),
        started=_seconds(one.start_timestamp),
    )


def session(answer: Any) -> str:
    """The name under which a command's output is read (`V1ExecuteCloudSpaceCommandResponse`)."""
    return _needed(answer, "session_name")


def completed(answer: Any) -> Completed:
    """How a command has ended that has output (`V1ExecuteCloudSpaceCommandResponse`), where the call has waited."""
    # As everywhere in JSON that a gateway makes of gRPC, an exit code of 0 may be left out; -1 is none.
    if (exit_code := int(answer.exit_code or 0)) < 0:
        raise ValueError(f"the command has not ended: exit code {exit_code}")
    return Completed(exit_code=exit_code, output=_needed(answer, "output"))


def command_state(answer: Any) -> CommandState:
    """How a command goes: a stream of JSON lines, as the HTTP client has it (`urllib3.HTTPResponse`)."""
    lines = [json.loads(line) for line in answer.data.decode(errors="replace").splitlines() if line.strip()]
    results = [line["result"] for line in lines if "result" in line]
    if len(results) < len(lines):
        return CommandState(lost=f"{lines[-1].get('error', lines[-1])}")
    exit_codes = {int(result.get("exitCode", -1)) for result in results}
    if not exit_codes or -1 in exit_codes:
        return CommandState()
    output = "".join(result.get("output", "") for result in results)
    return CommandState(completed=Completed(exit_code=max(exit_codes), output=output))


def job(answer: Any) -> JobAnswer:
    """A job on one machine (`V1Job`) or on several (`V1MultiMachineJob`)."""
    # An unknown state is pending, as lightning-sdk takes it.
    # Of several machines the times are told apart from the rest.
    times = getattr(answer, "status", None) or answer
    phase = _JOB_PHASES.get(str(answer.state).removeprefix(_MULTI_MACHINE_PREFIX).lower(), JobPhase.PENDING)
    return JobAnswer(
        id=_needed(answer, "id"),
        # In a listing, what is odd about one job must not hide the others: they are looked for to be ended.
        name=answer.name or "",
        command=(answer.spec.command if answer.spec else "") or "",
        created=answer.created_at.timestamp() if answer.created_at else 0.0,
        state=JobState(
            phase=phase,
            message=answer.message or "",
            started=_seconds(getattr(times, "started_at", None)),
            stopped=_seconds(getattr(times, "stopped_at", None)),
            charged=_dollars(answer.total_cost),
        ),
    )


def job_page(answer: Any) -> JobPage:
    """A page of the jobs on one machine (`V1ListJobsResponse`)."""
    return JobPage(jobs=tuple(job(one) for one in answer.jobs or ()), following=answer.next_page_token or "")


def multi_machine_jobs(answer: Any) -> list[JobAnswer]:
    """The jobs on several machines (`V1ListMultiMachineJobsResponse`)."""
    return [job(one) for one in answer.multi_machine_jobs or ()]


def log_page(answer: Any) -> LogPage:
    """A page of a job's log (`V1GetLogsResponse`)."""
    lines = (
        LogLine(
            machine=entry.resource_id or "",
            number=entry.line or "",
            timestamp=entry.timestamp,
            message=entry.message or "",
        )
        for entry in answer.entries or ()
    )
    # lightning-sdk drops this first line too: it is the platform's own.
    return LogPage(
        lines=tuple(line for line in lines if line.message != "+ lightning"), following=answer.next_page_token or ""
    )


def exit_code(answer: str | None) -> int | None:
    """The exit code in a job's result file; None when there is no such file, or no number in it."""
    return int(answer) if answer is not None and answer.strip().isdigit() else None


def execution_state(answer: Any) -> ExecutionState:
    """One run of a pipeline (`V1Pipeline`, as the pipeline is)."""
    return ExecutionState(
        scheduled=bool(answer.schedule_id or answer.parent_pipeline_id),
        ended=str(answer.state).removeprefix(_EXECUTION_PREFIX) in _ENDED_EXECUTION,
        jobs=tuple(status.resource_id for status in answer.statuses or () if status.resource_id),
    )


def pipeline_page(answer: Any) -> PipelinePage:
    """A page of the pipelines, their executions among them (`V1ListPipelinesResponse`)."""
    pipelines = (
        PipelineAnswer(
            id=_needed(one, "id"),
            name=one.name or "",
            parent=one.parent_pipeline_id or "",
            commands=tuple(step.job.spec.command or "" for step in one.steps or () if step.job and step.job.spec),
        )
        for one in answer.pipelines or ()
    )
    return PipelinePage(pipelines=tuple(pipelines), following=answer.next_page_token or "")


def schedules(answer: Any) -> list[str]:
    """Ids of a pipeline's schedules (`V1ListSchedulesResponse`)."""
    return [_needed(one, "id") for one in answer.schedules or ()]


def nothing(answer: Any) -> None:
    """An answer of which no more is needed than that the request was carried out."""


def _needed(answer: Any, field: str) -> str:
    if not (value := getattr(answer, field)):
        raise ValueError(f"{type(answer).__name__} without {field}")
    return str(value)


def _seconds(moment: datetime | None) -> float | None:
    """A time as seconds since 1970; None where there is none, or an odd one."""
    return moment.timestamp() if isinstance(moment, datetime) else None


def _dollars(amount: float | None) -> float:
    """An amount; nothing where there is none, or an odd one."""
    return float(amount) if isinstance(amount, int | float) and 0 < amount < math.inf else 0.0


def _lower(*names: str | None) -> frozenset[str]:
    return frozenset(name.lower() for name in names if name)
