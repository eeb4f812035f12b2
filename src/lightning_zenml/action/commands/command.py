"""The command in a comment's Markdown: a paragraph of its own that begins with it, in no code, quote, list or HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from lightning_zenml.launch.studio.names import is_launch_id

_COMMAND = re.compile(r"/(train|stop|attach)(?=[ \t]|$)(.*)")
_LIKELY = re.compile(r"(?:^|[\r\n]) {0,3}/(?:train|stop|attach)")
_GIVEN = re.compile(r"([a-z][a-z0-9_]{0,39})=(.*)")
_MOST_PARAMETERS = 20
_SHOWN = 60


class Verb(StrEnum):
    """What a comment may ask for."""

    TRAIN = "train"
    STOP = "stop"
    ATTACH = "attach"


class CommandError(Exception):
    """A command that can't be carried out. The message is for whoever wrote the comment, and ends up in a reply."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, as it was written: nothing of it is checked but its form.

    Args:
        verb: what is asked for.
        given: names and values behind `/train`, each name once.
        launch_id: id of the launch behind `/stop` or `/attach`; '' where none is named.
    """

    verb: Verb
    given: tuple[tuple[str, str], ...] = ()
    launch_id: str = ""

    def __str__(self) -> str:
        words = [f"/{self.verb}", *(f"{name}={value}" for name, value in self.given), self.launch_id]
        return " ".join(filter(None, words))


def holds_command(body: str) -> bool:
    """Whether a comment asks for something, however wrongly.

    Args:
        body: Markdown of the comment.
    """
    return bool(_found(body))


def command_in(body: str) -> Command:
    """Reads the command in a comment that holds one.

    Args:
        body: Markdown of the comment.

    Raises:
        CommandError: if it can't be read, or there are several.
    """
    found = _found(body)
    if len(found) > 1:
        raise CommandError("A comment may hold one command, and this one has several. Write one comment for each.")
    verb, words = Verb(found[0][1]), found[0][2].split()
    return Command(verb=verb, given=_given(words)) if verb is Verb.TRAIN else _of_launch(verb, words)


def _found(body: str) -> list[re.Match[str]]:
    return [match for line in _first_lines(body) if (match := _COMMAND.fullmatch(line))]


def _first_lines(body: str) -> list[str]:
    """First lines of the paragraphs that stand in nothing else, by CommonMark's own rules."""
    if not _LIKELY.search(body):
        return []
    # Of all that start this action, few read a comment.
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").disable(["inline", "text_join"]).parse(body)
    texts = [text.content for opens, text in pairwise(tokens) if (opens.type, opens.level) == ("paragraph_open", 0)]
    return [text.partition("\n")[0].rstrip() for text in texts]


def _given(words: list[str]) -> tuple[tuple[str, str], ...]:
    if len(words) > _MOST_PARAMETERS:
        raise CommandError(f"`/train` takes {_MOST_PARAMETERS} parameters at most.")
    given: dict[str, str] = {}
    for word in words:
        match = _GIVEN.fullmatch(word)
        if match is None:
            raise CommandError(
                f"`{shown(word)}` is no parameter: `/train` takes `name=value`, with a name of small letters, digits "
                "and `_`, and no spaces around `=`."
            )
        if match[1] in given:
            raise CommandError(f"`{match[1]}` is given twice.")
        given[match[1]] = match[2]
    return tuple(given.items())


def _of_launch(verb: Verb, words: list[str]) -> Command:
    if len(words) > 1 or not all(map(is_launch_id, words)):
        raise CommandError(f"`/{verb}` takes nothing, or the id of one launch, as the run's comment tells it.")
    return Command(verb=verb, launch_id="".join(words))


def shown(word: str) -> str:
    """A word of a comment's as a reply repeats it: cut, and without backticks, which end code."""
    word = word.replace("`", "'")
    return word if len(word) <= _SHOWN else f"{word[: _SHOWN - 1]}…"
