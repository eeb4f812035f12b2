"""What to launch (`LaunchSpec`) and what can be told of it (`Status`, `Update`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from lightning_zenml.launch.payload.protocol import Failure, Installer, Phase, Status
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.package.archive import Archive

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.machines import Machine

__all__ = ["Failure", "FollowedLaunch", "Installer", "KeepStudio", "LaunchSpec", "Phase", "Status", "Update"]


class KeepStudio(StrEnum):
    """What becomes of the studio at the end of a launch."""

    AUTO = "auto"
    KEEP = "keep"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """A command, in an archive of a repository, on a studio.

    Args:
        name: pipeline or repository; a fresh studio is named after it.
        owner: who launches, in a few words; shown to a launch that waits for the same studio.
        archive: the packaged repository.
        command: bash; exit code 0 means success.
        studio_name: studio to use or create; None: a fresh studio, deleted at the end.
        studio_pool: number of studios, `<studio_name>-1` and so on, of which the launch takes one that is free; None:
            it is the one of that name.
        machines: machine names in order of preference; empty: the machine the studio is on, or a CPU.
        commands: bash lines run before `command`, in one session; the first failure ends the launch.
        packages: requirement specifiers that every launch needs (zenml as on the server, ...).
        late_packages: finds out further ones, in a thread of its own while the studio starts: it may take its time.
        requirements: requirement specifiers of the user, or `-r <file>` relative to the repository.
        installer: what installs packages and requirements.
        environment: variables of commands and command; secrets among them are fine (0600 file, never a command line).
        working_directory: where `command` runs, relative to the repository.
        timeout: seconds until the launch is stopped, installing included; None: no limit, but two hours for installing.
        max_cost: US dollars, of studio and jobs together, after which the launch is stopped; None: no limit.
        keep_studio: what becomes of the studio at the end.
        keep_warm: seconds for which the machine of a named studio that is to be stopped is kept for the next launch.
        stop_idle_gpu: seconds after which the launch is stopped if no GPU of its machine is used; 0: it is not.
        interruptible: on a spot machine.
        cloud: cloud account or provider for a new studio.
        restarts: how often a command that was killed is started again, with `LIGHTNING_ZENML_RESTARTED` set; `commands`
            are not run again.
        on_failure: arguments of the studio's Python, which also finds our own package, run in the command's environment
            with the reason in `LIGHTNING_ZENML_FAILURE` when the command failed, was killed or never started: whoever
            waits for it elsewhere (a ZenML run) learns of an end that it can't report itself. Where nobody follows
            a launch that has made runs, it runs at its end, with the `Status` in `LIGHTNING_ZENML_END` instead.
        watch: arguments of the same Python for a program that watches until `command` begins, and ends with 0 once the
            launch is to be stopped: installing may take long, and costs.
    """

    name: str
    owner: str
    archive: Archive
    command: str
    studio_name: str | None = None
    studio_pool: int | None = None
    machines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    late_packages: Callable[[], Sequence[str]] = tuple
    requirements: tuple[str, ...] = field(default=(), repr=False)
    installer: Installer = Installer.UV
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    working_directory: str = "."
    timeout: float | None = None
    max_cost: float | None = None
    keep_studio: KeepStudio = KeepStudio.AUTO
    keep_warm: float = 0.0
    stop_idle_gpu: float = 0.0
    interruptible: bool = False
    cloud: str | None = None
    restarts: int = 0
    on_failure: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one poll brought.

    Args:
        status: the payload's record.
        log: new log text, whole lines except perhaps the last; '' when there is nothing new.
        runs: ZenML runs that our orchestrator has begun since the last update.
        jobs: all Lightning jobs of the launch so far, with the last word of each.
    """

    status: Status
    log: str = ""
    runs: tuple[RunRecord, ...] = ()
    jobs: tuple[JobRecord, ...] = ()


class FollowedLaunch(Protocol):
    """What is followed: a launch on a studio, or a command on the runner that makes some."""

    @property
    def id(self) -> str:
        """Id of the launch; '' before there is one."""

    @property
    def studio_name(self) -> str:
        """Name of the launch's studio; '' before there is one."""

    @property
    def studio_url(self) -> str:
        """Page of the launch's studio; '' before there is one."""

    @property
    def machine(self) -> str:
        """Name of the studio's machine; '' where it isn't known."""

    @property
    def warmth(self) -> str:
        """How long the studio's machine is kept for the next launch, and at what price, in words; '': it isn't."""

    @property
    def deletes_studio(self) -> bool:
        """Whether the studio is deleted when it is released."""

    @property
    def cost(self) -> float | None:
        """US dollars so far, jobs among it; None where a price isn't known."""

    def machines(self) -> Sequence[Machine]:
        """The machines that there are where it runs.

        Raises:
            LaunchError: if Lightning can't be asked.
        """

    @property
    def release_notice(self) -> str:
        """What became of the studio, in words."""

    def follow(self) -> Iterator[Update]:
        """Yields what is new until the launch is finished.

        Raises:
            StudioLostError: if the studio is gone before the launch is finished.
            LaunchError: if the launch can't be followed.
        """

    def leave(self) -> None:
        """Leaves the launch to itself: it releases its studio at its end.

        Raises:
            LaunchError: if the launch can't be told.
        """

    def end(self, *, grace: float) -> None:
        """Ends the command, and waits for its end; releases nothing.

        Args:
            grace: seconds that the run has for an orderly end.

        Raises:
            LaunchError: if Lightning can't be asked.
        """

    def stop(self, *, grace: float = ...) -> None:
        """Ends the launch and releases its studio.

        Args:
            grace: seconds that the run has for an orderly end.

        Raises:
            LaunchError: if the studio can't be released.
        """

    def release(self) -> None:
        """Releases the studio of a launch that has finished.

        Raises:
            LaunchError: if the studio can't be released.
        """
