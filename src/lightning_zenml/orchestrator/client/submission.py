"""From a client to a studio: packs the source root, launches the controller on Lightning and follows it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zenml.enums import ExecutionStatus
from zenml.logger import get_logger
from zenml.utils import source_utils

from lightning_zenml.launch.caller import Caller
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.spec import Phase, Status
from lightning_zenml.orchestrator.client import watchdog
from lightning_zenml.orchestrator.client.launching import launch_spec, studio_machines
from lightning_zenml.orchestrator.client.packing import pack_code
from lightning_zenml.orchestrator.client.run_end import fail, how_it_ended, raise_unless_succeeded
from lightning_zenml.orchestrator.client.telling import Telling
from lightning_zenml.orchestrator.connect import connect
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.start import Start

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse
    from zenml.stack import Stack

logger = get_logger(__name__)

_ENDED = {
    ExecutionStatus.COMPLETED: "is completed",
    ExecutionStatus.FAILED: "has failed",
    ExecutionStatus.STOPPED: "was stopped",
    ExecutionStatus.CANCELLED: "was cancelled",
    ExecutionStatus.PAUSED: "is paused: it waits for something outside",
}


class Submission:
    """A run whose controller has been launched.

    Args:
        launch: the controller's launch.
        run: the ZenML run.
        caller: whoever started this client.
        start: where the pipeline was started.
    """

    def __init__(
        self, launch: Launch, run: PipelineRunResponse, caller: Caller | None = None, start: Start | None = None
    ) -> None:
        self.launch = launch
        self.run = run
        self.start = start or Start()
        self._caller = caller or Caller()

    def follow(self) -> None:
        """Prints the log until the launch has ended, releases the studio, and tells what became of both.

        Interrupted, it leaves the run to itself.

        Raises:
            LaunchError: if the run failed, was stopped, or the studio was lost before it had ended.
            UnfollowableError: if it can't be looked at any more; it goes on.
        """
        with Interruption.by_ctrl_c(), Telling() as telling:
            self._follow(telling)

    def _follow(self, telling: Telling) -> None:
        status = None
        try:
            for update in self.launch.follow():
                telling.log(update.log)
                self._caller.update(self.launch, update)
                status = update.status
        except StudioLostError as error:
            self._conclude_without_studio(error)
            return
        except BaseException:
            self._let_go()
            raise
        self._release()
        # The Action tells that itself.
        if not self._caller.record:
            ended = how_it_ended(self.run.id)
            how = _ENDED.get(ended, "has ended") if ended else "has ended"
            telling.conclude(f"The run `{self.run.name}` {how}. {self.launch.release_notice}.")
        raise_unless_succeeded(status)

    def leave(self) -> None:
        """Waits until the controller runs, then leaves the run to itself.

        Raises:
            LaunchError: if the launch ended before that.
        """
        with Interruption.by_ctrl_c():
            self._leave()

    def _leave(self) -> None:
        status = None
        try:
            for update in self.launch.follow():
                self._caller.update(self.launch, update)
                status = update.status
                if update.runs or status.phase is Phase.FINISHED:
                    break
        except StudioLostError as error:
            self._conclude_without_studio(error)
            return
        except BaseException:
            self._let_go()
            raise
        self._let_go()
        if status is not None and status.phase is Phase.FINISHED:
            raise_unless_succeeded(status)
        logger.info("The run goes on in the studio %s: %s", self.launch.studio_name, self.launch.studio_url)

    def _let_go(self) -> None:
        # Unheard, the payload finds out by itself that nobody follows.
        with contextlib.suppress(LaunchError):
            self.launch.leave()
        self._caller.left(self.launch)

    def _release(self) -> None:
        self.launch.release()
        self._caller.released(self.launch)

    def _conclude_without_studio(self, error: StudioLostError) -> None:
        """Tells how the run ended as ZenML has it: its payload may have come to its end while we could not look.

        Has it not, nobody else is left who could tell ZenML and release what there is.
        """
        ended = how_it_ended(self.run.id)
        try:
            if ended is None:
                fail(self.run, str(error))
        finally:
            self._release()
        if ended is None:
            raise error
        if ended is ExecutionStatus.PAUSED:
            logger.info(
                "The run is paused: it waits for something outside. The studio is gone with the end of its log."
            )
            return
        logger.info("The end of the log is gone with the studio. ZenML has the run as %s.", ended.value)
        stopped = ended in (ExecutionStatus.STOPPED, ExecutionStatus.CANCELLED)
        raise_unless_succeeded(Status(phase=Phase.FINISHED, exit_code=int(not ended.is_successful), stopped=stopped))


def submit(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    run: PipelineRunResponse,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
) -> Submission:
    """Launches the controller of a run.

    Args:
        snapshot: compiled pipeline.
        stack: ZenML stack that the pipeline runs on.
        run: the pipeline's run in ZenML.
        settings: settings of the pipeline.
        environment: variables that connect the controller to the ZenML server; holds the run's token.

    Returns:
        The submission.

    Raises:
        LaunchError: if it can't be launched; what was started is released again.
        PackageError: if the source root can't be packed.
    """
    with Interruption.by_ctrl_c(), Telling() as telling:
        return _submit(snapshot, stack, run, settings, environment, telling)


def _submit(
    snapshot: PipelineSnapshotResponse,
    stack: Stack,
    run: PipelineRunResponse,
    settings: LightningOrchestratorSettings,
    environment: Mapping[str, str],
    telling: Telling,
) -> Submission:
    root, caller = Path(source_utils.get_source_root()), Caller.find()
    start = Start.of(snapshot, run, root, caller.root_to_pack(root))
    caller.submits(str(run.id))
    lightning = connect(settings)
    machines = studio_machines(snapshot, stack, settings, lightning)
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as folder:
        scratch, packed = Path(folder), caller.root_to_pack(root)
        telling.packing(packed)
        archive = pack_code(packed)
        spec = launch_spec(snapshot, stack, run, settings, environment, archive, packed, machines, start)
        with watchdog.beside(lightning, caller, scratch, run.id) as beside:
            tell, upload, hold = telling.notify, telling.uploading, beside.hold
            launcher = Launcher(lightning, notify=tell, on_upload=upload, on_hold=hold, scratch=scratch)
            launch = launcher.launch(caller.adapt(spec, root))
    caller.launched(launch, archive.sha256)
    return Submission(launch, run, caller, start)
