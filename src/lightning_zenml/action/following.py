"""Following a launch to its end, or as far as we are to: nothing that goes wrong in telling of it ends the run."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from lightning_zenml.action.earlier_launch import EarlierLaunch
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.limit import CostLimit
from lightning_zenml.action.report import State
from lightning_zenml.action.report.ending import Ending
from lightning_zenml.action.report.parts import end_of_launch, record_of
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs, end_runs
from lightning_zenml.action.starter import Starter
from lightning_zenml.codes import Code
from lightning_zenml.deadline import within
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.payload.records import RunRecord
from lightning_zenml.launch.spec import Failure, FollowedLaunch, Phase, Status
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.server import ZenMLServer

_CANCEL_GRACE = 3.0
"""Seconds that a cancelled run gets: GitHub kills this container ten seconds after the cancel."""
_CANCEL_LOOK = 2.0
"""Seconds for ZenML to tell how a cancelled run stands now, whose last word was that it runs."""
_CANCEL_PATIENCE = 4.0
"""Seconds for the last report of a cancelled run; `post` tells what is missing."""

_LEAVE_PATIENCE = 30.0
"""Seconds for a payload to hear that nobody follows: it finds out by itself, too."""


class _HurriedError(BaseException):
    """Whoever has interrupted has done so again."""


class Following:
    """Follows one launch.

    Args:
        inputs: the step's inputs.
        starter: whoever has started the launch.
        zenml: the ZenML server.
        workflow: the runner, for outputs and annotations.
        handover: what post is told.
        log: the step's log.
        reporter: what tells of the run elsewhere.
        runs: the pipeline runs of the launch.
        ending: what tells of the end.
        earlier: the launch that `attach` names.

    Attributes:
        status: last status of the launch that was heard of.
    """

    def __init__(
        self,
        inputs: Inputs,
        starter: Starter,
        *,
        zenml: ZenMLServer,
        workflow: Workflow,
        handover: Handover,
        log: Log,
        reporter: Reporter,
        runs: Runs,
        ending: Ending,
        earlier: EarlierLaunch,
    ) -> None:
        self._inputs = inputs
        self._starter = starter
        self._zenml = zenml
        self._workflow = workflow
        self._handover = handover
        self._log = log
        self._reporter = reporter
        self._runs = runs
        self._ending = ending
        self._earlier = earlier
        self._faults: set[str] = set()
        self._shown = ""
        self._cost_limit = CostLimit(None if inputs.attach else inputs.max_cost, workflow)
        self.status = Status(phase=Phase.STARTING)

    def follow(self, launch: FollowedLaunch) -> int:
        """Follows it, releases it or leaves it, and tells how it ended.

        Args:
            launch: the launch.

        Returns:
            The exit code.
        """
        try:
            end = self._watch(launch)
        except StudioLostError as error:
            return self._conclude_lost(launch, str(error))
        except LaunchError as error:
            return self._leave_unfollowed(launch, str(error))
        except Exception as error:
            self._workflow.log(traceback.format_exc())
            message = (
                f"{of_ours(error)} keeps the launch from being followed. Its run goes on in {launch.studio_url} and "
                "gives the studio back at its end."
            )
            return self._leave_unfollowed(launch, message)
        return end(launch)

    def _watch(self, launch: FollowedLaunch) -> Callable[[FollowedLaunch], int]:
        """Follows to the end, which is told by the method that is to come next.

        Nobody else is waited for meanwhile, and no fault of ours in showing what comes ends anything.
        """
        self._show(launch)
        for update in launch.follow():
            self.status = update.status
            with self._whatever_happens():
                self._show(launch)
                self._log.feed(update.log)
            for record in update.runs:
                with self._whatever_happens():
                    self._add_run(record)
            has_finished = self.status.phase is Phase.FINISHED
            with self._whatever_happens():
                self._handover.note_jobs(update.jobs)
                self._runs.set_jobs(update.jobs)
            with self._whatever_happens():
                # Whoever is stopped on the studio is warned of it all the same.
                is_reached = self._cost_limit.is_reached(launch.cost, launch.machine)
                if is_reached and not has_finished:
                    return self._stop_for_cost
                self._reporter.update(cost=launch.cost)
            if self._inputs.is_async and not self._inputs.attach and self._runs and not has_finished:
                return self._leave
        return self._finish

    def _finish(self, launch: FollowedLaunch) -> int:
        self._log.title("Release the studio")
        released = self.released(launch, launch.release)
        if released:
            self._log.line(launch.release_notice)
            # Nobody else is left who could end a run that never began.
            stillborn = [run_id for run_id in self._handover.run_ids if run_id not in self._runs.ids]
            lost = "Its client, or its launch, ended before the run began on Lightning AI."
            end_runs(self._zenml, stillborn, self._workflow, begun=(), lost=lost)
        with self._whatever_happens():
            self._runs.catalog = launch.machines
            self._earlier.settle_origin()
        return self._ending.conclude(self.status, cost=launch.cost, released=released)

    def _conclude_lost(self, launch: FollowedLaunch, message: str) -> int:
        """The studio is gone and the record with it, perhaps because the run came to its end unseen: ZenML knows."""
        released = self.released(launch, launch.stop)
        with self._whatever_happens():
            self._earlier.settle_origin()
        runs = self._runs.ended(self._ids(launch))
        self.add_all(runs)
        if runs:
            end = end_of_launch(runs, launch.id or self._inputs.attach)
            unknown = "" if end.exit_code is not None else " How the command itself ended isn't known."
            self._workflow.notice(
                f"{message} All its pipeline runs had ended by then, so ZenML tells how.{unknown}",
                Code.END_UNSEEN,
            )
            return self._ending.conclude(end, cost=launch.cost, released=released)
        end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids, lost=message)
        self._runs.refresh(launch.machine, ended=True)
        failure = Failure(phase=Phase.RUNNING, message=message, code=Code.LOST)
        return self._ending.fail(failure, released=released, cost=launch.cost)

    def _leave_unfollowed(self, launch: FollowedLaunch, message: str) -> int:
        """Nothing is known to be wrong with the run, and its payload needs nobody: it is left to itself."""
        self._ending.leave_nothing()
        with self._whatever_happens():
            within(_LEAVE_PATIENCE, launch.leave)
        if runs := self._runs.ended(self._ids(launch), patience=0):
            self.add_all(runs)
            self._workflow.notice(f"{message} All its pipeline runs have ended.", Code.END_UNSEEN)
            return self._ending.conclude(end_of_launch(runs, launch.id or self._inputs.attach), cost=launch.cost)
        attach = f" To follow it again, {self._starter.attach(launch.id)}." if launch.id else ""
        self._log.end()
        self._workflow.error(f"{message} Nothing was stopped.{attach}", Code.UNFOLLOWABLE)
        self._reporter.update(at_once=True, state=State.RUNNING, is_async=True, cost=launch.cost)
        return 1

    def _ids(self, launch: FollowedLaunch) -> set[str]:
        """The launch, and the one in which its run has begun."""
        return {launch_id for launch_id in (launch.id, self._inputs.attach) if launch_id}

    def released(self, launch: FollowedLaunch, release: Callable[[], None]) -> bool:
        """Releases, as far as that is possible: else `post` tries again, and how the run ended is told all the same.

        Args:
            launch: the launch.
            release: how it is released.

        Returns:
            Whether all is released.
        """
        try:
            release()
        except Exception as error:
            if not isinstance(error, LaunchError):
                self._workflow.log(traceback.format_exc())
            message = f"{error} {self._starter.insisting}"
            self._workflow.warning(message, Code.NOT_RELEASED, title="Not released yet")
            return False
        self._reporter.report = replace(self._reporter.report, studio_deleted=launch.deletes_studio)
        return True

    def _show(self, launch: FollowedLaunch) -> None:
        """Tells of the launch, once it is there; a command on the runner may make several."""
        if launch.id == self._shown:
            return
        self._shown = launch.id
        self._workflow.set_output("studio-url", launch.studio_url)
        self._reporter.update(
            state=State.RUNNING,
            studio_name=launch.studio_name,
            studio_url=launch.studio_url,
            machine=launch.machine,
            warmth=launch.warmth,
            launch_id=launch.id,
            is_async=self._inputs.is_async,
        )

    def _stop_for_cost(self, launch: FollowedLaunch) -> int:
        released = self.released(launch, launch.stop)
        end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids)
        self._runs.refresh(launch.machine, ended=True)
        message = (
            f"Stopped: the run has cost ${launch.cost or 0:.2f}, and `max-cost` allows ${self._inputs.max_cost:g}."
        )
        failure = Failure(phase=Phase.RUNNING, message=message, code=Code.COST)
        return self._ending.fail(failure, state=State.STOPPED, released=released, cost=launch.cost)

    def _add_run(self, record: RunRecord) -> None:
        self._handover.note_run(record)
        self._reporter.report = replace(self._reporter.report, pipeline=record.pipeline or record.run_name)
        self._runs.add(record)

    def add_all(self, runs: Collection[Run]) -> None:
        """Takes the runs that ZenML knows of a launch, which nobody may have heard of here."""
        for run in runs:
            if run.id not in self._runs.ids:
                self._add_run(record_of(run))
        self._runs.settle(runs)

    def _leave(self, launch: FollowedLaunch) -> int:
        # Unheard, the payload finds out by itself.
        with self._whatever_happens():
            launch.leave()
        self._ending.leave_nothing()
        self._log.title("Leave")
        self._log.line(f"The run goes on in {launch.studio_url}; the studio is released when it ends.")
        self._log.line(f"To follow it, {self._starter.attach(launch.id)}.")
        self._runs.refresh(launch.machine)
        self._reporter.update(at_once=True, state=State.RUNNING, cost=launch.cost)
        return 0

    def cancel(self, launch: FollowedLaunch | None) -> None:
        """Stops the launch, or leaves it as asked, after an interruption.

        Args:
            launch: the launch; None before there is one.
        """
        self._log.end()
        has_finished = self.status.phase is Phase.FINISHED
        if launch is not None and launch.id and not self._inputs.stop_on_cancel and not has_finished:
            # An end that came just before the signal is as good, and unheard the payload finds out by itself.
            with self._whatever_happens():
                launch.leave()
            self._workflow.notice(self._starter.goes_on(launch.id, launch.studio_url), Code.GOES_ON)
            self._ending.leave_nothing()
            self._reporter.update(at_once=True, patience=_CANCEL_PATIENCE, state=State.RUNNING, is_async=True)
            return
        if launch is not None:
            try:
                self._stop(launch)
            except Exception as error:
                # Not finished: `post` insists.
                message = (
                    f"The studio {launch.studio_name} could not be released yet: {error} {self._starter.insisting}"
                )
                self._workflow.warning(message, Code.NOT_RELEASED, title="Not released yet")
                return
            self._reporter.report = replace(self._reporter.report, studio_deleted=launch.deletes_studio)
            end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids)
            self._runs.refresh(launch.machine, patience=self._starter.grace or _CANCEL_LOOK)
        stopped = "; the run is stopped and the studio released."
        self._workflow.warning(f"{self._starter.interruption}{stopped}", Code.STOPPED)
        if launch is not None or not self._handover.has_holds:
            self._ending.leave_nothing()
        self._reporter.update(patience=_CANCEL_PATIENCE, state=State.CANCELLED)

    def _stop(self, launch: FollowedLaunch) -> None:
        """Stops it; a further signal may cut its grace short, but no release."""
        if self._starter.grace:
            with contextlib.suppress(_HurriedError), Interruption(_HurriedError, *self._starter.hurriers):
                launch.end(grace=self._starter.grace)
        launch.stop(grace=_CANCEL_GRACE)

    @contextlib.contextmanager
    def _whatever_happens(self) -> Iterator[None]:
        """A block in which something is told; what goes wrong there is logged once, and the run goes on."""
        try:
            yield
        except Exception as error:
            kind = f"{type(error).__name__}: {error}"
            if kind not in self._faults:
                self._faults.add(kind)
                if not isinstance(error, LaunchError):
                    self._workflow.log(traceback.format_exc())
                self._workflow.log(f"The run goes on all the same: {kind}\n")


def of_ours(error: Exception) -> str:
    """The beginning of a sentence on an exception that nobody has foreseen."""
    return f"A fault of this action, not yours ({type(error).__name__}: {error}),"
