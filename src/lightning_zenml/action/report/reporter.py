"""Keeps comment, summary and whatever else tells of a run up to date, beside it: whoever follows never waits for that.

A report that can't be told never fails a run.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, SavedReport
from lightning_zenml.action.report import Report, State
from lightning_zenml.action.report.channels.channels import Channels
from lightning_zenml.action.report.messenger import Messenger
from lightning_zenml.deadline import within

LAST_PATIENCE = 75.0
"""Seconds that the last report may take in all: a rate limit that tells no time lasts 60. `post` tells the rest."""
_INTERVAL = 15.0
"""Seconds between two edits of a comment while a run is young."""
_LONGEST_INTERVAL = 60.0
"""Ditto when it is old: a workflow's token has 1,000 requests an hour for all jobs of a repository."""
_LOOKS_TAKE = 0.1
"""Share of the time that ZenML may be asked in: what tells of many steps costs its server much, and they need it."""
_PATIENCE_MEANWHILE = 5.0
"""Seconds that one request to GitHub may take while there is a run to follow, and a newer report to come."""
_LOOK_PATIENCE = 20.0
"""Seconds for ZenML to tell how the runs stand; a report without that is better than none."""


@dataclass(frozen=True, kw_only=True)
class _Message:
    """A report to be told.

    Args:
        report: as it stood when it was sent.
        is_last: whether nobody will tell more.
        deadline: time, by `time.monotonic()`, until which somebody waits for it.
    """

    report: Report
    is_last: bool
    deadline: float = 0.0


