"""The live log: titles become groups, everything else is somebody else's text."""

from __future__ import annotations

from lightning_zenml.action.workflow import Workflow
from lightning_zenml.launch.payload.folder import TITLE


class Log:
    """Writes the run's log.

    Args:
        workflow: the runner.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._open = False
        self._rest = ""

    def title(self, text: str) -> None:
        """Ends the group and begins the next."""
        self.end()
        self._workflow.start_group(text)
        self._open = True

    def line(self, text: str) -> None:
        """Writes a line of our own."""
        self._workflow.log(f"{text}\n")

    def feed(self, text: str) -> None:
        """Writes a piece of the studio's log; lines that begin a part of it begin a group."""
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        for line in (whole + newline).splitlines(keepends=True):
            if line.startswith(TITLE):
                self.title(line.removeprefix(TITLE).rstrip("\n"))
            else:
                self._workflow.log(line)

    def end(self) -> None:
        """Ends the group, and a line that has no end."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._workflow.log(f"{rest}\n")
        self._workflow.flush()
        if self._open:
            self._workflow.end_group()
            self._open = False
