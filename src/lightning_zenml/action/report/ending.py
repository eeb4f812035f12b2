"""How a run ends: outputs, one annotation, comment and summary, and what is left to `post`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from lightning_zenml.action.checks.refusal import InputError
from lightning_zenml.action.github.check_runs import Annotation
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.log import Log
from lightning_zenml.action.report import Outcome, State
from lightning_zenml.action.report import failure as failures
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs
from lightning_zenml.codes import Code, CodedError, known
from lightning_zenml.launch.spec import Failure, Phase, Status

_MOST_ANNOTATIONS = 10
"""As many of one kind does GitHub show for a step."""
_BEFORE = {State.STOPPED: "was ", State.PAUSED: "is "}


class Ending:
    """Tells of the end, in all the places where somebody may look.

    Args:
        workflow: the runner, for annotations.
        handover: what post is told.
        log: the step's log.
        reporter: comment, summary, commit status and the output `status`.
        runs: the pipeline runs of the launch.
        root: folder of the repository, for annotations in its files.
        stop_is_wanted: whether a run that was stopped has ended as whoever has started the workflow wanted.
    """

    def __init__(
        self,
        workflow: Workflow,
        handover: Handover,
        log: Log,
        reporter: Reporter,
        runs: Runs,
        root: Path,
        *,
        stop_is_wanted: bool = False,
    ) -> None:
        self._workflow = workflow
        self._handover = handover
        self._log = log
        self._reporter = reporter
        self._runs = runs
        self._root = root
        self._stop_is_wanted = stop_is_wanted

    def conclude(self, status: Status, *, cost: float | None, released: bool = True) -> int:
        """Tells how a launch and its runs went.

        Args:
            status: last status of the launch; without an exit code where nobody knows any more how the command ended.
            cost: US dollars that the launch has cost; None where that isn't known.
            released: whether nothing is left for `post` to release.

        Returns:
            The exit code.
        """
        self._runs.refresh(self._reporter.report.machine, ended=True)
        runs, bad = self._runs.reports, self._runs.bad_status
        # A launch that ended long ago has no exit code any more; its runs, of which there are some then, tell.
        went_well = status.succeeded or (status.exit_code is None and not status.failure and not status.stopped)
        if went_well and (bad is None or (status.succeeded and not self._runs.is_up_to_date)):
            if bad is not None:
                self._workflow.warning(
                    "ZenML can't be asked how the pipeline runs ended; the command that waited for them ended well.",
                    Code.ZENML_AWAY,
                )
            if not runs:
                self._workflow.warning(
                    "The command ended well, but no pipeline ran on the stack's Lightning orchestrator.",
                    Code.NO_RUN,
                )
            # Before the report: whoever has to be told, nothing is left to release.
            if released:
                self.leave_nothing()
            exit_code = self._tell_rules()
            self._reporter.update(state=State.COMPLETED, cost=cost)
            return exit_code
        if bad == "paused" and status.failure is None:
            name = next(run.run_name for run in runs if run.status == bad)
            of_zenml = "zenml pipeline runs"
            message = (
                f"The pipeline run `{name}` is paused, as a condition that it waits for isn't met. To go on, run "
                f"`{of_zenml} wait-conditions resolve --interactive --run {name}`, then `{of_zenml} resume {name}`."
            )
            paused = Failure(phase=Phase.RUNNING, message=message, code=Code.PAUSED)
            return self.fail(paused, state=State.PAUSED, released=released, cost=cost)
        if status.stopped or bad in ("stopped", "stopping"):
            # Of a run that is stopped in ZenML, the command that waits for it ends with an error of its own. A failure
            # without an exit code is why the launch has stopped both.
            failure = status.failure
            if failure is None or failure.exit_code is not None:
                failure = Failure(phase=Phase.RUNNING, message="The run was stopped.", code=Code.STOPPED)
            return self.fail(failure, state=State.STOPPED, released=released, cost=cost)
        several = len(runs) > 1
        of_runs = (
            failures.of_steps(steps, self._root, name if several else "") for name, steps in self._runs.steps.items()
        )
        if of_steps := [failure for of_run in of_runs for failure in of_run]:
            self._log.end()
            for other in of_steps[1:_MOST_ANNOTATIONS]:
                self._annotate(other.failure, other.place, title="The run failed")
            first, *others = of_steps
            return self.fail(first.failure, place=first.place, others=others, released=released, cost=cost)
        failure = status.failure or Failure(phase=Phase.RUNNING, message=f"The pipeline run is {bad}.", code=Code.RUN)
        failed = failures.of_output(failure, self._root)
        return self.fail(failed.failure, place=failed.place, released=released, cost=cost)

    def _tell_rules(self) -> int:
        """Annotates the rules that fail the step; the run stays completed."""
        rules = self._runs.rules
        if still_open := [f"`{rule.rule}`: {rule.reason}" for rule in rules if rule.outcome is Outcome.OPEN]:
            self._workflow.notice(". ".join(still_open), Code.OPEN_RULE)
        failed = [f"`{rule.rule}` of `fail-if`: {rule.reason}." for rule in rules if rule.outcome is Outcome.FAILED]
        first, others = failed[: _MOST_ANNOTATIONS - 1], failed[_MOST_ANNOTATIONS - 1 :]
        for message in (*first, *([" ".join(others)] if others else [])):
            self._workflow.error(message, Code.RULE)
        return 1 if failed else 0

    def fail(
        self,
        failure: Failure,
        *,
        state: State = State.FAILED,
        place: failures.Place | None = None,
        others: Sequence[failures.StepFailure] = (),
        released: bool = True,
        cost: float | None,
    ) -> int:
        """Tells of a run that did not complete.

        Args:
            failure: why the run did not complete.
            state: `FAILED`, `STOPPED` or `PAUSED`.
            place: line of a file in the repository that the failure names; None where it names none.
            others: failures of other steps.
            released: whether nothing is left for `post` to release.
            cost: US dollars that the launch has cost; None where that isn't known.

        Returns:
            The exit code, 1.
        """
        self._log.end()
        if not (state is State.STOPPED and self._stop_is_wanted):
            self._annotate(failure, place, title=f"The run {_BEFORE.get(state, '')}{state.value}")
        if released:
            self.leave_nothing()
        failed = (failures.StepFailure(failure=failure, place=place), *others)
        annotations = tuple(filter(None, map(_annotation, failed)))
        self._reporter.update(state=state, failure=failure, annotations=annotations, cost=cost)
        return 1

    def refuse(self, reasons: Sequence[CodedError]) -> int:
        """Tells why nothing was started.

        Args:
            reasons: why, one at least.

        Returns:
            The exit code, 1.
        """
        self._log.end()
        for reason in reasons[: _MOST_ANNOTATIONS - 1]:
            title = f"Input {reason.name}" if isinstance(reason, InputError) else "The run failed"
            self._workflow.error(str(reason), reason.code, title=title)
        if rest := reasons[_MOST_ANNOTATIONS - 1 :]:
            self._workflow.error(". ".join(map(str, rest)), rest[0].code, title="The run failed")
        self.leave_nothing()
        first, *others = (Failure(phase=Phase.STARTING, message=str(one), code=one.code) for one in reasons)
        self._reporter.update(state=State.FAILED, failure=first, others=tuple(others))
        return 1

    def _annotate(self, failure: Failure, place: failures.Place | None, *, title: str) -> None:
        file, line = (place.file, place.line) if place else (None, None)
        code = known(failure.code, Code.RUN)
        self._workflow.error(failure.message, code, title=title, file=file, line=line)

    def leave_nothing(self) -> None:
        """Tells `post` that nothing is left to release."""
        self._handover.note_finished()


def _annotation(failed: failures.StepFailure) -> Annotation | None:
    """What a check run shows in the file; None where that isn't known, or no file of the repository."""
    path = posixpath.normpath(failed.place.file) if failed.place else ".."
    if failed.place is None or path.startswith(".."):
        return None
    return Annotation(
        path=path,
        line=max(failed.place.line, 1),
        title="The run failed",
        message=failed.failure.message,
        details=failed.failure.output,
    )
