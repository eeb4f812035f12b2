"""What whoever has written a command sees of it: a reaction on the comment and, where it is refused, why."""

from __future__ import annotations

from collections.abc import Callable

from lightning_zenml.action.commands.comment import CommandComment
from lightning_zenml.action.github.client import GitHub, GitHubError
from lightning_zenml.action.github.comments import Comments, Marker
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import markdown

_PATIENCE = 20.0
"""Seconds for one answer: what was asked for doesn't wait for it."""
_DONE, _REFUSED = "rocket", "-1"


class Answer:
    """Answers one comment, once however often the workflow runs. What can't be told fails nothing.

    Args:
        comment: the comment.
        event: the event that it came by.
        github: the server that has it.
        workflow: the runner, for warnings.
    """

    def __init__(self, comment: CommandComment, event: Event, github: GitHub, workflow: Workflow) -> None:
        self._comment = comment
        self._event = event
        self._github = github
        self._workflow = workflow

    def accept(self) -> None:
        """Tells that it is done: the run's own comment has the links."""
        self._react(_DONE)

    def refuse(self, reason: str) -> None:
        """Tells that it is not done.

        Args:
            reason: why, and what to do, in a sentence or two; what stands in backticks becomes code.
        """
        self._react(_REFUSED)
        # A key that no workflow's is: there is a slash in those, and nothing behind a colon.
        marker = Marker(key=f"reply: {self._comment.id}", run_id=_id(self._event), run_attempt=self._event.run_attempt)
        run = markdown.link(self._event.run_url, "Workflow run")
        body = f"{marker}\n**Refused.** {markdown.message(self._workflow.redact(reason))}\n\n<sub>{run}</sub>\n"
        replies = Comments(self._github, self._event.repository, marker)
        self._try("reply", lambda: replies.put(self._comment.number, body))

    def _react(self, content: str) -> None:
        self._try("reaction", lambda: self._github.react(self._event.repository, self._comment.id, content))

    def _try(self, kind: str, tell: Callable[[], object]) -> None:
        patience, self._github.rest.patience = self._github.rest.patience, _PATIENCE
        try:
            tell()
        except GitHubError as error:
            self._workflow.warning(str(error), error.code, title=f"No {kind} to the comment")
        finally:
            self._github.rest.patience = patience


def _id(event: Event) -> int:
    return int(event.run_id) if event.run_id.isdecimal() else 0
