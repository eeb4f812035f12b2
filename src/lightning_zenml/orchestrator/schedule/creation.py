"""How a schedule comes to be: a launch prepares its studio, then Lightning gets the pipeline and its cron schedule.

The launch is like that of any run: code and what the steps import lie in the studio from then on.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from zenml.constants import METADATA_ORCHESTRATOR_URL
from zenml.exceptions import SettingsResolvingError
from zenml.logger import get_logger
from zenml.metadata.metadata_types import MetadataType, Uri
from zenml.orchestrators import PipelineSubmissionError
from zenml.utils import source_utils

from lightning_zenml import codes
from lightning_zenml.codes import Code, marked
from lightning_zenml.launch.caller import Caller
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.launch import Launch
from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.pipeline import LightningPipeline, remove
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.payload.variables import (
    CODE,
    EXECUTION,
    LAUNCH_DIR,
    LAUNCH_ID,
    MACHINE,
    STUDIO_NAME,
    STUDIO_URL,
    TEAMSPACE,
    UV_TRAP,
    ZENML_CONFIG_PATH,
)
from lightning_zenml.launch.spec import KeepStudio, LaunchSpec
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.launch.watchdog import Watchdog
from lightning_zenml.orchestrator.checks import settings_to_pass_on
from lightning_zenml.orchestrator.client.launching import base_spec, studio_machines
from lightning_zenml.orchestrator.client.packing import pack_code
from lightning_zenml.orchestrator.client.run_end import raise_unless_succeeded
from lightning_zenml.orchestrator.connect import connect
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.schedule.checks import problems, refusal, timezone
from lightning_zenml.orchestrator.schedule.lifecycle import name_of
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.start import Start, check_imports
from lightning_zenml.package.archive import Archive
from lightning_zenml.package.errors import PackageError

if TYPE_CHECKING:
    from zenml.models import PipelineSnapshotResponse, ScheduleResponse
    from zenml.stack import Stack

logger = get_logger(__name__)

_KEEP = f'touch "${LAUNCH_DIR}/{layout.KEPT}"'
"""What the launch runs: later ones on that studio must not clear away this one's code."""


def create(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
) -> dict[str, MetadataType]:
    """Makes a schedule: prepares its studio, then the pipeline and its cron schedule.

    Args:
        snapshot: compiled pipeline, with the schedule.
        stack: ZenML stack that the pipeline runs on.
        settings: settings of the pipeline.
        environment: variables that connect to the ZenML server; hold the schedule's token.

    Returns:
        Metadata of the schedule, under ZenML's names.

    Raises:
        PipelineSubmissionError: if the schedule can't be made; nothing of it is left, and ZenML forgets it.
    """
    schedule = snapshot.schedule
    if found := list(problems(schedule, settings)):
        raise PipelineSubmissionError(marked(refusal(found, schedule.cron_expression), Code.SCHEDULE))
    try:
        lightning = connect(settings)
        with Interruption.by_ctrl_c():
            return _Creation(lightning, snapshot, stack, settings, environment).carry_out()
    except (LaunchError, PackageError, SettingsResolvingError) as error:
        why, code = codes.of(error, Code.SETTINGS)
        raise PipelineSubmissionError(marked(f"The schedule can't be made: {why}", code)) from error
    except KeyboardInterrupt:
        told = "Interrupted: the schedule isn't made, and nothing of it is left."
        raise PipelineSubmissionError(marked(told, Code.SCHEDULE)) from None


