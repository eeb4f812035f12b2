"""What a studio is, and a machine of it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from .computer.sandbox import Disk, Sandbox
from .computer.sessions import Session
from .ledger import Interval
from .machines import Cluster, Offer


class Phase(StrEnum):
    """Of an instance, in the API's words."""

    PENDING = "CLOUD_SPACE_INSTANCE_STATE_PENDING"
    RUNNING = "CLOUD_SPACE_INSTANCE_STATE_RUNNING"
    STOPPING = "CLOUD_SPACE_INSTANCE_STATE_STOPPING"
    STOPPED = "CLOUD_SPACE_INSTANCE_STATE_STOPPED"
    FAILED = "CLOUD_SPACE_INSTANCE_STATE_FAILED"


@dataclass
class Instance:
    """One machine of a studio, from its request to its stop.

    Args:
        offer: the machine that is really meant to run, which need not be the one asked for.
        spot: interruptible.
        setup_seconds: from RUNNING to a usable Python.
        restore_seconds: from RUNNING to `topUpRestoreFinished`.
    """

    offer: Offer
    spot: bool
    setup_seconds: float
    restore_seconds: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    phase: Phase = Phase.PENDING
    message: str = ""
    requested_at: float = field(default_factory=time.monotonic)
    created: float = field(default_factory=time.time)
    started_at: float | None = None
    started: float | None = None
    stopping_at: float | None = None
    active_at: float = field(default_factory=time.monotonic)
    set_up: bool = False
    sandbox: Sandbox | None = None
    interval: Interval | None = None
    sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def price(self) -> float:
        """US dollars per hour."""
        return self.offer.spot_price if self.spot else self.offer.price

    @property
    def restored(self) -> bool:
        """`topUpRestoreFinished`."""
        return self.phase is Phase.RUNNING and self.seconds_running >= self.restore_seconds

    @property
    def seconds_running(self) -> float:
        """Since the machine is RUNNING."""
        return time.monotonic() - self.started_at if self.started_at is not None else 0.0


@dataclass
class Studio:
    """A studio, as long as the stand-in runs: deleted ones are remembered.

    Args:
        name: unique in its teamspace among those not deleted.
        project_id: the teamspace.
        cluster: cloud account, fixed at creation.
        disk: what it keeps.
        disable_secrets: its sessions get no credentials.
    """

    name: str
    project_id: str
    cluster: Cluster
    disk: Disk
    disable_secrets: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    display_name: str = ""
    env: dict[str, str] = field(default_factory=dict)
    other_fields: dict[str, object] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    deleted: float | None = None
    cleared: bool = False
    """Deleted, its machines ended, its disk gone: nothing is due any more."""
    in_use: Instance | None = None
    requested: Instance | None = None
    switch_at: float | None = None
    stuck: bool = False
    started_before: bool = False
    disable_auto_shutdown: bool = False
    idle_shutdown_seconds: int | None = None
    late_files: list[tuple[Path, Path, float]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The studio's home, on the host."""
        return self.disk.home

    @property
    def phase(self) -> str:
        """`PENDING`, `RUNNING`, `STOPPING`, `STOPPED`, or `DELETED`."""
        if self.deleted is not None:
            return "DELETED"
        return self.in_use.phase.name if self.in_use is not None else Phase.STOPPED.name

    @property
    def machine(self) -> str | None:
        """lightning-sdk's name of the machine it runs on or last ran on; None before its first start."""
        return self.in_use.offer.machine.name if self.in_use is not None else None

    @property
    def instances(self) -> list[Instance]:
        """The instance in use and, during a switch, the requested one."""
        return [instance for instance in (self.in_use, self.requested) if instance is not None]
