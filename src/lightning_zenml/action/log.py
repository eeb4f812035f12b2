"""The live log: titles and steps become groups, everything else is somebody else's text, made readable."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.launch.payload.folder import TITLE
from lightning_zenml.terminal.screen import Screen
from lightning_zenml.terminal.sgr import CODE

# As ZenML 0.98 logs it, behind the name that our orchestrator puts before each line of a step.
_STEP = re.compile(r"\[(?P<step>[^\]]+)\] Step (?P=step) has started\.")


class Log:
    """Writes the run's log.

    Args:
        workflow: the runner, whose log takes the lines.
        clock: function that tells seconds, from any start on.
    """

    def __init__(self, workflow: Workflow, clock: Callable[[], float] = time.monotonic) -> None:
        self._workflow = workflow
        self._open = False
        self._screen = Screen(clock)

    def title(self, text: str) -> None:
        """Ends the group and begins the next."""
        self.end()
        self._begin_group(text)

    def line(self, text: str) -> None:
        """Writes a line of our own."""
        self._workflow.log(f"{text}\n")

    def feed(self, text: str) -> None:
        """Writes a piece of the studio's log; lines that begin a part of it, or a step, begin a group."""
        for line in self._screen.feed(text):
            self._write(line)

    def end(self) -> None:
        """Ends the group, and a line that has no end."""
        for line in self._screen.end():
            self._write(line)
        if self._open:
            self._workflow.end_group()
            self._open = False

    def _write(self, line: str) -> None:
        plain = CODE.sub("", line)
        if plain.startswith(TITLE):
            self._begin_group(plain.removeprefix(TITLE))
            return
        if started := _STEP.match(plain):
            self._begin_group(f"Step {started['step']}")
        self._workflow.log(f"{line}\n")

    def _begin_group(self, title: str) -> None:
        if self._open:
            self._workflow.end_group()
        self._workflow.start_group(title)
        self._open = True
