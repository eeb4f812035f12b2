"""The comment that an event tells of, and why most of them ask for nothing.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads#issue_comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning_zenml.action.commands.command import holds_command
from lightning_zenml.action.github.event import Event, payload_of
from lightning_zenml.action.github.head import get, text

EVENT = "issue_comment"
COMMENT = "comment"
"""The one value of the input `command-from`."""


@dataclass(frozen=True, kw_only=True)
class CommandComment:
    """A comment on an issue or a pull request, as it was when the event came.

    Args:
        id: id of the comment.
        author: login of who wrote it; '' for an account that is deleted.
        is_of_person: whether that is a person, not a bot or an organization.
        action: what happened to the comment: `created`, `edited` or `deleted`.
        body: Markdown of the comment.
        created: when it was written, by GitHub's clock; None where the event doesn't say.
        number: number of the issue or pull request.
        is_on_pull_request: whether it is one.
    """

    id: int
    author: str
    is_of_person: bool
    action: str
    body: str
    created: datetime | None
    number: int
    is_on_pull_request: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> CommandComment:
        """Reads the event's payload.

        Args:
            environ: variables of the step.
        """
        payload, _ = payload_of(environ)
        comment = get(payload, "comment")
        author, kind = text(comment, "user", "login"), text(comment, "user", "type")
        return cls(
            id=_number(get(comment, "id")),
            author=author,
            is_of_person=kind == "User" and not author.endswith("[bot]"),
            action=text(payload, "action"),
            body=text(comment, "body"),
            created=_moment(text(comment, "created_at")),
            number=_number(get(payload, "issue", "number")),
            is_on_pull_request=isinstance(get(payload, "issue", "pull_request"), dict),
        )

    @property
    def reason_to_ignore(self) -> str | None:
        """Why it asks for nothing, whatever it says; None: it may."""
        if self.action != "created":
            return f"A comment that is {self.action or 'not new'} starts nothing: write the command as a new one."
        if not self.is_of_person:
            return "A bot wrote the comment, and bots start nothing."
        if not self.is_on_pull_request:
            return "The comment is on an issue: commands are for pull requests."
        if not (self.id and self.number and self.author and self.created):
            return "The event tells too little of the comment: it lacks its id, author, time or pull request."
        return None


def asks_for_command(event: Event, environ: Mapping[str, str]) -> bool:
    """Whether the event is one for `command-from: comment`. A push has no words, and trains as ever.

    Args:
        event: what started the workflow run.
        environ: variables of the step.
    """
    given = environ.get("INPUT_COMMAND-FROM") or environ.get("INPUT_COMMAND_FROM") or ""
    return given.strip() == COMMENT and (event.name == EVENT or event.is_of_words)


def reason_to_ignore(event: Event, environ: Mapping[str, str]) -> str | None:
    """Why an event for `command-from: comment` starts nothing and gets no answer; None: it holds a command.

    Args:
        event: what started the workflow run.
        environ: variables of the step.
    """
    if event.name != EVENT:
        return f"With `command-from: comment` only `{EVENT}` starts something by what people write, not `{event.name}`."
    comment = CommandComment.from_environ(environ)
    return comment.reason_to_ignore or (None if holds_command(comment.body) else "The comment holds no command.")


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _moment(told: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
