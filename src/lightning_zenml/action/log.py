"""The live log: titles and steps become groups, everything else is somebody else's text, made readable."""

from __future__ import annotations

import re

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.launch.payload.folder import TITLE

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_RESET = re.compile(r"\x1b\[0*m")
_OTHER_CODE = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-ln-~]"  # moves the cursor, clears the line
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of windows, links
    r"|[()][0-9A-Za-z]|[=>78cDEHM])"
)
_BROKEN_CODE = re.compile(r"\x1b(?!\[[0-9;:]*m)")
# As ZenML 0.98 logs it, behind the name that our orchestrator puts before each line of a step.
_STEP = re.compile(r"\[(?P<step>[^\]]+)\] Step (?P=step) has started\.")


class Log:
    """Writes the run's log.

    Args:
        workflow: the runner.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._open = False
        self._rest = ""
        self._colour = ""

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

    def end(self) -> None:
        """Ends the group, and a line that has no end."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._write(rest)
        self._colour = ""
        if self._open:
            self._workflow.end_group()
            self._open = False

    def _write(self, line: str) -> None:
        if line.startswith(TITLE):
            self._begin_group(_COLOUR.sub("", line.removeprefix(TITLE)))
            return
        readable = self._readable(line)
        if started := _STEP.match(_COLOUR.sub("", readable)):
            self._begin_group(f"Step {started['step']}")
        self._workflow.log(f"{readable}\n")

    def _begin_group(self, title: str) -> None:
        if self._open:
            self._workflow.end_group()
        self._workflow.start_group(title)
        self._open = True

    def _readable(self, line: str) -> str:
        """A line as a terminal would show it at last, its colours whole: GitHub shows each line by itself."""
        shown = _BROKEN_CODE.sub("", _OTHER_CODE.sub("", line))
        # A progress bar writes over itself.
        shown = next((part for part in reversed(shown.split("\r")) if _COLOUR.sub("", part).strip()), "")
        colour, self._colour = self._colour, _lasting_colour(self._colour + line)
        return f"{colour}{shown}\x1b[0m" if self._colour else f"{colour}{shown}"


def _lasting_colour(text: str) -> str:
    """The colour codes that still hold at the end of a text."""
    return "".join(_COLOUR.findall(_RESET.split(text)[-1]))
