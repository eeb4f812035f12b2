"""What the story of a run tells, and what it leaves to whoever comes after, where there is a shell and no runner."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TextIO

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.cli.output import Output
from lightning_zenml.codes import Code, marked
from lightning_zenml.launch.launcher import Hold
from lightning_zenml.launch.lightning.files import sent
from lightning_zenml.launch.payload.folder import TITLE
from lightning_zenml.launch.watchdog import Watchdog
from lightning_zenml.terminal.live import Live


class Shell(Workflow):
    """A shell in the place of GitHub's runner: its log is for people, and nobody reads its files.

    Args:
        output: where warnings and errors go.
        stream: where the log goes.
        live: what shows how far it is.
        folder: current folder, relative to the root of the repository.
        is_quiet: whether only warnings and errors are told.

    Attributes:
        outputs: outputs of the Action by their names, as far as they are known.
    """

    def __init__(
        self, output: Output, stream: TextIO, live: Live, *, folder: str = ".", is_quiet: bool = False
    ) -> None:
        super().__init__({}, stream)
        self._output = output
        self._live = live
        self._folder = folder
        self._is_quiet = is_quiet
        self.outputs: dict[str, str] = {}

    def log(self, text: str) -> None:
        """Shows what others wrote, and follows what it tells."""
        if not self._is_quiet:
            super().log(text)
        self._live.feed(text)

    def progress(self, text: str) -> None:
        """Shows how a launch comes along."""
        if self._live.advances(text) or not self._live.is_shown:
            super().progress(text)

    def uploading(self, path: Path) -> None:
        """Shows how much of a file has been uploaded."""
        self._live.stage("Uploading", lambda: sent(path))

    def start_group(self, title: str) -> None:
        """Begins a part of the log."""
        self.log(f"{TITLE}{title}\n")

    def end_group(self) -> None:
        """Ends a part of the log, which shows by the next one's title."""

    def setting(self, name: str, path: str) -> str:
        """How an option is set to a path in the repository."""
        return f"--{name} {posixpath.relpath(path, self._folder)}"

    def set_output(self, name: str, value: str) -> None:
        """Takes note of an output."""
        self.outputs[name] = value

    def _readable(self, text: str) -> str:
        """As it is: no line means anything to a shell."""
        return text

    def _annotate(self, level: str, message: str, code: Code, title: str, file: str | None, line: int | None) -> None:
        self.flush()
        place = f"{file}:{line}: " if file and line else ""
        told = marked(f"{place}{self.redact(message)}", code)
        {"error": self._output.error, "warning": self._output.warning}.get(level, self._output.note)(told)

    def _send(self, command: str, data: str, **properties: str | None) -> None:
        """Nothing: commands are the runner's."""


class Watched(Handover):
    """Takes note of what must be released where a watchdog takes the place of `post`.

    Args:
        shell: the shell.
        watchdog: the process beside this one.
    """

    def __init__(self, shell: Shell, watchdog: Watchdog) -> None:
        super().__init__(shell)
        self._watchdog = watchdog
        self._hold: Hold | None = None

    @property
    def is_open(self) -> bool:
        """Whether something could not be released."""
        return self._hold is not None and not self._hold.is_over

    def note_hold(self, hold: Hold) -> None:
        """Notes what a launch holds from now on."""
        super().note_hold(hold)
        self._hold = hold
        self._watchdog.hold(hold)

    def note_finished(self) -> None:
        """Notes that nothing is left to release."""
        super().note_finished()
        if self._hold is not None:
            self._hold = self._hold.released()
            self._watchdog.hold(self._hold)
