"""The story of one run: check -> package -> launch -> follow -> report."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_zenml.action import failure as failures
from lightning_zenml.action.baseline import Baseline
from lightning_zenml.action.event import Event
from lightning_zenml.action.github import GitHub
from lightning_zenml.action.inputs import Inputs, InputsError, SubmitFrom
from lightning_zenml.action.log import Log
from lightning_zenml.action.prepare import Preparation, connect
from lightning_zenml.action.report import State
from lightning_zenml.action.reporter import Reporter
from lightning_zenml.action.runner_launch import RunnerLaunch
from lightning_zenml.action.runs import Runs, end_runs
from lightning_zenml.action.workflow import Workflow
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.launcher import Hold, Launch, Launcher
from lightning_zenml.launch.spec import Failure, Phase, Status
from lightning_zenml.package.errors import PackageError
from lightning_zenml.zenml_rest import ZenMLServerError
from lightning_zenml.zenml_server import ZenMLServer

_CANCEL_GRACE = 3.0
"""Seconds that a cancelled run gets: GitHub kills this container ten seconds after the cancel."""
_COST_WARNING = 0.8
"""Part of `max-cost` from which on there is a warning."""


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
        Cancelled: after everything was stopped, or left as asked.
    """
    event = Event.from_environ(environ)
    has_secrets = any(environ.get(name) for name in ("INPUT_LIGHTNING-API-KEY", "LIGHTNING_API_KEY"))
    if reason := event.reason_to_leave(has_secrets=has_secrets):
        workflow.notice(reason, title="Nothing was started")
        return 0
    try:
        inputs = Inputs.from_environ(environ, workspace_of(environ))
    except InputsError as error:
        for name, message in error.problems:
            workflow.error(f"`{name}` {message}", title=f"Input {name}")
        return 1
    for secret in inputs.secrets:
        workflow.mask(secret)
    for name, message in inputs.warnings:
        workflow.warning(f"`{name}` {message}", title=f"Input {name}")
    return _Main(environ, inputs, event, workflow).run()


def workspace_of(environ: Mapping[str, str]) -> Path:
    """Root of the checked-out repository."""
    return Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()


def comment_key(inputs: Inputs, event: Event) -> str:
    """Tells the comments of several workflows and jobs on one pull request apart."""
    return inputs.comment_key or f"{event.workflow}/{event.job}"


def github_of(inputs: Inputs, event: Event) -> GitHub | None:
    """GitHub, where comments are wanted and possible."""
    if not (inputs.comment and inputs.github_token and event.repository):
        return None
    return GitHub(event.api_url, inputs.github_token)


