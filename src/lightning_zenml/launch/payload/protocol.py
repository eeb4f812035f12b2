"""What client and payload tell each other: the instructions of a launch, its status, and the answers of the verbs.

A client may be of another age than the payload: `attach` meets launches that an earlier Action has left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from lightning_zenml.launch.payload.lightning.platform import Platform
from lightning_zenml.launch.payload.records import JobRecord, Record, RunRecord

STOP_GRACE = 20.0
"""Seconds that a command which is stopped has for an orderly end, unless somebody says otherwise."""

FOLLOWED_WITHIN = 120.0
"""Seconds since the last `read` in which somebody counts as following a launch, at both ends: after that the payload
releases the studio of a launch that has finished, and a client that comes back must expect that it has."""


class Release(StrEnum):
    """What becomes of the studio when a launch is over."""

    DELETE = "delete"
    STOP = "stop"
    NONE = "none"
    """It stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Meter(Record):
    """What the machine of a launch's studio costs, or those of a step.

    Args:
        machine: name of the kind of machine.
        price: US dollars per hour for all of them, as it is charged; None when the catalog doesn't say.
        since: when the machine began to cost the launch, seconds since 1970.
        before: US dollars for what the launch had before that machine: one that was stuck, or was left by a switch.
        machines: number of such machines.
        interruptible: whether they are spot machines, which may cost more than others.
    """

    machine: str
    price: float | None
    since: float
    before: float = 0.0
    machines: int = 1
    interruptible: bool = False

    def cost(self, until: float | None = None) -> float | None:
        """US dollars up to a moment; None where the price isn't known.

        Args:
            until: the moment, seconds since 1970; None: now.
        """
        if self.price is None:
            return None
        end = time.time() if until is None else until
        return self.before + self.price * max(end - self.since, 0.0) / 3600


@dataclass(frozen=True, kw_only=True)
class StudioFacts(Record):
    """What a launch's commands are told of the studio that they run on.

    Args:
        name: name of the studio.
        url: page of the studio on Lightning AI.
        cloud_url: address of Lightning AI.
        teamspace: teamspace of the studio, `owner/name`.
    """

    name: str
    url: str
    cloud_url: str
    teamspace: str


class Installer(StrEnum):
    """What installs the requirements."""

    UV = "uv"
    """pip has a try at what uv can't read."""
    PIP = "pip"


@dataclass(frozen=True, kw_only=True)
class Instructions(Record):
    """What the supervisor of a launch is to do. Holds secrets.

    Args:
        archive: sha256 of the packed repository, hex.
        wheel: path of our wheel below `.lightning_zenml`.
        packages: requirement specifiers that every launch needs.
        environment_digest: what packages and requirements together are known by, to clients that choose a studio.
        requirements: requirement specifiers of the user, or `-r <file>` relative to the repository.
        installer: what installs them all.
        commands: bash lines that run before the command.
        command: bash line that the launch is for.
        working_directory: folder in which the command runs, relative to the repository.
        environment: variables of commands and command.
        timeout: seconds until the launch is stopped, installing included; None: no limit.
        max_cost: US dollars, of studio and jobs together, after which it is stopped; None: no limit.
        restarts: how often a command that was killed is started again.
        on_failure: arguments of the studio's Python for the program that reports a failure, or an end that nobody
            follows; empty: none.
        watch: arguments of the studio's Python for the program that ends with 0 once the launch is to be stopped; it
            runs until the command begins. Empty: none.
        release: what becomes of the studio at the end.
        leased: whether the launch holds the studio's lease.
        keep_warm: seconds for which a machine that is to be stopped is kept for the next launch.
        studio: what commands are told of the studio.
        meter: what the studio costs.
        stop_idle_gpu: seconds after which the launch is stopped if no GPU of the machine is used; 0: it is not.
        credentials: Lightning's credentials as variables, lent to a studio that has none of its own.
        platform: the studio's address at Lightning's API, with the key to it.
    """

    archive: str
    wheel: str
    packages: tuple[str, ...]
    environment_digest: str
    requirements: tuple[str, ...] = field(repr=False)
    installer: Installer = Installer.UV
    commands: tuple[str, ...]
    command: str
    working_directory: str
    environment: Mapping[str, str] = field(repr=False)
    timeout: float | None
    restarts: int
    on_failure: tuple[str, ...]
    watch: tuple[str, ...]
    release: Release
    leased: bool
    keep_warm: float
    studio: StudioFacts
    meter: Meter
    stop_idle_gpu: float = 0.0
    credentials: Mapping[str, str] = field(repr=False)
    platform: Platform = field(repr=False)
    max_cost: float | None = None


