"""How far a launch and the steps of its run are, by the lines that tell of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lightning_zenml.terminal.sgr import CODE

_TITLE = re.compile(r"==> (?P<title>.+)")
"""As the launch's program on the studio begins a part of its log."""
# As ZenML 0.98 and our controller log it, behind the name of the step or alone, with or without the marks of code.
_STARTED = re.compile(r"(?:\[[^\]]+\] )?Step `?(?P<step>[^`\s]+)`? (?:has started|runs as Lightning job)\b")
_FINISHED = re.compile(r"(?:\[[^\]]+\] )?Step `?(?P<step>[^`\s]+)`? has finished in\b")
_CACHED = re.compile(r"(?:\[[^\]]+\] )?Using cached version of step `?(?P<step>[^`\s.]+)`?")
_FAILED = re.compile(
    r"(?:\[[^\]]+\] )?Step `?(?P<step>[^`\s]+)`? (?:failed after|ended with|can't be started|has sent no heartbeat)\b"
)
_KINDS = ((_STARTED, "running"), (_FINISHED, "completed"), (_CACHED, "cached"), (_FAILED, "failed"))
_MOST_STEPS = 200
"""Steps that are remembered; those of more than that are the oldest that have ended."""
_LONGEST = 1_000
"""Characters of a line without an end that are kept."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Something that takes its time.

    Args:
        text: what is done, in words.
        since: when it began, by the clock.
        sent: tells how many bytes of how many are through; None: that isn't known.
    """

    text: str
    since: float
    sent: Callable[[], tuple[int, int] | None] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the run.

    Args:
        name: name of its invocation.
        state: `running`, `completed`, `cached` or `failed`.
        since: when it began, by the clock.
        ended: when it ended; None: it has not.
    """

    name: str
    state: str
    since: float
    ended: float | None = None


class Stages:
    """Follows the lines.

    Args:
        clock: function that tells seconds, from any start on.

    Attributes:
        current: what is done now; None: nothing that is known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rest = ""
        self._steps: dict[str, Step] = {}
        self.current: Stage | None = None

    @property
    def steps(self) -> list[Step]:
        """The steps, in the order in which they began."""
        return list(self._steps.values())

    def begin(self, text: str, sent: Callable[[], tuple[int, int] | None] = lambda: None) -> None:
        """Begins something else.

        Args:
            text: what is done from now on.
            sent: see `Stage`.
        """
        self.current = Stage(text=text, since=self._clock(), sent=sent)

    def feed(self, text: str) -> None:
        """Takes the next piece of a log.

        Args:
            text: the piece; a line may come in several.
        """
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[-_LONGEST:]
        for line in lines:
            self._take(CODE.sub("", line).rstrip("\r"))

    def _take(self, line: str) -> None:
        if title := _TITLE.fullmatch(line):
            self.begin(title["title"])
            return
        for pattern, state in _KINDS:
            if found := pattern.match(line):
                self._note(found["step"], state)
                return

    def _note(self, name: str, state: str) -> None:
        now, known = self._clock(), self._steps.get(name)
        if state == "running" and (known is None or known.ended is not None):
            # Once more at the end, of one that is tried again.
            self._steps.pop(name, None)
            self._steps[name] = Step(name=name, state=state, since=now)
        elif state != "running":
            self._steps[name] = replace(known or Step(name=name, state=state, since=now), state=state, ended=now)
        if len(self._steps) > _MOST_STEPS:
            del self._steps[next(iter(self._steps))]
