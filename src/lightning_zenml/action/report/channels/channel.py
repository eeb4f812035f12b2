"""What all places have in common to which a report goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.report.model import Report, State

_WORDS = {
    State.STARTING: "is starting",
    State.RUNNING: "is running",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.STOPPED: "was stopped",
    State.PAUSED: "is paused",
    State.CANCELLED: "was cancelled",
}


@dataclass(frozen=True, kw_only=True)
class News:
    """What is to be told.

    Args:
        report: the report, without secrets.
        origin: where the launch comes from.
        is_last: whether nobody will tell more, so that what can't be told now is worth a warning.
    """

    report: Report
    origin: Origin
    is_last: bool

    @property
    def page(self) -> str | None:
        """Where to look at the run, or at what started it as long as there is none."""
        return self.report.page or self.report.workflow_run_url

    @property
    def sentence(self) -> str:
        """How the run stands, in one line of plain text."""
        report = self.report
        if report.failed_rules:
            first = report.failed_rules[0]
            words = f"{first.rule}: {first.reason}".replace("`", "")
        elif report.failure:
            words = report.failure.message
            if report.others:
                words = f"{1 + len(report.others)} problems, the first: {words}"
        else:
            words = f"{report.title} {_WORDS[report.state]} on Lightning AI"
        return " ".join(words.split())


class Channel(Protocol):
    """A place on GitHub."""

    @property
    def name(self) -> str:
        """What it is called in a message."""

    @property
    def is_there(self) -> bool:
        """Whether something stands there, which has to be brought to its end."""

    def tell(self, github: GitHub, news: News) -> bool:
        """Tells it there, unless there is nothing new for that place.

        Returns:
            False where only a later try can tell it.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
