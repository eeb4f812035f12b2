"""The story of one run: check -> package -> launch -> follow -> report."""

from __future__ import annotations

import contextlib
import re
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lightning_zenml.action.earlier_launch import EarlierLaunch
from lightning_zenml.action.ending import Ending, goes_on
from lightning_zenml.action.github.admission import event_of, github_of, mask_secrets, settled
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs, InputsError, SubmitFrom
from lightning_zenml.action.log import Log
from lightning_zenml.action.prepare import Preparation
from lightning_zenml.action.report import State
from lightning_zenml.action.report.baseline import Baseline
from lightning_zenml.action.report.cost import CostLimit
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs, end_runs
from lightning_zenml.action.runner_launch import FollowedLaunch
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.payload.records import RunRecord
from lightning_zenml.launch.spec import Failure, Phase, Status
from lightning_zenml.package.errors import PackageError
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer

_CANCEL_GRACE = 3.0
"""Seconds that a cancelled run gets: GitHub kills this container ten seconds after the cancel."""


class Cancelled(BaseException):
    """The workflow is being cancelled; `exit_code` is 128 + the signal."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def main(environ: Mapping[str, str], workflow: Workflow) -> int:
    """Runs the action.

    Args:
        environ: variables of the step.
        workflow: the runner.

    Returns:
        The exit code: 0 for a completed run, or one that runs on when asynchronous.

    Raises:
        Cancelled: if the workflow is cancelled, after everything was stopped, or left as asked.
    """
    event = event_of(environ, workflow)
    if event is None:
        return 1
    has_secrets = any(environ.get(name) for name in ("INPUT_LIGHTNING-API-KEY", "LIGHTNING_API_KEY"))
    if reason := event.reason_to_leave(has_secrets=has_secrets):
        return _do_nothing(reason, workflow)
    try:
        inputs = Inputs.from_environ(environ, workspace_of(environ))
    except InputsError as error:
        for name, message in error.problems:
            workflow.error(f"`{name}` {message}", title=f"Input {name}")
        return 1
    mask_secrets(inputs, event, workflow)
    for name, message in inputs.warnings:
        workflow.warning(f"`{name}` {message}", title=f"Input {name}")
    github = github_of(inputs, event)
    event = settled(event, inputs, workspace_of(environ), github, workflow)
    if event is None:
        return 1
    if reason := event.reason_to_leave(has_secrets=has_secrets):
        return _do_nothing(reason, workflow)
    return _Main(environ, inputs, event, github, workflow).run()


def workspace_of(environ: Mapping[str, str]) -> Path:
    """Root of the checked-out repository."""
    return Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()


class _Main:
    """One run; its methods are the chapters."""

    def __init__(
        self, environ: Mapping[str, str], inputs: Inputs, event: Event, github: GitHub | None, workflow: Workflow
    ) -> None:
        self._inputs = inputs
        self._event = event
        self._workflow = workflow
        self._root = workspace_of(environ)
        self._log = Log(workflow)
        # Where an earlier launch comes from tells its run.
        origin = None if inputs.attach else Origin.of(event, inputs)
        self._handover = Handover(workflow)
        self._reporter = Reporter(workflow, self._handover, github, event, origin, comments=inputs.comment)
        self._reporter.report = replace(self._reporter.report, stops_on_cancel=inputs.stop_on_cancel)
        self._zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
        self._preparation = Preparation(
            inputs,
            event,
            self._root,
            environ,
            zenml=self._zenml,
            workflow=workflow,
            handover=self._handover,
            log=self._log,
        )
        baseline = Baseline(self._zenml, event, github, inputs.report)
        self._runs = Runs(self._zenml, workflow, baseline=baseline, settings=inputs.report)
        self._ending = Ending(workflow, self._handover, self._log, self._reporter, self._runs, self._root)
        self._earlier = EarlierLaunch(
            inputs,
            event,
            zenml=self._zenml,
            reporter=self._reporter,
            handover=self._handover,
            log=self._log,
        )
        self._has_finished = False
        self._shown = ""
        self._cost_limit = CostLimit(inputs.max_cost, workflow)

    def run(self) -> int:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            return self._run(Path(scratch))

    def _run(self, scratch: Path) -> int:
        launch: FollowedLaunch | None = None
        try:
            self._reporter.update(pipeline=first_line(self._inputs.command) or self._inputs.attach)
            if self._inputs.attach:
                self._log.title("Attach")
                launch = self._earlier.take_over(self._inputs.attach)
                return self._follow_attached(launch) if launch else self._report_ended(self._inputs.attach)
            if self._inputs.submit_from is SubmitFrom.RUNNER:
                launch = self._preparation.submission(scratch)
            else:
                lightning, spec = self._preparation.carry_out(scratch)
                self._log.title("Start the studio")
                launcher = Launcher(lightning, notify=self._log.line, on_hold=self._handover.note_hold)
                launch = launcher.launch(spec)
            return self._follow(launch)
        except (LaunchError, PackageError, ZenMLServerError) as error:
            return self._give_up(launch, str(error), lost=isinstance(error, StudioLostError))
        except Cancelled:
            self._cancel(launch)
            raise
        except Exception as error:
            self._workflow.log(traceback.format_exc())
            return self._give_up(launch, f"A fault of this action, not yours ({type(error).__name__}: {error}).")
        finally:
            self._log.end()

    def _follow_attached(self, launch: Launch) -> int:
        try:
            return self._follow(launch)
        except StudioLostError:
            runs = self._earlier.runs()
            was_resumed = launch.id != self._inputs.attach
            if not was_resumed or any(not run.finished and run.status != "paused" for run in runs):
                raise
            # Whoever resumed the run follows it, too, and was quicker to release the studio.
            launch.stop()
            return self._report_ended(launch.id)

    def _report_ended(self, launch_id: str) -> int:
        """Reports a launch that has ended before anybody attached to it, by what ZenML knows of its runs."""
        runs = self._earlier.runs()
        if not runs:
            return self._give_up(None, f"The launch {launch_id} has ended, and ZenML knows no run of it.")
        if any(run.status == "resuming" for run in runs):
            # Its comment is left to whoever comes when it runs.
            message = (
                "The run is just being resumed; attach to it again in a few minutes, when its new launch has begun."
            )
            self._workflow.error(message, title="Not yet")
            self._ending.leave_nothing()
            return 1
        self._earlier.settle_origin()
        for run in runs:
            self._add_run(
                RunRecord(
                    run_id=run.id,
                    run_name=run.name,
                    pipeline=run.pipeline,
                    run_url=run.url,
                    orchestrator_url=run.orchestrator_url or "",
                )
            )
        if any(not run.finished and run.status != "paused" for run in runs):
            self._runs.refresh(self._reporter.report.machine, ended=True)
            message = (
                f"The launch {launch_id} has ended in the middle of its run: its studio was stopped, deleted or "
                "preempted. Look at it on Lightning AI and run again."
            )
            return self._ending.fail(Failure(phase=Phase.RUNNING, message=message), cost=None)
        self._log.line("How the command itself ended is not known any more; its pipeline runs tell how they ended.")
        return self._ending.conclude(Status(phase=Phase.FINISHED), cost=None)

    def _follow(self, launch: FollowedLaunch) -> int:
        status = Status(phase=Phase.STARTING)
        self._show(launch)
        for update in launch.follow():
            status = update.status
            self._show(launch)
            self._log.feed(update.log)
            for record in update.runs:
                self._add_run(record)
            if not self._reporter.has_origin and self._reporter.is_due:
                self._earlier.find_origin()
            self._handover.note_jobs(update.jobs)
            self._runs.set_jobs(update.jobs)
            self._has_finished = status.phase is Phase.FINISHED
            if self._inputs.is_async and not self._inputs.attach and self._runs and not self._has_finished:
                return self._leave(launch)
            if not self._has_finished and self._cost_limit.is_reached(launch.cost, launch.machine):
                return self._stop_for_cost(launch)
            if self._reporter.is_due:
                self._runs.refresh(launch.machine)
            self._reporter.update(cost=launch.cost, runs=self._runs.reports, jobs=self._runs.jobs)
        self._log.title("Release the studio")
        released = self._released(launch, launch.release)
        if released:
            self._log.line(launch.release_notice)
            # Nobody else is left who could end a run that never began.
            stillborn = [run_id for run_id in self._handover.run_ids if run_id not in self._runs.ids]
            lost = "Its client, or its launch, ended before the run began on Lightning AI."
            end_runs(self._zenml, stillborn, self._workflow, begun=(), lost=lost)
        self._earlier.settle_origin()
        return self._ending.conclude(status, cost=launch.cost, released=released)

    def _released(self, launch: FollowedLaunch, release: Callable[[], None]) -> bool:
        """Whether all could be released; else `post` tries again, and how the run ended is told all the same."""
        try:
            release()
        except LaunchError as error:
            self._workflow.warning(f"{error} It is tried once more when the job ends.", title="Not released yet")
            return False
        self._note_released(launch)
        return True

    def _note_released(self, launch: FollowedLaunch) -> None:
        self._reporter.report = replace(self._reporter.report, studio_deleted=launch.deletes_studio)

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
            launch_id=launch.id,
            is_async=self._inputs.is_async,
        )

    def _stop_for_cost(self, launch: FollowedLaunch) -> int:
        released = self._released(launch, launch.stop)
        end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids)
        self._runs.refresh(launch.machine, ended=True)
        message = (
            f"Stopped: the run has cost ${launch.cost or 0:.2f}, and `max-cost` allows ${self._inputs.max_cost:g}."
        )
        failure = Failure(phase=Phase.RUNNING, message=message)
        return self._ending.fail(failure, state=State.STOPPED, released=released, cost=launch.cost)

    def _add_run(self, record: RunRecord) -> None:
        self._handover.note_run(record)
        self._runs.add(record)
        self._reporter.report = replace(self._reporter.report, pipeline=record.pipeline or record.run_name)

    def _leave(self, launch: FollowedLaunch) -> int:
        # Unheard, the payload finds out by itself.
        with contextlib.suppress(LaunchError):
            launch.leave()
        self._log.title("Leave")
        self._log.line(f"The run goes on in {launch.studio_url}; the studio is released when it ends.")
        self._runs.refresh(launch.machine)
        self._reporter.update(at_once=True, state=State.RUNNING, runs=self._runs.reports, cost=launch.cost)
        self._ending.leave_nothing()
        return 0

    def _give_up(self, launch: FollowedLaunch | None, message: str, *, lost: bool = False) -> int:
        """Fails for a reason that the launch's own record does not tell."""
        released = not self._handover.has_holds
        if launch is not None:
            try:
                launch.stop()
                self._note_released(launch)
                released = lost = True
            except LaunchError as error:
                message = f"{message} And the studio could not be released yet: {error}"
            if lost:
                end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids, lost=message)
                self._runs.refresh(launch.machine, ended=True)
        failure = Failure(phase=Phase.RUNNING if launch else Phase.STARTING, message=message)
        return self._ending.fail(failure, released=released, cost=self._reporter.report.cost)

    def _cancel(self, launch: FollowedLaunch | None) -> None:
        self._log.end()
        if launch is not None and launch.id and not self._inputs.stop_on_cancel and not self._has_finished:
            # An end that came just before the signal is as good, and unheard the payload finds out by itself.
            with contextlib.suppress(LaunchError):
                launch.leave()
            self._workflow.notice(goes_on(launch.id, launch.studio_url), title="The run goes on")
            self._ending.leave_nothing()
            self._reporter.update(at_once=True, state=State.RUNNING, is_async=True, runs=self._runs.reports)
            return
        if launch is not None:
            try:
                launch.stop(grace=_CANCEL_GRACE)
            except LaunchError as error:
                # Not finished: `post` tries again.
                self._workflow.error(f"The studio {launch.studio_name} could not be released: {error}")
                return
            self._note_released(launch)
            end_runs(self._zenml, self._handover.run_ids, self._workflow, begun=self._runs.ids)
        self._workflow.warning("The workflow is cancelled; the run is stopped and the studio released.")
        self._reporter.update(state=State.CANCELLED, runs=self._runs.reports)
        if launch is not None or not self._handover.has_holds:
            self._ending.leave_nothing()


def _do_nothing(reason: str, workflow: Workflow) -> int:
    workflow.notice(reason, title="Nothing was started")
    return 0


def first_line(text: str) -> str:
    """What a run is called as long as it has no other name."""
    return re.split(r"[\r\n]", text.strip(), maxsplit=1)[0]
