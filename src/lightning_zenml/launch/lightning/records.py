"""What Lightning tells of teamspaces, machines, studios, jobs and pipelines. answers.py writes these records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lightning_sdk.machine import Machine as SdkMachine


@dataclass(frozen=True, kw_only=True)
class Named:
    """A user, an organization or a pipeline."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Membership:
    """A teamspace that the account may use.

    Args:
        teamspace_id: id of the teamspace (a project, in the API's words).
        name: name of the teamspace.
        display_name: name of the teamspace as users see it.
        owner_id: id of the user or organization that owns it.
        roles: names of the account's roles there; none: they aren't told.
        balance: US dollars that are left for machines; None: it isn't told.
        most_running: how many machines may run at once; None: it isn't told.
    """

    teamspace_id: str
    name: str
    display_name: str
    owner_id: str
    roles: tuple[str, ...] = ()
    balance: float | None = None
    most_running: int | None = None


@dataclass(frozen=True, kw_only=True)
class Teamspace:
    """A teamspace.

    Args:
        id: id of the teamspace (a project, in the API's words).
        name: name of the teamspace.
        owner_id: id of the user or organization that owns it.
        is_organizations: whether the owner is an organization.
        default_cluster: id of the cloud account that new studios get; None: the platform decides.
    """

    id: str
    name: str
    owner_id: str
    is_organizations: bool
    default_cluster: str | None


@dataclass(frozen=True, kw_only=True)
class CloudAccount:
    """A cloud account that sells machines.

    Args:
        id: id of the cloud account (a cluster, in the API's words).
        provider: the API's word for the provider of a global one (`V1CloudProvider`); None for an organization's own.
    """

    id: str
    provider: str | None


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A kind of machine in the catalog of a cloud account.

    Args:
        sdk_machine: lightning-sdk's description of it.
        slug: name in the catalog.
        aliases: every name that the catalog has for it, in lower case.
        family: kind of GPU or CPU.
        is_gpu: whether it is a GPU machine.
        gpus: number of GPUs; 0 for a CPU machine.
        cpus: number of cores.
        memory: memory in megabytes (10^6 bytes); 0 when the catalog doesn't tell.
        cost: US dollars per hour; None when the catalog doesn't tell.
        spot_cost: the same for an interruptible one; None where the provider has no such machines.
        out_of_capacity: whether none can be had now.
        is_restricted: whether the account's plan doesn't allow it.
    """

    sdk_machine: SdkMachine
    slug: str
    aliases: frozenset[str]
    family: str
    is_gpu: bool
    gpus: int
    cpus: float
    memory: float
    cost: float | None
    spot_cost: float | None
    out_of_capacity: bool
    is_restricted: bool

    @property
    def count(self) -> int:
        """Number of GPUs, or of the cores of a CPU machine."""
        return int(self.gpus if self.is_gpu else self.cpus)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A machine under a studio, or one on its way.

    Args:
        id: id that tells one start from the next.
        phase: PENDING, IMAGE_BUILDING, RUNNING, STOPPING, STOPPED, FAILED or DELETED.
        machine: the API's name of the machine.
        interruptible: whether it is a spot machine.
        message: the platform's words about it.
        restored: whether the studio's files are there (before a switch is confirmed).
        started: when it came up, from which on it is billed, seconds since 1970; None where the platform doesn't tell.
    """

    id: str
    phase: str
    machine: str
    interruptible: bool
    message: str
    restored: bool
    started: float | None = None

    @property
    def ended(self) -> bool:
        """Whether this machine is gone for good."""
        return self.phase in ("STOPPED", "FAILED", "DELETED")


