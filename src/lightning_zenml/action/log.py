"""The live log: titles and steps become groups, everything else is somebody else's text, made readable."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from lightning_zenml.action import sgr
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.launch.payload.folder import TITLE

_OTHER_CODE = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-ln-~]"  # moves the cursor, clears the line
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of windows, links
    r"|[()][0-9A-Za-z]|[=>78cDEHM])"
)
_BROKEN_CODE = re.compile(r"\x1b(?!\[[0-9;:]*m)")
# As ZenML 0.98 logs it, behind the name that our orchestrator puts before each line of a step.
_STEP = re.compile(r"\[(?P<step>[^\]]+)\] Step (?P=step) has started\.")
_BAR_INTERVAL = 10.0
"""Seconds between two looks at a progress bar, which writes over itself and ends its line when it is done."""
_LONGEST_LINE = 100_000
"""Characters of a line without an end that are kept until they are shown."""


class Log:
    """Writes the run's log.

    Args:
        workflow: the runner, whose log takes the lines.
        clock: function that tells seconds, from any start on.
    """

    def __init__(self, workflow: Workflow, clock: Callable[[], float] = time.monotonic) -> None:
        self._workflow = workflow
        self._clock = clock
        self._open = False
        self._rest = ""
        self._style = sgr.Style()
        self._bar: str | None = None
        self._bar_shown_at = float("-inf")

    def title(self, text: str) -> None:
        """Ends the group and begins the next."""
        self.end()
        self._begin_group(text)

    def line(self, text: str) -> None:
        """Writes a line of our own."""
        self._workflow.log(f"{text}\n")

    def feed(self, text: str) -> None:
        """Writes a piece of the studio's log; lines that begin a part of it, or a step, begin a group."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write(line)
        if len(self._rest) > _LONGEST_LINE:
            self._rest = self._newest(self._rest)
        if len(self._rest) > _LONGEST_LINE:
            rest, self._rest = self._rest, ""
            self._write(rest)
        self._show_bar()

    def end(self) -> None:
        """Ends the group, and a line that has no end."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._write(rest)
        self._style.reset()
        if self._open:
            self._workflow.end_group()
            self._open = False

    def _write(self, line: str) -> None:
        if line.startswith(TITLE):
            self._begin_group(sgr.CODE.sub("", line.removeprefix(TITLE)))
            return
        readable = self._readable(line)
        shown_already, self._bar = readable == self._bar, None
        if shown_already:
            return
        if started := _STEP.match(sgr.CODE.sub("", readable)):
            self._begin_group(f"Step {started['step']}")
        self._workflow.log(f"{readable}\n")

    def _begin_group(self, title: str) -> None:
        if self._open:
            self._workflow.end_group()
        self._workflow.start_group(title)
        self._open = True

    def _show_bar(self) -> None:
        """Shows now and then how far a line has come that a program writes over and over."""
        if "\r" not in self._rest.rstrip("\r") or self._clock() - self._bar_shown_at < _BAR_INTERVAL:
            return
        self._rest = self._newest(self._rest)
        style = str(self._style)
        readable = self._readable(self._rest)
        # The line goes on: so do the colours with which it began.
        self._style.reset()
        self._style.feed(style)
        if readable != self._bar and sgr.CODE.sub("", readable).strip():
            self._workflow.log(f"{readable}\n")
            self._bar, self._bar_shown_at = readable, self._clock()

    def _newest(self, line: str) -> str:
        """What a terminal shows of a line that is written over, behind a carriage return as more may come."""
        before, shown = _last_of_the_overwritten(line)
        self._style.feed(before if shown else line)
        return f"\r{shown}" if before or not shown else shown

    def _readable(self, line: str) -> str:
        """A line as a terminal would show it at last, its colours whole: GitHub shows each line by itself."""
        before, shown = _last_of_the_overwritten(line)
        self._style.feed(before)
        colour = str(self._style)
        self._style.feed(line[len(before) :])
        shown = _BROKEN_CODE.sub("", _OTHER_CODE.sub("", shown))
        return f"{colour}{shown}\x1b[0m" if self._style else f"{colour}{shown}"


def _last_of_the_overwritten(line: str) -> tuple[str, str]:
    """Of a line that writes over itself, as a progress bar does: the last text that shows, behind what came before."""
    end = len(line)
    while end >= 0:
        start = line.rfind("\r", 0, end) + 1
        part = line[start:end]
        if _shows(part):
            return line[:start], part
        end = start - 1
    return "", ""


def _shows(part: str) -> bool:
    return bool(sgr.CODE.sub("", _BROKEN_CODE.sub("", _OTHER_CODE.sub("", part))).strip())