class Phase(StrEnum):
    """Where a launch stands, in order. The first is the client's alone, the last is final."""

    STARTING = "starting"
    INSTALLING = "installing"
    COMMANDS = "commands"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """Why a launch failed.

    Args:
        phase: phase in which the launch failed.
        message: what went wrong, in one sentence.
        command: command that failed; None where it was none.
        exit_code: exit code of that command.
        output: last output of that command, at most 4,000 characters.
        code: kind of the message, as text: another version may know more kinds; '' where nobody has said.
    """

    phase: Phase
    message: str
    command: str | None = None
    exit_code: int | None = None
    output: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """How far a launch is (`status.json`).

    Args:
        phase: where the launch stands.
        exit_code: exit code of the command, once FINISHED; None when it never ran.
        failure: what went wrong, when the launch FINISHED without success.
        stopped: whether the launch was stopped on request.
    """

    phase: Phase
    exit_code: int | None = None
    failure: Failure | None = None
    stopped: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the launch is finished and its command exited with 0."""
        return self.phase is Phase.FINISHED and self.exit_code == 0 and not self.stopped


@dataclass(frozen=True, kw_only=True)
class Description(Record):
    """What another client must know to take over a launch (`launch.json`); no secret.

    Args:
        python: absolute path of the studio's Python.
        wheel: path of our wheel below `.lightning_zenml`.
        release: what becomes of the studio at the end.
        leased: whether the launch holds the studio's lease.
        meter: what the studio costs.
        keep_warm: seconds for which a machine that is to be stopped is kept for the next launch.
    """

    python: str
    wheel: str
    release: Release
    leased: bool
    meter: Meter
    keep_warm: float = 0.0

    @classmethod
    def of(cls, instructions: Instructions, python: str) -> Description:
        """What of a launch's instructions is no secret, and the absolute path of the studio's Python."""
        told = {field.name: getattr(instructions, field.name) for field in fields(cls) if field.name != "python"}
        return cls(python=python, **told)


@dataclass(frozen=True, kw_only=True)
class Started(Record):
    """Answer of `start`.

    Args:
        started: whether the launch has begun; False when it was stopped before, and when parts are lacking.
        again: whether an earlier `start` or `stop` came first.
        lacking: digests of the parts of the archive that are not on the studio, or were not whole: sent again, the
            launch can be started.
    """

    started: bool
    again: bool
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class News(Record):
    """Answer of `read`: what is new since the offsets.

    Args:
        status: how far the launch is; None before that is recorded.
        alive: whether the supervisor runs.
        log: new text of the log; of a launch that has finished its last 2 MiB, with a line that says what is left out.
        log_offset: bytes of the log up to the end of that text.
        more: whether the log has more already.
        runs: ZenML runs that were recorded since.
        runs_offset: bytes of the record of runs up to the last of them.
        jobs: last word of each Lightning job of the launch, in the order of their first.
    """

    status: Status | None
    alive: bool
    log: str
    log_offset: int
    more: bool
    runs: tuple[RunRecord, ...]
    runs_offset: int
    jobs: tuple[JobRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Glance(Record):
    """Answer of `peek`, which does not count as following.

    Args:
        status: how far the launch is; None before that is recorded.
        alive: whether the supervisor runs.
    """

    status: Status | None
    alive: bool


@dataclass(frozen=True, kw_only=True)
class Stopping(Record):
    """Answer of `stop`.

    Args:
        stopping: whether there is a supervisor that ends the command now.
    """

    stopping: bool


@dataclass(frozen=True, kw_only=True)
class Left(Record):
    """Answer of `leave`.

    Args:
        left: whether the payload knows that nobody follows.
        releases: whether there is a guardian that releases the studio.
    """

    left: bool
    releases: bool


@dataclass(frozen=True, kw_only=True)
class Leased(Record):
    """Answer of `lease`.

    Args:
        acquired: whether the launch has the studio's lease now.
        launch: id of the launch that has it instead; '' when acquired.
        owner: who started that launch, in a few words; '' when acquired.
        put_back: whether the studio, acquired, was found stopped by a launch that started it, and is to be stopped.
    """

    acquired: bool
    launch: str = ""
    owner: str = ""
    put_back: bool = False


@dataclass(frozen=True, kw_only=True)
class Renewed(Record):
    """Answer of `renew`.

    Args:
        renewed: whether the launch has the lease, and is not giving it back.
    """

    renewed: bool


@dataclass(frozen=True, kw_only=True)
class Unleased(Record):
    """Answer of `unlease`.

    Args:
        released: whether the launch had the lease, so that the studio is its own to end.
        put_back: whether the studio was found stopped by a launch that started it, and is to be stopped again.
    """

    released: bool
    put_back: bool = False


def minutes(seconds: float) -> str:
    """So many minutes, in words."""
    return f"{seconds / 60:g} {'minute' if seconds == 60 else 'minutes'}"