@dataclass(frozen=True, kw_only=True)
class StudioState:
    """The machine that a studio stands on now (`in_use`), and the one that was asked for (`requested`)."""

    in_use: Instance | None
    requested: Instance | None

    @property
    def running(self) -> bool:
        """Whether a machine is up. Running is not ready."""
        return self.in_use is not None and self.in_use.phase == "RUNNING"

    @property
    def stopped(self) -> bool:
        """Whether no machine is up, and none on its way."""
        return all(instance.ended for instance in self.instances)

    @property
    def stopping(self) -> bool:
        """Whether the machine is on its way out and no other on its way in."""
        return self.requested is None and self.in_use is not None and self.in_use.phase == "STOPPING"

    @property
    def ends(self) -> bool:
        """Whether no machine is up or on its way in."""
        return all(instance.ended or instance.phase == "STOPPING" for instance in self.instances)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Those of the two that there are."""
        return tuple(instance for instance in (self.requested, self.in_use) if instance is not None)


@dataclass(frozen=True, kw_only=True)
class StudioAnswer:
    """A studio.

    Args:
        id: id of the studio (a cloud space, in the API's words).
        name: name of the studio.
        cluster: id of its cloud account.
        state: how it stands; None where the platform does not tell.
        stays_awake: whether its auto-sleep is off, as far as the platform tells.
        created: when it was made, seconds since 1970; 0 where the platform does not tell.
    """

    id: str
    name: str
    cluster: str
    state: StudioState | None
    stays_awake: bool = False
    created: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StudioPage:
    """A page of the listing of studios; `following` is the token of the next page, '' on the last one."""

    studios: tuple[StudioAnswer, ...]
    following: str


@dataclass(frozen=True, kw_only=True)
class PipelineAnswer:
    """A pipeline.

    Args:
        id: id of the pipeline.
        name: name of the pipeline.
        parent: id of the pipeline that it is an execution of; '' for one of its own.
        commands: bash scripts of its steps that are jobs.
    """

    id: str
    name: str
    parent: str
    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PipelinePage:
    """A page of the listing of pipelines; `following` is the token of the next page, '' on the last one."""

    pipelines: tuple[PipelineAnswer, ...]
    following: str


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A finished command: its exit code and its output (stdout and stderr, text)."""

    exit_code: int
    output: str


@dataclass(frozen=True, kw_only=True)
class CommandState:
    """A command on a studio: neither completed nor lost while it runs.

    Args:
        completed: exit code and output, once it has ended.
        lost: the platform's words when it knows the command no more, else ''.
    """

    completed: Completed | None = None
    lost: str = ""


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
        phase: where the job stands.
        message: the platform's words about it, often none.
        exit_code: exit code of the command (of rank 0 when there are several machines), once the job has ended. None
            before, when the command never got to its end, and for a short while after the end until the artifacts are
            there; for good where Lightning refuses to give it.
        started: when it had its first machines, seconds since 1970; None before, and where the platform doesn't tell.
        stopped: when it let go of its last ones; None before, and where the platform doesn't tell.
        charged: US dollars that the platform has told so far: after the end it is nothing for a minute, and then rises.
    """

    phase: JobPhase
    message: str = ""
    exit_code: int | None = None
    started: float | None = None
    stopped: float | None = None
    charged: float = 0.0


@dataclass(frozen=True, kw_only=True)
class JobAnswer:
    """A job or multi-machine job.

    Args:
        id: id of the job.
        name: the platform's name for it.
        command: bash script that it runs.
        created: when it was made, seconds since 1970.
        state: where it stands, without its exit code: that is in its artifacts.
    """

    id: str
    name: str
    command: str
    created: float
    state: JobState


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """A page of the listing of jobs on one machine; `following` is the token of the next page, '' on the last one."""

    jobs: tuple[JobAnswer, ...]
    following: str


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a job's log.

    Args:
        machine: id of the machine that wrote it.
        number: number of the line on that machine; '' where the platform has forgotten.
        timestamp: when it was written, with a time zone.
        message: the text, ANSI codes included.
    """

    machine: str
    number: str
    timestamp: datetime | None
    message: str


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """A page of a log; `following` is the token of the next page, '' on the last one."""

    lines: tuple[LogLine, ...]
    following: str


@dataclass(frozen=True, kw_only=True)
class ExecutionState:
    """One run of a pipeline: whether a schedule has started it, whether it has ended, and the ids of its jobs."""

    scheduled: bool
    ended: bool
    jobs: tuple[str, ...]
