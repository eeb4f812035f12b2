"""Keeps comment, commit status and job summary up to date. A report that can't be posted never fails a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.client import GitHub, GitHubError, RateLimitedError, TryLaterError
from lightning_zenml.action.github.comments import Comment, Comments
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.rest import PATIENCE
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, SavedReport
from lightning_zenml.action.report import Report, State

_INTERVAL = 15.0
"""Seconds between two edits of a comment while a run is young."""
_LONGEST_INTERVAL = 60.0
"""Ditto when it is old: a workflow's token has 1,000 requests an hour for all jobs of a repository."""
_PATIENCE_MEANWHILE = 5.0
"""Seconds that GitHub may keep us waiting while there is a run to follow."""
_STATUSES = {
    State.STARTING: ("pending", "is starting"),
    State.RUNNING: ("pending", "is running"),
    State.COMPLETED: ("success", "completed"),
    State.FAILED: ("failure", "failed"),
    State.STOPPED: ("error", "was stopped"),
    State.PAUSED: ("pending", "is paused"),
    State.CANCELLED: ("error", "was cancelled"),
}


class Reporter:
    """Reports one run.

    Args:
        workflow: the runner, for the summary, warnings and the outputs `status` and `comment-url`.
        handover: takes note of the report for post.
        github: where comments and commit statuses go; None: nowhere.
        event: what started the workflow run; names the repository.
        origin: where the launch comes from; None: not known yet, so there is only a summary until `set_origin`.
        comments: whether comments are wanted.
        clock: seconds since 1970; goes on in `post`.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._workflow = workflow
        self._handover = handover
        self._github = github
        self._event = event
        self._wants_comments = comments
        self._wants_status = True
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._comments: dict[int, int] = {}
        self._overtaken: set[int] = set()
        self._refused: set[int] = set()
        self._pull_requests: tuple[int, ...] = ()
        self._asked_at = float("-inf")
        self._shown_state: State | None = None
        self._shown_at = float("-inf")
        self._pause = 0.0
        self._status: tuple[str, str | None] | None = None
        self._origin: Origin | None = None
        self.report = Report(
            state=State.STARTING,
            pipeline="",
            workflow_run_url=event.run_url if event.run_id else None,
        )
        if origin:
            self.set_origin(origin)

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
    ) -> Reporter:
        """The reporter of an earlier process, which was killed or could not reach GitHub.

        Args:
            workflow: the runner, for this process.
            handover: takes note of the report.
            github: where comments and commit statuses go; None: nowhere.
            event: what started the workflow run.
            saved: report of the earlier process.
            comments: whether comments are wanted.
        """
        reporter = cls(workflow, handover, github, event, saved.origin, comments=comments)
        reporter.set_period(saved.started, saved.ended)
        reporter._comments = dict(saved.comments)
        reporter.report = saved.added_to(reporter.report)
        return reporter

    def set_origin(self, origin: Origin) -> None:
        """Reports on the commit and the comment of that launch."""
        self._origin = origin
        self.report = replace(
            self.report,
            commit_sha=origin.sha or None,
            commit_url=f"{self._event.server_url}/{self._event.repository}/commit/{origin.sha}" if origin.sha else None,
            branch=origin.branch or None,
            leg=origin.leg or None,
        )

    @property
    def has_origin(self) -> bool:
        """Whether it is known what to report on."""
        return self._origin is not None

    def set_period(self, start: float, end: float | None = None) -> None:
        """Tells when a launch of an earlier process began, and ended where it has; seconds since 1970."""
        self._started, self._ended = start, end

    @property
    def is_due(self) -> bool:
        """Whether the next update will edit the comment though the state is the same."""
        now = self._clock()
        interval = min(max(_INTERVAL, (now - self._started) / 20), _LONGEST_INTERVAL)
        return now - self._shown_at >= max(interval, self._pause)

    def update(self, *, at_once: bool = False, **changes: Any) -> None:
        """Takes what is new; tells it when the state changed, else now and then. The last one sets the output `status`.

        Args:
            at_once: whether it is told in any case, as nobody will later.
            changes: fields of `Report` with their new values.
        """
        elapsed = (self._ended or self._clock()) - self._started
        self.report = replace(self.report, elapsed=elapsed, updated=datetime.now(UTC), **changes)
        is_last = at_once or self.report.is_final
        if is_last:
            self._workflow.set_output("status", self.report.status)
        if self.report.state is self._shown_state and not self.is_due and not at_once:
            return
        self._shown_state, self._shown_at, self._pause = self.report.state, self._clock(), 0.0
        # Before it is rendered: what is escaped is no longer recognised as a secret.
        shown = reports.redacted(self.report, self._workflow.redact)
        self._workflow.summary(reports.summary(shown))
        self._save(shown)
        is_up_to_date = self._tell(shown, is_last=is_last)
        self._save(shown)
        if is_last and is_up_to_date:
            self._handover.note_reported()

    def _tell(self, shown: Report, *, is_last: bool) -> bool:
        """Tells GitHub; False where only a later try can do so."""
        if self._github is None or self._origin is None:
            return True
        self._github.rest.patience = PATIENCE if is_last else _PATIENCE_MEANWHILE
        is_up_to_date = True
        if self._wants_comments:
            is_up_to_date = self._comment(self._github, self._origin, shown, is_last=is_last)
        if self._wants_status and self._origin.sha:
            has_status = self._set_status(self._github, self._origin, shown, is_last=is_last)
            is_up_to_date = is_up_to_date and has_status
        return is_up_to_date

    def _comment(self, github: GitHub, origin: Origin, shown: Report, *, is_last: bool) -> bool:
        comments = Comments(github, self._event.repository, origin.marker)
        body = reports.comment(shown, str(origin.marker))
        try:
            for number in self._numbers(github, origin, at_once=is_last):
                if number not in self._overtaken | self._refused:
                    self._put(number, comments, body)
        except TryLaterError as error:
            if is_last:
                self._workflow.warning(str(error), title="The comment on the pull request is not up to date")
            else:
                self._pause = error.retry_after if isinstance(error, RateLimitedError) else 0.0
                self._workflow.log(f"The comment on the pull request has to wait: {error}\n")
            return False
        except GitHubError as error:
            self._workflow.warning(str(error), title="No comment on the pull request")
            self._wants_comments = False
        return True

    def _put(self, number: int, comments: Comments, body: str) -> None:
        try:
            self._keep(number, comments.put(number, body, self._comments.get(number)))
        except TryLaterError:
            raise
        except GitHubError as error:
            # Of several pull requests one may be locked.
            self._refused.add(number)
            self._workflow.warning(str(error), title=f"No comment on pull request #{number}")

    def _numbers(self, github: GitHub, origin: Origin, *, at_once: bool) -> tuple[int, ...]:
        """The pull requests to comment on; a push event does not name them, and they may be opened later."""
        if origin.pull_requests:
            return origin.pull_requests
        if not self._pull_requests and (at_once or self._clock() - self._asked_at >= _LONGEST_INTERVAL):
            found = github.pull_requests_of_commit(self._event.repository, origin.sha)
            self._pull_requests = tuple(pull_request.number for pull_request in found)
            self._asked_at = self._clock()
        return self._pull_requests

    def _keep(self, number: int, comment: Comment | None) -> None:
        if comment is None:
            self._overtaken.add(number)
            self._workflow.log(
                f"The comment on pull request #{number} tells of a newer workflow run by now and stays so; "
                "the report of this one is in the job summary.\n"
            )
            return
        if self._comments.get(number) != comment.id and number == next(iter(self._comments), number):
            self._workflow.set_output("comment-url", comment.url)
        self._comments[number] = comment.id

    def _set_status(self, github: GitHub, origin: Origin, shown: Report, *, is_last: bool) -> bool:
        target_url = shown.page or shown.workflow_run_url
        state, words = _STATUSES[shown.state]
        if (state, target_url) == self._status:
            return True
        description = shown.failure.message if shown.failure else f"{shown.title} {words} on Lightning AI"
        try:
            github.set_status(
                self._event.repository,
                origin.sha,
                context=origin.comment_key,
                state=state,
                target_url=target_url,
                description=" ".join(description.split()),
            )
            self._status = (state, target_url)
        except TryLaterError as error:
            if is_last and self._status:
                self._workflow.warning(str(error), title="The commit status is not up to date")
            return False
        except GitHubError as error:
            self._workflow.debug(f"No commit status: {error}")
            self._wants_status = False
        return True

    def _save(self, shown: Report) -> None:
        """What `post` needs to go on, should this process be killed or GitHub not be there."""
        saved = SavedReport(
            origin=self._origin, started=self._started, ended=self._ended, comments=self._comments, report=shown
        )
        self._handover.note_report(saved)