class Reporter:
    """Reports one run.

    Args:
        workflow: the runner, for the summary, warnings and the outputs `status` and `comment-url`.
        handover: takes note of the report for post.
        github: where everything but the summary goes; None: nowhere.
        event: what started the workflow run; names the repository.
        origin: where the launch comes from; None: not known yet, so there is only a summary until `set_origin`.
        comments: whether comments are wanted.
        look: asks ZenML for what is to be told besides; called in another thread, before a report is told, but not
            before the last.
        with_runs: adds to a report what is known of the runs by then.
        clock: seconds since 1970; goes on in `post`.

    Attributes:
        report: what there is to tell, but for what `with_runs` adds; whoever follows the run may replace it.
    """

    def __init__(
        self,
        workflow: Workflow,
        handover: Handover,
        github: GitHub | None,
        event: Event,
        origin: Origin | None,
        *,
        comments: bool = True,
        look: Callable[[], None] = lambda: None,
        with_runs: Callable[[Report], Report] = lambda report: report,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._workflow = workflow
        self._handover = handover
        self._event = event
        self._origin = origin
        self._look = look
        self._with_runs = with_runs
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._sent_state: State | None = None
        self._shown_state: State | None = None
        self._shown_at = float("-inf")
        self._looked = 0.0
        self._saving = threading.Lock()
        self._faults: set[str] = set()
        self._channels = Channels(workflow, github, event, comments=comments, clock=clock)
        self._messenger = Messenger(self._deliver, self._note_fault)
        self.report = Report(
            state=State.STARTING,
            pipeline="",
            workflow_run_url=event.run_url if event.run_id else None,
        )

    @classmethod
    def resumed(
        cls,
        workflow: Workflow,
        handover: Handover,
        github: GitHub | None,
        event: Event,
        saved: SavedReport,
        *,
        comments: bool = True,
        with_runs: Callable[[Report], Report] = lambda report: report,
    ) -> Reporter:
        """The reporter of an earlier process, which was killed or could not reach GitHub.

        Args:
            workflow: the runner, for this process.
            handover: takes note of the report.
            github: where everything but the summary goes; None: nowhere.
            event: what started the workflow run.
            saved: report of the earlier process.
            comments: whether comments are wanted.
            with_runs: adds to a report what is known of the runs by then.
        """
        reporter = cls(workflow, handover, github, event, saved.origin, comments=comments, with_runs=with_runs)
        reporter.set_period(saved.started, saved.ended)
        reporter._channels.comment.ids = dict(saved.comments)
        reporter._channels.check_run.id = saved.check_run
        reporter._channels.deployment.id = saved.deployment
        reporter.report = saved.added_to(reporter.report)
        return reporter

    def set_origin(self, origin: Origin) -> None:
        """Reports on the commit and the comment of that launch."""
        self._origin = origin

    @property
    def has_origin(self) -> bool:
        """Whether it is known what to report on."""
        return self._origin is not None

    def set_period(self, start: float, end: float | None = None) -> None:
        """Tells when a launch of an earlier process began, and ended where it has; seconds since 1970."""
        self._started, self._ended = start, end

    def update(self, *, at_once: bool = False, patience: float = LAST_PATIENCE, **changes: Any) -> None:
        """Takes what is new, and returns at once; what is told of it, and when, is decided beside it.

        The last one sets the output `status`, and is waited for.

        Args:
            at_once: whether it is told in any case and waited for, as nobody will later.
            patience: seconds to wait for the last one; what can't be told until then is left to post.
            changes: fields of `Report` with their new values.
        """
        elapsed = (self._ended or self._clock()) - self._started
        self.report = replace(self.report, elapsed=elapsed, updated=datetime.now(UTC), **changes)
        is_last = at_once or self.report.is_final
        if is_last:
            self._workflow.set_output("status", self.report.status)
        if is_last or self.report.state is not self._sent_state:
            # Here, as the other thread may be waiting for somebody.
            self._sent_state = self.report.state
            try:
                self._save()
            except Exception as error:
                self._note_fault(error)
        deadline = time.monotonic() + patience
        self._messenger.send(_Message(report=self.report, is_last=is_last, deadline=deadline))
        if is_last and not self._messenger.settle(patience):
            self._workflow.log("The last report takes too long to be told here; what is missing is told by post.\n")

    def settle(self, seconds: float) -> bool:
        """Waits until what is new is told where it is due.

        Args:
            seconds: how long to wait.

        Returns:
            Whether it is.
        """
        return self._messenger.settle(seconds)

    def _deliver(self, message: _Message) -> None:
        is_new = message.is_last or message.report.state is not self._shown_state
        if not (is_new or self._is_due):
            return
        self._shown_state, self._shown_at = message.report.state, self._clock()
        if not message.is_last:
            began = self._clock()
            try:
                within(_LOOK_PATIENCE, self._look)
            except TimeoutError:
                self._note_fault(TimeoutError(f"ZenML did not tell how the run stands within {_LOOK_PATIENCE:g} s."))
            except Exception as error:
                self._note_fault(error)
            self._looked = self._clock() - began
        shown = self._shown(self._with_runs(message.report))
        patience = message.deadline - time.monotonic() if message.is_last else _PATIENCE_MEANWHILE
        told = self._channels.tell(shown, self._origin, is_last=message.is_last, patience=max(patience, 1.0))
        self._save()
        if message.is_last and told:
            self._handover.note_reported()

    @property
    def _is_due(self) -> bool:
        """Whether a report is told though its state is the same."""
        now = self._clock()
        interval = min(max(_INTERVAL, (now - self._started) / 20), _LONGEST_INTERVAL)
        return now - self._shown_at >= max(interval, self._looked / _LOOKS_TAKE, self._channels.pause)

    def _shown(self, report: Report) -> Report:
        """With where the launch comes from, and without secrets: once it is rendered, they are not recognised."""
        if origin := self._origin:
            commits = f"{self._event.server_url}/{self._event.repository}/commit"
            report = replace(
                report,
                commit_sha=origin.sha or None,
                commit_url=f"{commits}/{origin.sha}" if origin.sha else None,
                branch=origin.branch or None,
                leg=origin.leg or None,
                command=origin.command or None,
            )
        return reports.redacted(report, self._workflow.redact)

    def _save(self) -> None:
        """What `post` needs to go on, should this process be killed or GitHub not be there."""
        with self._saving:
            saved = SavedReport(
                origin=self._origin,
                started=self._started,
                ended=self._ended,
                comments=self._channels.comment.ids,
                check_run=self._channels.check_run.id,
                deployment=self._channels.deployment.id,
                report=self._shown(self.report),
            )
            self._handover.note_report(saved)

    def _note_fault(self, error: Exception) -> None:
        """Logs what keeps a report from being told, once of each kind."""
        kind = f"{type(error).__name__}: {error}"
        if kind not in self._faults:
            self._faults.add(kind)
            if not isinstance(error, TimeoutError):
                self._workflow.log("".join(traceback.format_exception(error)))
            self._workflow.log(f"The report lacks something for now, the run goes on: {kind}\n")