class _Creation:
    """A schedule in the making."""

    def __init__(
        self,
        lightning: Lightning,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        settings: LightningOrchestratorSettings,
        environment: Mapping[str, str],
    ) -> None:
        self._lightning = lightning
        self._snapshot = snapshot
        self._stack = stack
        context = LaunchContext.find()
        # The studio that we may stand in is held by the launch that we are part of, and goes with it.
        self._main_studio = None if context else settings.main_studio_name
        self._settings = settings.model_copy(update={"main_studio_name": self._main_studio})
        self._environment = environment
        self._schedule: ScheduleResponse = snapshot.schedule
        self._name = name_of(snapshot, self._schedule)
        self._root = Path(source_utils.get_source_root())
        # In a studio, the repository that its launch has unpacked travels on as a whole, as it does from a runner.
        self._caller = replace(Caller.find(), repository=str(context.code.resolve())) if context else Caller.find()
        packed = self._caller.root_to_pack(self._root)
        check_imports(snapshot, self._root, packed)
        self._start = Start.here(self._root, packed)
        self._hold: Hold | None = None

    def carry_out(self) -> dict[str, MetadataType]:
        machine = self._machine()
        with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as folder:
            scratch = Path(folder)
            with Watchdog(self._lightning, self._caller, scratch) as watchdog:
                return self._make(machine, scratch, watchdog)

    def _make(self, machine: Machine, scratch: Path, watchdog: Watchdog) -> dict[str, MetadataType]:
        try:
            launch = self._prepare(scratch, watchdog)
            pipeline = self._pipeline(launch, machine)
            # What is killed from now on leaves a schedule, which goes when ZenML deletes it.
            self._let_go(watchdog)
            schedule = self._schedule
            pipeline.schedule(schedule.cron_expression, name=schedule.name, timezone=timezone(self._settings))
        except BaseException:
            if self._hold is not None:
                watchdog.hold(self._hold)
            remove(self._lightning, self._name)
            self._let_go(watchdog)
            raise
        logger.info("Scheduled on Lightning AI: %s", pipeline.url)
        return {METADATA_ORCHESTRATOR_URL: Uri(pipeline.url)}

    def _machine(self) -> Machine:
        """That of the jobs, of the studio's cloud account; what can't be had is found out before anything costs."""
        machines = studio_machines(self._snapshot, self._stack, self._settings, self._lightning)
        studio = Studio.find(self._lightning, self._main_studio) if self._main_studio else None
        cluster = studio.cluster if studio else self._settings.cloud
        return Catalog(self._lightning, cluster).choose(machines)

    def _prepare(self, scratch: Path, watchdog: Watchdog) -> Launch:
        """Puts code and packages into the studio; on a CPU, or on what the studio runs on already."""
        packed, take = self._caller.root_to_pack(self._root), partial(self._take, watchdog)
        archive = pack_code(packed)
        launcher = Launcher(self._lightning, notify=logger.info, on_hold=take, scratch=scratch)
        launch = launcher.launch(self._caller.adapt(self._spec(archive, packed), self._root))
        status = None
        try:
            for news in launch.follow():
                print(news.log, end="", flush=True)
                self._caller.update(launch, news)
                status = news.status
        except BaseException:
            launch.stop()
            take(launch.hold.released())
            raise
        launch.release()
        take(launch.hold.released())
        raise_unless_succeeded(status)
        return launch

    def _take(self, watchdog: Watchdog, hold: Hold) -> None:
        """Tells what to release should we be killed: all of a studio that has no schedule yet."""
        self._hold = hold if self._main_studio else replace(hold, release=Release.DELETE)
        watchdog.hold(self._hold)

    def _let_go(self, watchdog: Watchdog) -> None:
        """Tells that the schedule needs its studio, or that this is deleted."""
        if self._hold is not None and not self._main_studio:
            watchdog.hold(self._hold.released())

    def _spec(self, archive: Archive, packed: Path) -> LaunchSpec:
        spec = base_spec(
            self._snapshot,
            self._stack,
            self._settings,
            self._environment,
            archive,
            packed,
            machines=(),
            owner=f"ZenML schedule {self._schedule.name}",
            command=_KEEP,
        )
        return replace(
            spec,
            studio_name=self._main_studio or self._name,
            keep_studio=spec.keep_studio if self._main_studio else KeepStudio.STOP,
            interruptible=False,
            timeout=None,
        )

    def _pipeline(self, launch: Launch, machine: Machine) -> LightningPipeline:
        hold, settings = launch.hold, self._settings
        studio = Studio(self._lightning, id=hold.studio_id, name=hold.studio_name, cluster=hold.cluster)
        url = LightningPipeline(self._lightning, id="", name=self._name).url
        environment = {
            **self._environment,
            **settings.environment,
            "PYTHONUNBUFFERED": "1",
            # In the home, ZenML's tokens would be among the artifacts of the job.
            ZENML_CONFIG_PATH: "/tmp/zenml",  # noqa: S108
            LAUNCH_ID: launch.id,
            STUDIO_NAME: studio.name,
            # What `orchestrator_url` leads to: the studio stands still, log and job are on this page.
            STUDIO_URL: url,
            MACHINE: machine.name,
            TEAMSPACE: f"{self._lightning.owner}/{self._lightning.teamspace}",
            **settings_to_pass_on(),
        }
        # It would hold for longer than the schedule and open more than its token does.
        environment.pop("ZENML_STORE_API_KEY", None)
        job = JobSpec(
            name=self._name,
            command=_command(launch.id, hold.python, self._snapshot.id, self._caller.inside(self._root), self._start),
            machine=machine,
            environment=environment,
            interruptible=settings.interruptible,
            max_runtime=int(settings.timeout) if settings.timeout else None,
            max_run_attempts=1,
            snapshot=self._name if settings.reuse_snapshot else "",
            token=self._name,
        )
        return LightningPipeline.create(self._lightning, studio, job)


def _command(launch_id: str, python: str, snapshot_id: object, source_root: str, start: Start) -> str:
    """Bash that makes of a job's copy of the home what a launch makes of the studio's, and starts `execution` there."""
    folder, executables = shlex.quote(f"{layout.HOME}/{layout.launch(launch_id)}"), PurePosixPath(python).parent
    code = shlex.quote(str(PurePosixPath("code", source_root)))
    return (
        f'export {LAUNCH_DIR}="$HOME"/{folder} && export {CODE}="${LAUNCH_DIR}"/{code} && cd "${CODE}"\n'
        f'export PATH={shlex.quote(str(executables))}:"$PATH"\n'
        f"unset {UV_TRAP}\n"
        f"run() {{ {shlex.quote(python)} -m lightning_zenml.orchestrator.schedule.execution"
        f" --snapshot-id {snapshot_id} --start {shlex.quote(str(start))} $1; }}\n"
        f"export {EXECUTION}=$(tr -d - < /proc/sys/kernel/random/uuid)\n"
        "code=0; run || code=$?\n"
        # Killed, for want of memory most likely, it could end nothing of what it had begun.
        "test $code -lt 128 || run --after-crash\n"
        "exit $code\n"
    )
