"""What a job is, and a machine of it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..computer.sandbox import Disk, Sandbox
from ..computer.sessions import Session
from ..entities import Studio
from ..ledger import Interval
from ..machines import Offer
from .snapshots import Home, Snapshot


class JobState(StrEnum):
    """Of a job, in the API's words; `complete` and `fail` while its log is still being collected."""

    PENDING = "pending"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    COMPLETE = "complete"
    FAIL = "fail"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing comes after it."""
        return self in (JobState.STOPPED, JobState.COMPLETED, JobState.FAILED)


@dataclass(frozen=True)
class LogLine:
    """One line of a job's log.

    Args:
        number: counts the lines of one machine, from 1.
        time: when it was read, in seconds since the epoch.
        text: without the line's end.
    """

    number: int
    time: float
    text: str


@dataclass
class Node:
    """One machine of a job, which may get another in its place.

    Args:
        name: the job's, with the rank behind it when there are several.
        rank: from 0.
    """

    name: str
    rank: int
    id: str = field(default_factory=lambda: f"job_{uuid.uuid4().hex}")
    disk: Disk | None = None
    home: Home | None = None
    sandbox: Sandbox | None = None
    session: Session | None = None
    intervals: list[Interval] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    bytes_read: int = 0


@dataclass(frozen=True, eq=False)
class KeptMachine:
    """A machine that is up though its job has ended, for the next one of its kind.

    Args:
        job: job that has left it.
        interval: what it is billed as.
        until: when it ends, by `time.monotonic`.
    """

    job: Job
    interval: Interval
    until: float


@dataclass
class Job:
    """A job, as long as the stand-in runs: deleted ones are remembered. Several machines make it a multi-machine job.

    Args:
        name: unique in its teamspace among those not deleted.
        studio: that it comes from.
        offer: the machine that is really meant to run, which need not be the one asked for.
        spec: V1JobSpec, as it was sent.
        snapshot: of the studio.
        nodes: its machines, by rank.
        multi: a multi-machine job in the API.
        max_attempts: how often it is started at most.
        master_port: for `MASTER_PORT`.
        tags: names.
    """

    name: str
    studio: Studio
    offer: Offer
    spec: dict[str, Any]
    snapshot: Snapshot
    nodes: list[Node]
    multi: bool = False
    max_attempts: int = 1
    master_port: int = 0
    tags: list[str] = field(default_factory=list)
    id: str = ""
    state: JobState = JobState.PENDING
    message: str = ""
    attempt: int = 1
    interrupted: float | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    stopped: float | None = None
    deleted: float | None = None
    boot_at: float | None = None
    collect_at: float = 0.0
    end_at: float = 0.0
    next_state: JobState = JobState.PENDING

    def __post_init__(self) -> None:
        self.id = f"mmt_{uuid.uuid4().hex}" if self.multi else self.nodes[0].id

    @property
    def project_id(self) -> str:
        """The teamspace."""
        return self.studio.project_id

    @property
    def spot(self) -> bool:
        """Interruptible."""
        return bool(self.spec.get("spot"))

    @property
    def log(self) -> str:
        """All lines of all machines, by rank."""
        return "".join(f"{line.text}\n" for node in self.nodes for line in node.log)
