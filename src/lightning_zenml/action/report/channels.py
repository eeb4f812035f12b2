"""Where a report goes: the job summary, the comment on each pull request, the commit status. For `reporter`."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.client import GitHub, GitHubError, RateLimitedError, TryLaterError
from lightning_zenml.action.github.comments import Comment, Comments
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import Report, State
from lightning_zenml.action.report.legs.own import own_leg
from lightning_zenml.action.report.legs.writer import PATIENCE, LegWriter
from lightning_zenml.codes import Code

_LOOK_INTERVAL = 60.0
"""Seconds between two looks for pull requests of a commit that has none yet."""
_PAUSE_OF_A_LEG = 10.0
"""Seconds without news for each of the legs that write one comment: they share a token's 1,000 requests an hour."""
_Put = Callable[[int, int | None], Comment | None]
"""Writes the comment on a pull request, of which the id may be known."""
_STATUSES = {
    State.STARTING: ("pending", "is starting"),
    State.RUNNING: ("pending", "is running"),
    State.COMPLETED: ("success", "completed"),
    State.FAILED: ("failure", "failed"),
    State.STOPPED: ("error", "was stopped"),
    State.PAUSED: ("pending", "is paused"),
    State.CANCELLED: ("error", "was cancelled"),
}


class Channels:
    """Tells one run's reports. What fails in one place keeps nothing from being told in the next.

    Args:
        workflow: the runner, for the summary, warnings and the output `comment-url`.
        github: where comments and commit statuses go; None: nowhere.
        event: what started the workflow run; names the repository.
        comments: whether comments are wanted.
        clock: seconds since 1970.

    Attributes:
        comments: id of the comment by number of its pull request.
        pause: seconds that GitHub wants us to be silent.
    """

    def __init__(
        self,
        workflow: Workflow,
        github: GitHub | None,
        event: Event,
        *,
        comments: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.comments: dict[int, int] = {}
        self.pause = 0.0
        self._workflow = workflow
        self._github = github
        self._event = event
        self._wants_comments = comments
        self._wants_status = True
        self._clock = clock
        self._overtaken: set[int] = set()
        self._refused: set[int] = set()
        self._pull_requests: tuple[int, ...] = ()
        self._asked_at = float("-inf")
        self._status: tuple[str, str | None] | None = None
        self._faults: set[str] = set()
        self._leg: LegWriter | None = None

    def tell(self, shown: Report, origin: Origin | None, *, is_last: bool, patience: float) -> bool:
        """Tells everybody.

        Args:
            shown: the report, without secrets.
            origin: where the launch comes from; None: not known, so there is only a summary.
            is_last: whether nobody will tell more, so that what can't be told now is worth a warning.
            patience: seconds that one request to GitHub may take.

        Returns:
            False where only a later try can tell it.
        """
        self.pause = 0.0
        told = [self._unless_faulty("job summary", lambda: self._summarize(shown))]
        github = self._github
        if github is not None and origin is not None:
            github.rest.patience = patience
            told += [
                self._unless_faulty("comment", lambda: self._comment(github, origin, shown, is_last=is_last)),
                self._unless_faulty("commit status", lambda: self._set_status(github, origin, shown, is_last=is_last)),
            ]
        return all(told)

    def _unless_faulty(self, place: str, tell: Callable[[], bool]) -> bool:
        """Whether it was told; a fault of ours is logged once, and is no fault of the run's."""
        try:
            return tell()
        except Exception as error:
            if place not in self._faults:
                self._faults.add(place)
                self._workflow.log(traceback.format_exc())
                fault = f"by a fault of this action: {type(error).__name__}: {error}"
                self._workflow.warning(f"The {place} can't be kept up to date, {fault}", Code.FAULT)
            return False

    def _summarize(self, shown: Report) -> bool:
        self._workflow.summary(reports.summary(shown))
        return True

    def _comment(self, github: GitHub, origin: Origin, shown: Report, *, is_last: bool) -> bool:
        if not self._wants_comments:
            return True
        comments = Comments(github, self._event.repository, origin.marker)
        if origin.is_shared:
            put = self._of_leg(github, comments, origin, shown, is_last=is_last)
        else:
            body = reports.comment(shown, str(origin.marker))

            def put(number: int, comment_id: int | None) -> Comment | None:
                return comments.put(number, body, comment_id)

        try:
            for number in self._numbers(github, origin, at_once=is_last):
                if number not in self._overtaken | self._refused:
                    self._put(number, put)
        except TryLaterError as error:
            if is_last:
                late = "The comment on the pull request is not up to date"
                self._workflow.warning(str(error), error.code, title=late)
            else:
                self.pause = error.retry_after if isinstance(error, RateLimitedError) else 0.0
                self._workflow.log(f"The comment on the pull request has to wait: {error}\n")
            return False
        except GitHubError as error:
            self._workflow.warning(str(error), error.code, title="No comment on the pull request")
            self._wants_comments = False
        return True

    def _of_leg(self, github: GitHub, comments: Comments, origin: Origin, shown: Report, *, is_last: bool) -> _Put:
        """What writes the row of this leg in the comment of all."""
        github.rest.patience = min(github.rest.patience, PATIENCE)
        if self._leg is None:
            self._leg = LegWriter(origin.marker, origin.comment_key, shown.workflow_run_url, github.rest.pause)
        writer, own = self._leg, own_leg(shown, origin, self._clock(), self._workflow.redact)

        def put(number: int, comment_id: int | None) -> Comment | None:
            written = writer.put(comments, number, own, comment_id, is_last=is_last)
            self.pause = max(self.pause, _PAUSE_OF_A_LEG * writer.legs(number))
            return written

        return put

    def _put(self, number: int, put: _Put) -> None:
        try:
            self._keep(number, put(number, self.comments.get(number)))
        except TryLaterError:
            raise
        except GitHubError as error:
            # Of several pull requests one may be locked.
            self._refused.add(number)
            self._workflow.warning(str(error), error.code, title=f"No comment on pull request #{number}")

    def _numbers(self, github: GitHub, origin: Origin, *, at_once: bool) -> tuple[int, ...]:
        """The pull requests to comment on; a push event does not name them, and they may be opened later."""
        if origin.pull_requests:
            return origin.pull_requests
        if not self._pull_requests and (at_once or self._clock() - self._asked_at >= _LOOK_INTERVAL):
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
        if self.comments.get(number) != comment.id and number == next(iter(self.comments), number):
            self._workflow.set_output("comment-url", comment.url)
        self.comments = {**self.comments, number: comment.id}

    def _set_status(self, github: GitHub, origin: Origin, shown: Report, *, is_last: bool) -> bool:
        target_url = shown.page or shown.workflow_run_url
        state, words = _STATUSES[shown.state]
        description = shown.failure.message if shown.failure else f"{shown.title} {words} on Lightning AI"
        if shown.failed_rules:
            first = shown.failed_rules[0]
            state, description = "failure", f"{first.rule}: {first.reason}".replace("`", "")
        if not (self._wants_status and origin.sha) or (state, target_url) == self._status:
            return True
        try:
            github.set_status(
                self._event.repository,
                origin.sha,
                context=origin.context,
                state=state,
                target_url=target_url,
                description=" ".join(description.split()),
            )
            self._status = (state, target_url)
        except TryLaterError as error:
            if is_last and self._status:
                self._workflow.warning(str(error), error.code, title="The commit status is not up to date")
            return False
        except GitHubError as error:
            self._workflow.debug(f"No commit status: {error}")
            self._wants_status = False
        return True