class _Main:
    """One run; its methods are the chapters."""

    def __init__(self, environ: Mapping[str, str], inputs: Inputs, event: Event, workflow: Workflow) -> None:
        self._inputs = inputs
        self._event = event
        self._workflow = workflow
        self._root = workspace_of(environ)
        self._log = Log(workflow)
        self._reporter = Reporter(workflow, github_of(inputs, event), event, comment_key(inputs, event))
        self._zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
        self._preparation = Preparation(
            inputs, event, self._root, environ, zenml=self._zenml, workflow=workflow, log=self._log
        )
        baseline = Baseline(self._zenml, event, github_of(inputs, event), inputs.report)
        self._runs = Runs(self._zenml, workflow, baseline=baseline, settings=inputs.report)
        self._held = False
        self._warned_of_cost = False

    def run(self) -> int:
        self._reporter.update(pipeline=first_line(self._inputs.command) or self._inputs.attach)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            return self._run(Path(scratch))

    def _run(self, scratch: Path) -> int:
        launch: Launch | RunnerLaunch | None = None
        try:
            if self._inputs.attach:
                launch = self._attach(self._inputs.attach)
                return self._follow(launch) if launch else self._report_ended(self._inputs.attach)
            if self._inputs.submit_from is SubmitFrom.RUNNER:
                launch = self._preparation.submission(scratch, self._hold)
            else:
                lightning, spec = self._preparation.carry_out(scratch)
                self._log.title("Start the studio")
                launch = Launcher(lightning, notify=self._log.line, on_hold=self._hold).launch(spec)
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

    def _attach(self, launch_id: str) -> Launch | None:
        """An earlier launch; None when it has ended."""
        self._log.title("Attach")
        stack = self._zenml.stack(self._inputs.stack)
        lightning = connect(self._inputs, stack.settings)
        try:
            launch = Launcher(lightning).attach(launch_id)
        except StudioLostError as error:
            self._log.line(str(error))
            return None
        self._hold(launch.hold)
        return launch

    def _report_ended(self, launch_id: str) -> int:
        """Reports a launch that has ended before anybody attached to it, by what ZenML knows of its runs."""
        runs = self._zenml.runs_of_launch(launch_id)
        if not runs:
            return self._give_up(None, f"The launch {launch_id} has ended, and ZenML knows no run of it.")
        for run in runs:
            self._add_run(
                {
                    "run_id": run.id,
                    "run_name": run.name,
                    "pipeline": run.pipeline,
                    "run_url": run.url,
                    "orchestrator_url": run.orchestrator_url,
                }
            )
        self._reporter.update(launch_id=launch_id)
        return self._conclude(Status(phase=Phase.FINISHED, exit_code=0), cost=None)

    def _hold(self, hold: Hold) -> None:
        """Notes for `post` what must be released, before it costs anything."""
        self._held = not hold.is_over
        self._workflow.save_state("hold", json.dumps(hold.as_dict()))
        self._workflow.set_output("studio-name", hold.studio_name)
        self._workflow.set_output("launch-id", hold.launch_id)

    def _follow(self, launch: Launch | RunnerLaunch) -> int:
        status = Status(phase=Phase.STARTING)
        self._show(launch)
        for update in launch.follow():
            status = update.status
            self._show(launch)
            self._log.feed(update.log)
            for record in update.runs:
                self._add_run(record)
            self._runs.set_jobs(update.jobs)
            if self._inputs.is_async and self._runs and status.phase is not Phase.FINISHED:
                return self._leave(launch)
            if status.phase is not Phase.FINISHED and self._costs_too_much(launch):
                return self._stop_for_cost(launch)
            if self._reporter.is_due:
                self._runs.refresh(launch.machine)
            self._reporter.update(cost=launch.cost, runs=self._runs.reports, jobs=self._runs.jobs)
        self._log.title("Release the studio")
        launch.release()
        self._log.line(_released(launch))
        return self._conclude(status, cost=launch.cost)

    def _show(self, launch: Launch | RunnerLaunch) -> None:
        """Tells of the launch, once it is there; a command on the runner may make several."""
        if not launch.id or launch.id == self._reporter.report.launch_id:
            return
        self._workflow.set_output("studio-url", launch.studio_url)
        self._reporter.update(
            state=State.RUNNING,
            studio_name=launch.studio_name,
            studio_url=launch.studio_url,
            machine=launch.machine,
            launch_id=launch.id,
            is_async=self._inputs.is_async,
        )

    def _costs_too_much(self, launch: Launch | RunnerLaunch) -> bool:
        """Whether `max-cost` is reached; warns once when most of it is, or when nobody knows the price."""
        limit, cost = self._inputs.max_cost, launch.cost
        if limit is None:
            return False
        if not self._warned_of_cost and (cost is None or cost >= _COST_WARNING * limit):
            self._warned_of_cost = True
            told = (
                f"The price of {launch.machine or 'the machine'} isn't known, so `max-cost` can't be kept."
                if cost is None
                else f"The run has cost ${cost:.2f} of the ${limit:g} that `max-cost` allows."
            )
            self._workflow.warning(told, title="Cost")
        return cost is not None and cost >= limit

    def _stop_for_cost(self, launch: Launch | RunnerLaunch) -> int:
        launch.stop()
        end_runs(self._zenml, self._runs.ids, self._workflow)
        self._runs.refresh(launch.machine, ended=True)
        message = (
            f"Stopped: the run has cost ${launch.cost or 0:.2f}, and `max-cost` allows ${self._inputs.max_cost:g}."
        )
        failure = Failure(phase=Phase.RUNNING, message=message)
        return self._fail(failure, runs=self._runs.reports, cost=launch.cost)

    def _add_run(self, record: Mapping[str, Any]) -> None:
        self._runs.add(record)
        # For `post`, should this process be killed.
        self._workflow.save_state("runs", json.dumps(self._runs.ids))
        self._reporter.report = replace(self._reporter.report, pipeline=record["pipeline"] or record["run_name"])

    def _leave(self, launch: Launch | RunnerLaunch) -> int:
        launch.leave()
        self._log.title("Leave")
        self._log.line(f"The run goes on in {launch.studio_url}; the studio is released when it ends.")
        self._workflow.set_output("status", "running")
        self._workflow.save_state("finished", "true")
        self._runs.refresh(launch.machine)
        self._reporter.update(state=State.RUNNING, runs=self._runs.reports, cost=launch.cost)
        return 0

    def _conclude(self, status: Status, *, cost: float | None) -> int:
        self._runs.refresh(self._reporter.report.machine, ended=True)
        runs, bad = self._runs.reports, self._runs.bad_status
        if status.succeeded and bad is None:
            if not runs:
                self._workflow.warning(
                    "The command ended well, but no pipeline ran on the stack's Lightning orchestrator.",
                    title="No pipeline run",
                )
            self._workflow.set_output("status", "completed")
            self._reporter.update(state=State.COMPLETED, runs=runs, cost=cost)
            self._workflow.save_state("finished", "true")
            return 0
        if status.stopped or (bad in ("stopped", "stopping") and status.failure is None):
            message = "The run was stopped."
            failure = status.failure or Failure(phase=Phase.RUNNING, message=message)
            return self._fail(failure, state=State.STOPPED, runs=runs, cost=cost)
        if step_failure := failures.of_steps(self._runs.steps, self._root):
            return self._fail(step_failure.failure, place=step_failure.place, runs=runs, cost=cost)
        failure = status.failure or Failure(phase=Phase.RUNNING, message=f"The pipeline run is {bad}.")
        failed = failures.of_output(failure, self._root)
        return self._fail(failed.failure, place=failed.place, runs=runs, cost=cost)

    def _give_up(self, launch: Launch | RunnerLaunch | None, message: str, *, lost: bool = False) -> int:
        """Fails for a reason that the launch's own record does not tell."""
        released = not self._held
        if launch is not None:
            try:
                launch.release()
                released = True
                lost = lost or isinstance(launch, RunnerLaunch) or launch.hold.release != "none"
            except LaunchError as error:
                message = f"{message} And the studio could not be released yet: {error}"
            if lost:
                end_runs(self._zenml, self._runs.ids, self._workflow, lost=message)
                self._runs.refresh(launch.machine)
        failure = Failure(phase=Phase.RUNNING if launch else Phase.STARTING, message=message)
        return self._fail(failure, released=released, runs=self._runs.reports)

    def _fail(
        self,
        failure: Failure,
        *,
        state: State = State.FAILED,
        place: failures.Place | None = None,
        released: bool = True,
        **changes: Any,
    ) -> int:
        self._log.end()
        self._workflow.error(
            failure.message,
            title=f"The run {'was ' if state is State.STOPPED else ''}{state.value}",
            file=place.file if place else None,
            line=place.line if place else None,
        )
        self._workflow.set_output("status", state.value)
        self._reporter.update(state=state, failure=failure, **changes)
        self._end(released=released)
        return 1

    def _end(self, *, released: bool) -> None:
        """Tells `post` what is left to do: never the comment, and the studio only when it could not be released."""
        self._workflow.save_state("reported", "true")
        if released:
            self._workflow.save_state("finished", "true")

    def _cancel(self, launch: Launch | RunnerLaunch | None) -> None:
        self._log.end()
        if launch is not None and launch.id and not self._inputs.stop_on_cancel:
            # An end that came just before the signal is as good, and unheard the payload finds out by itself.
            with contextlib.suppress(LaunchError):
                launch.leave()
            self._workflow.notice(
                f"The workflow is cancelled; the run goes on in {launch.studio_url}, as `stop-on-cancel: false` says."
            )
            self._workflow.save_state("finished", "true")
            self._reporter.update(is_async=True)
            return
        if launch is not None:
            try:
                launch.stop(grace=_CANCEL_GRACE)
            except LaunchError as error:
                # Not finished: `post` tries again.
                self._workflow.error(f"The studio {launch.studio_name} could not be released: {error}")
                return
            end_runs(self._zenml, self._runs.ids, self._workflow)
        self._workflow.set_output("status", "stopped")
        self._workflow.warning("The workflow is cancelled; the run is stopped and the studio released.")
        self._reporter.update(state=State.CANCELLED, runs=self._runs.reports)
        self._end(released=launch is not None or not self._held)


def _released(launch: Launch | RunnerLaunch) -> str:
    if isinstance(launch, RunnerLaunch):
        return launch.told_when_released
    done = {"delete": "deleted", "stop": "stopped", "none": "left running"}[launch.hold.release]
    cost = f", cost ${launch.cost:.4f}" if launch.cost is not None else ""
    return f"Studio {launch.studio_name} {done}{cost}"


def first_line(text: str) -> str:
    """What a run is called as long as it has no other name."""
    return re.split(r"[\r\n]", text.strip(), maxsplit=1)[0]
