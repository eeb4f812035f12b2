"""The check run, where it is asked for: the report among the commit's checks, begun, seldom changed, and ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.check_runs import Check, CheckRuns, Conclusion
from lightning_zenml.action.github.client import GitHub, InvalidError
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import Report, State
from lightning_zenml.action.report.channels.channel import News
from lightning_zenml.codes import Code

_INTERVAL = 300.0
"""Seconds between two changes of what has only come further: a token has 1,000 requests an hour for all jobs."""
_MOST_ANNOTATIONS = 200
_CONCLUSIONS = {
    State.COMPLETED: Conclusion.SUCCESS,
    State.FAILED: Conclusion.FAILURE,
    State.STOPPED: Conclusion.CANCELLED,
    State.PAUSED: Conclusion.ACTION_REQUIRED,
    State.CANCELLED: Conclusion.CANCELLED,
}


class CheckRunChannel:
    """Keeps the check run.

    Args:
        workflow: the runner, for the log.
        repository: name of the repository, `owner/name`.
        clock: seconds since 1970.

    Attributes:
        id: id of the check run; None: not known, so it is looked for.
    """

    name = "check run"

    def __init__(self, workflow: Workflow, repository: str, clock: Callable[[], float]) -> None:
        self.id: int | None = None
        self._workflow = workflow
        self._repository = repository
        self._clock = clock
        self._told: tuple[State, str | None] | None = None
        self._told_at = 0.0

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self.id is not None

    def tell(self, github: GitHub, news: News) -> bool:
        """Begins, changes or ends it, see `Channel`."""
        origin, report = news.origin, news.report
        if not (origin.check_run and origin.sha):
            return True
        new = (report.state, news.page)
        if new == self._told and not news.is_last and self._clock() - self._told_at < _INTERVAL:
            return True
        check_runs = CheckRuns(github.rest, self._repository, name=origin.context, external_id=origin.attempt)
        check = Check(
            conclusion=_conclusion(report),
            title=news.sentence,
            summary=reports.check(report),
            details_url=news.page,
        )
        try:
            check_run = check_runs.put(origin.sha, check, self.id)
        except InvalidError as error:
            # It must not stay open for what GitHub finds wrong with the report.
            self._workflow.log(f"The check run is told less: {error}\n")
            check = replace(check, summary=report.state.value, details_url=None)
            check_run = check_runs.put(origin.sha, check, self.id)
        self.id, self._told, self._told_at = check_run.id, new, self._clock()
        if check.conclusion:
            try:
                check_runs.annotate(check_run, check, report.annotations[:_MOST_ANNOTATIONS])
            except InvalidError as error:
                self._workflow.log(f"The check run lacks annotations: {error}\n")
        return True


def _conclusion(report: Report) -> Conclusion | None:
    if not report.is_final:
        return None
    if report.failure and report.failure.code == Code.TIMEOUT:
        return Conclusion.TIMED_OUT
    if report.failed_rules:
        return Conclusion.FAILURE
    if report.state is State.COMPLETED and not report.runs:
        # No pipeline ran, so there is nothing that could have passed.
        return Conclusion.NEUTRAL
    return _CONCLUSIONS[report.state]
