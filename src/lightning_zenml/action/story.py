"""The story of one run: check -> package -> launch -> follow -> report."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_zenml.action.checks.refusal import RefusedError
from lightning_zenml.action.earlier_launch import EarlierLaunch
from lightning_zenml.action.following import Following, of_ours
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs, SubmitFrom
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.forecast import Forecast
from lightning_zenml.action.prepare import Preparation
from lightning_zenml.action.report import Report, State
from lightning_zenml.action.report.ending import Ending
from lightning_zenml.action.report.metrics.baseline import Baseline
from lightning_zenml.action.report.parts import end_of_launch
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs
from lightning_zenml.action.report.visualizations.pictures import pictures_of
from lightning_zenml.action.starter import Starter
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.launch.errors import CostReachedError, LaunchError
from lightning_zenml.launch.launcher import Launcher
from lightning_zenml.launch.spec import Failure, FollowedLaunch, Phase
from lightning_zenml.package.errors import PackageError
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer


class Cancelled(BaseException):
    """The workflow is being cancelled; `exit_code` is 128 + the signal."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Story:
    """One run; its methods are the chapters.

    Args:
        inputs: the step's inputs.
        event: what started the workflow run.
        workflow: the runner.
        github: where comment and commit status go; None: nowhere.
        environ: variables of the step.
        root: folder of the checked-out repository.
        starter: whoever starts the launch; None: the workflow.
        zenml: the ZenML server; None: the one that the inputs name.
        handover: what takes note of what must be released; None: the runner does, for `post`.
        stop_is_wanted: whether a run that was stopped has ended as whoever has started the workflow wanted.
        refusals: what is already known to be wrong, so that nothing may be started.

    Attributes:
        refusal: what kept the launch from being started or followed; None: nothing did.
    """

    def __init__(
        self,
        inputs: Inputs,
        event: Event,
        workflow: Workflow,
        github: GitHub | None,
        environ: Mapping[str, str],
        root: Path,
        *,
        starter: Starter | None = None,
        zenml: ZenMLServer | None = None,
        handover: Handover | None = None,
        stop_is_wanted: bool = False,
        refusals: Sequence[CodedError] = (),
    ) -> None:
        starter = starter or Starter.of_workflow(event, inputs)
        self._inputs = inputs
        self._event = event
        self._workflow = workflow
        self._root = root
        self._refusals = refusals
        self.refusal: Exception | None = None
        self._log = Log(workflow)
        # Where an earlier launch comes from tells its run.
        origin = None if inputs.attach else Origin.of(event, inputs)
        self._handover = handover or Handover(workflow)
        self._zenml = zenml or ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
        pictures = pictures_of(inputs, event, environ, workflow)
        baseline = Baseline(self._zenml, event, github, inputs.report)
        self._runs = Runs(self._zenml, workflow, baseline=baseline, settings=inputs.report, pictures=pictures)
        self._reporter = Reporter(
            workflow,
            self._handover,
            github,
            event,
            origin,
            comments=inputs.comment,
            look=self._look,
            with_runs=self._runs.added_to,
        )
        self._reporter.report = replace(self._reporter.report, stops_on_cancel=inputs.stop_on_cancel)
        self._preparation = Preparation(
            inputs,
            starter,
            self._root,
            environ,
            zenml=self._zenml,
            workflow=workflow,
            handover=self._handover,
            log=self._log,
            forecast=Forecast(inputs, event, zenml=self._zenml, workflow=workflow, log=self._log),
            refusals=refusals,
        )
        self._ending = Ending(
            workflow,
            self._handover,
            self._log,
            self._reporter,
            self._runs,
            self._root,
            stop_is_wanted=stop_is_wanted,
        )
        self._earlier = EarlierLaunch(
            inputs,
            event,
            zenml=self._zenml,
            reporter=self._reporter,
            handover=self._handover,
            log=self._log,
        )
        self._following = Following(
            inputs,
            starter,
            zenml=self._zenml,
            workflow=workflow,
            handover=self._handover,
            log=self._log,
            reporter=self._reporter,
            runs=self._runs,
            ending=self._ending,
            earlier=self._earlier,
        )

    def run(self, scratch: Path | None = None) -> int:
        """Runs it.

        Args:
            scratch: folder in which what is uploaded gets one of its own; None: the system's.

        Returns:
            The exit code.

        Raises:
            Cancelled: if it is interrupted, after everything was stopped, or left as asked.
        """
        with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
            return self._run(Path(folder))

    @property
    def report(self) -> Report:
        """What there is to tell of it by now."""
        return self._runs.added_to(self._reporter.report)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Ids in ZenML of the runs in that report."""
        return self._runs.ids

    def _run(self, scratch: Path) -> int:
        launch: FollowedLaunch | None = None
        try:
            what = first_line(self._inputs.command) or self._inputs.attach or self._event.workflow
            self._reporter.update(pipeline=what, launch_id=self._inputs.attach)
            if self._inputs.attach:
                if self._refusals:
                    raise RefusedError(self._refusals)
                self._handover.note_attached()
                self._log.title("Attach")
                launch = self._earlier.take_over(self._inputs.attach)
                return self._following.follow(launch) if launch else self._report_ended(self._inputs.attach)
            if self._inputs.submit_from is SubmitFrom.RUNNER:
                launch = self._preparation.submission(scratch)
                self._look_ahead()
            else:
                lightning, spec = self._preparation.carry_out()
                self._look_ahead()
                self._log.title("Start the studio")
                launcher = Launcher(
                    lightning,
                    notify=self._workflow.progress,
                    on_upload=self._workflow.uploading,
                    on_hold=self._handover.note_hold,
                    scratch=scratch,
                )
                launch = launcher.launch(spec)
            return self._following.follow(launch)
        except RefusedError as error:
            self.refusal = error.reasons[0]
            return self._ending.refuse(error.reasons)
        except CostReachedError as error:
            self.refusal = error
            return self._give_up(str(error), error.code, state=State.STOPPED)
        except (LaunchError, PackageError, ZenMLServerError) as error:
            self.refusal = error
            return self._give_up(str(error), error.code)
        except Cancelled:
            self._following.cancel(launch)
            raise
        except Exception as error:
            self._workflow.log(traceback.format_exc())
            if self._following.status.succeeded:
                message = f"The run is completed. {of_ours(error)} kept it from being told as a whole."
                self._workflow.warning(message, Code.FAULT)
                # What nobody has judged has not passed.
                return 1 if self._inputs.report.rules else 0
            return self._give_up(f"{of_ours(error)} ended this step.", Code.FAULT, self._following.status.phase)
        finally:
            self._log.end()

    def _look_ahead(self) -> None:
        """Tells what the run will cost; refuses one that would cost too much."""
        foreseen = self._preparation.look_ahead()
        if foreseen.estimate or foreseen.budget:
            self._reporter.update(estimate=foreseen.estimate, budget=foreseen.budget)

    def _report_ended(self, launch_id: str) -> int:
        """Reports a launch that has ended before anybody attached to it, by what ZenML knows of its runs."""
        runs = self._earlier.runs()
        if not runs:
            message = (
                f"The launch {launch_id} is gone, and ZenML knows no run of it. If it never was there, look for its id "
                "in log and comment of the workflow run that has started it."
            )
            return self._give_up(message, Code.UNKNOWN_LAUNCH)
        if any(run.status == "resuming" for run in runs):
            # Its comment is left to whoever comes when it runs.
            message = (
                "The run is just being resumed; attach to it again in a few minutes, when its new launch has begun."
            )
            self._workflow.error(message, Code.NOT_YET)
            self._ending.leave_nothing()
            return 1
        self._earlier.settle_origin()
        self._following.add_all(runs)
        cost = self._reporter.report.cost
        if not all(run.is_over for run in runs):
            message = (
                f"The launch {launch_id} has ended in the middle of its run: its studio was stopped, deleted or "
                "preempted. Look at it on Lightning AI and run again."
            )
            self._runs.refresh(self._reporter.report.machine, ended=True)
            return self._ending.fail(Failure(phase=Phase.RUNNING, message=message, code=Code.LOST), cost=cost)
        end = end_of_launch(runs, launch_id)
        if end.exit_code is None:
            self._log.line("How the command itself ended is not known any more; its pipeline runs tell how they ended.")
        return self._ending.conclude(end, cost=cost)

    def _look(self) -> None:
        """What a report tells besides, of which whoever reports asks ZenML."""
        # A launch that could not be attached to goes on, and its comment with it.
        if not self._reporter.has_origin and self._handover.has_holds:
            self._earlier.find_origin()
        self._runs.refresh(self._reporter.report.machine)

    def _give_up(self, message: str, code: Code, phase: Phase = Phase.STARTING, *, state: State = State.FAILED) -> int:
        """Fails. What is held by then, `post` releases."""
        failure = Failure(phase=phase, message=message, code=code)
        cost = self._reporter.report.cost
        return self._ending.fail(failure, state=state, released=not self._handover.has_holds, cost=cost)


def first_line(text: str) -> str:
    """What a run is called as long as it has no other name."""
    return re.split(r"[\r\n]", text.strip(), maxsplit=1)[0]
