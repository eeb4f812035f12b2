"""Tells a report in all places; what fails in one keeps nothing from being told in the next. For `reporter`."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.client import GitHub, GitHubError, RateLimitedError, TryLaterError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import Report
from lightning_zenml.action.report.channels.channel import Channel, News
from lightning_zenml.action.report.channels.check_run import CheckRunChannel
from lightning_zenml.action.report.channels.comment import CommentChannel
from lightning_zenml.action.report.channels.commit_status import CommitStatusChannel
from lightning_zenml.action.report.channels.deployment import DeploymentChannel
from lightning_zenml.codes import Code


class Channels:
    """Tells one run's reports.

    Args:
        workflow: the runner, for the summary, warnings and the output `comment-url`.
        github: where everything but the summary goes; None: nowhere.
        event: what started the workflow run; names the repository.
        comments: whether comments are wanted.
        clock: seconds since 1970.

    Attributes:
        comment: the comment on each pull request.
        check_run: the check run, where it is asked for.
        deployment: the deployment, where it is asked for.
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
        self.comment = CommentChannel(workflow, event.repository, clock, is_wanted=comments)
        self.check_run = CheckRunChannel(workflow, event.repository, clock)
        self.deployment = DeploymentChannel(event.repository)
        self.pause = 0.0
        self._channels: tuple[Channel, ...] = (
            self.comment,
            CommitStatusChannel(workflow, event.repository),
            self.check_run,
            self.deployment,
        )
        self._workflow = workflow
        self._github = github
        self._refused: set[str] = set()
        self._warned: set[str] = set()
        self._faults: set[str] = set()

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
        told = [self._unless_faulty("job summary", lambda: self._summarize(shown))]
        github, self.pause = self._github, 0.0
        if github is not None and origin is not None:
            news = News(report=shown, origin=origin, is_last=is_last)
            told += [self._tell(channel, github, news, patience) for channel in self._channels]
            self.pause = max(self.pause, self.comment.pause)
        return all(told)

    def _summarize(self, shown: Report) -> bool:
        self._workflow.summary(reports.summary(shown))
        return True

    def _tell(self, channel: Channel, github: GitHub, news: News, patience: float) -> bool:
        # What stands there has to come to its end, whatever was refused on the way.
        if channel.name in self._refused and not (news.is_last and channel.is_there):
            return True
        github.rest.patience = patience
        try:
            return self._unless_faulty(channel.name, lambda: channel.tell(github, news))
        except TryLaterError as error:
            if news.is_last:
                self._warn(error, f"The {channel.name} is not up to date")
            else:
                self.pause = max(self.pause, error.retry_after if isinstance(error, RateLimitedError) else 0.0)
                self._workflow.log(f"The {channel.name} has to wait: {error}\n")
            return False
        except GitHubError as error:
            self._refused.add(channel.name)
            self._warn(error, f"The {channel.name} is not up to date" if channel.is_there else f"No {channel.name}")
            return not channel.is_there

    def _warn(self, error: GitHubError, title: str) -> None:
        if str(error) not in self._warned:
            self._warned.add(str(error))
            self._workflow.warning(str(error), error.code, title=title)

    def _unless_faulty(self, place: str, tell: Callable[[], bool]) -> bool:
        """Whether it was told; a fault of ours is logged once, and is no fault of the run's."""
        try:
            return tell()
        except GitHubError:
            raise
        except Exception as error:
            if place not in self._faults:
                self._faults.add(place)
                self._workflow.log(traceback.format_exc())
                fault = f"by a fault of this action: {type(error).__name__}: {error}"
                self._workflow.warning(f"The {place} can't be kept up to date, {fault}", Code.FAULT)
            return False
