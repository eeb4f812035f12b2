"""Keeps the pull request's comment and the job summary up to date. A report that can't be posted never fails a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lightning_zenml.action import report as reports
from lightning_zenml.action.event import Event
from lightning_zenml.action.github import Comment, GitHub, GitHubError
from lightning_zenml.action.report import Report, State
from lightning_zenml.action.workflow import Workflow

_INTERVAL = 15.0
"""Seconds between two edits of a comment while nothing but time has changed."""


class Reporter:
    """Reports one run.

    Args:
        workflow: for the summary, warnings and the output `comment-url`.
        github: None: no comments.
        event: tells the repository and its pull requests.
        key: tells several comments on one pull request apart.
        comments: id of our comment by pull request, as an earlier process left them.
        clock: seconds.
    """

    def __init__(
        self,
        workflow: Workflow,
        github: GitHub | None,
        event: Event,
        key: str,
        *,
        comments: dict[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workflow = workflow
        self._github = github
        self._event = event
        self._marker = reports.marker(key)
        self._clock = clock
        self._started = clock()
        self._comments = dict(comments or {})
        self._pull_requests: tuple[int, ...] | None = tuple(self._comments) or None
        self._told: tuple[object, ...] | None = None
        self._told_at = float("-inf")
        self.report = Report(
            state=State.STARTING,
            pipeline="",
            commit_sha=event.head_sha or None,
            commit_url=event.commit_url if event.head_sha else None,
            branch=event.branch or None,
            workflow_run_url=event.run_url if event.run_id else None,
        )

    @property
    def is_due(self) -> bool:
        """Whether the next update will edit the comment though only time has passed."""
        return self._clock() - self._told_at >= _INTERVAL

    def update(self, **changes: Any) -> None:
        """Takes what is new; edits the comment at once when the state or the runs changed, else now and then.

        Args:
            changes: fields of `Report`.
        """
        self.report = replace(self.report, elapsed=self._clock() - self._started, updated=datetime.now(UTC), **changes)
        told = (self.report.state, tuple(run.run_name for run in self.report.runs), self.report.studio_url)
        if told == self._told and not self.is_due:
            return
        self._told, self._told_at = told, self._clock()
        # Before it is rendered: what is escaped is no longer recognised as a secret.
        shown = reports.redacted(self.report, self._workflow.redact)
        self._comment(shown)
        self._workflow.summary(reports.summary(shown))

    def _comment(self, shown: Report) -> None:
        if self._github is None:
            return
        try:
            body = reports.comment(shown, self._marker)
            for number in self._numbers(self._github):
                comment = self._github.upsert_comment(
                    self._event.repository, number, self._marker, body, self._comments.get(number)
                )
                self._keep(number, comment)
        except GitHubError as error:
            self._workflow.warning(str(error), title="No comment on the pull request")
            self._github = None

    def _numbers(self, github: GitHub) -> tuple[int, ...]:
        """The pull requests to comment on; a push event does not name them."""
        if self._pull_requests is None:
            event = self._event
            self._pull_requests = event.pull_requests or tuple(
                pull_request.number for pull_request in github.pull_requests_of_commit(event.repository, event.head_sha)
            )
        return self._pull_requests

    def _keep(self, number: int, comment: Comment) -> None:
        if number not in self._comments:
            self._workflow.set_output("comment-url", comment.url)
        if self._comments.get(number) != comment.id:
            self._comments[number] = comment.id
            self._workflow.save_state("comments", json.dumps(self._comments))
