"""How an action talks to the GitHub runner: workflow commands on a stream, and file commands.

Sources: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands and, for the limits
and for what the runner takes for a command, `ActionCommand.cs`, `ActionCommandManager.cs` and
`FileCommandManager.cs` of https://github.com/actions/runner.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from lightning_zenml.action.github.redactor import Redactor
from lightning_zenml.codes import Code

MESSAGE_LIMIT = 4_096
"""Characters of an annotation that the runner keeps."""

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a job summary; the runner refuses a larger one as a whole."""


class Workflow:
    """The runner's side of this step. Threads may share it; a full disk is told of once, and ends nothing.

    Args:
        environ: variables of the step; `GITHUB_OUTPUT`, `GITHUB_STATE` and `GITHUB_STEP_SUMMARY` name the files
            of the file commands. A file command whose variable is missing does nothing.
        stream: where the runner reads workflow commands and log lines.
    """

    def __init__(self, environ: Mapping[str, str], stream: TextIO) -> None:
        self._environ = environ
        self._stream = stream
        self._redactor = Redactor()
        self._unfinished_line = ""
        self._unwritable: set[str] = set()
        self._lock = threading.RLock()

    def mask(self, value: str) -> None:
        """Hides a value from now on, in all that this class writes, in `redact`, and in what others log in this job."""
        with self._lock:
            for secret in self._redactor.add(value):
                self._send("add-mask", secret)

    def redact(self, text: str) -> str:
        """Hides masked values and what looks like a secret, for texts that don't pass the runner, such as a comment."""
        with self._lock:
            return self._redactor(text)

    def start_group(self, title: str) -> None:
        """Folds what is logged from now on under a title. Groups don't nest: the runner knows one level."""
        self._command("group", title)

    def end_group(self) -> None:
        """Ends the group."""
        self._command("endgroup", "")

    def debug(self, message: str) -> None:
        """Logs a message that is shown when step debug logging is on."""
        self._command("debug", message)

    def notice(
        self, message: str, code: Code, *, title: str = "", file: str | None = None, line: int | None = None
    ) -> None:
        """Annotates the run with a notice, and a link to what to do. The runner keeps ten of each level in a step."""
        self._annotate("notice", message, code, title, file, line)

    def warning(
        self, message: str, code: Code, *, title: str = "", file: str | None = None, line: int | None = None
    ) -> None:
        """Annotates the run with a warning, as `notice` does."""
        self._annotate("warning", message, code, title, file, line)

    def error(
        self, message: str, code: Code, *, title: str = "", file: str | None = None, line: int | None = None
    ) -> None:
        """Annotates the run with an error, as `notice` does; doesn't end anything."""
        self._annotate("error", message, code, title, file, line)

    def log(self, text: str) -> None:
        """Logs text that others wrote, e.g. the output of the remote command.

        It can't issue workflow commands. A last line without its end is kept until the rest, or anything else,
        comes: a command could otherwise be smuggled in two halves.
        """
        with self._lock:
            text = self._unfinished_line + text
            cut = text.rfind("\n") + 1
            self._unfinished_line = text[cut:]
            if cut:
                self._write(self._readable(self._redactor.next_lines(text[:cut])))

    def progress(self, text: str) -> None:
        """Logs a line that tells how a launch comes along."""
        self.log(f"{text}\n")

    def uploading(self, path: Path) -> None:
        """Notes that a file is about to be uploaded: nothing, as a log shows no bytes."""

    def flush(self) -> None:
        """Logs what `log` keeps of an unfinished line."""
        with self._lock:
            if self._unfinished_line:
                line, self._unfinished_line = self._unfinished_line, ""
                self._write(self._readable(self._redactor.next_lines(line + "\n")))

    def setting(self, name: str, path: str) -> str:
        """How an input is set to a path in the repository."""
        return f"{name}: {path}"

    def set_output(self, name: str, value: str) -> None:
        """Sets an output of the action; the runner reads it also when the step fails or is cancelled."""
        self._file_command("GITHUB_OUTPUT", name, value)

    def save_state(self, name: str, value: str) -> None:
        """Hands a value to the post step, which finds it in `STATE_<name>`."""
        self._file_command("GITHUB_STATE", name, value)

    def summary(self, markdown: str) -> None:
        """Makes this the step's job summary, in place of an earlier one; what is over the limit is cut."""
        content = _cut_bytes(self.redact(markdown), SUMMARY_LIMIT)
        self._to_file("GITHUB_STEP_SUMMARY", lambda path: path.write_bytes(content))

    def _annotate(self, level: str, message: str, code: Code, title: str, file: str | None, line: int | None) -> None:
        message, link = self.redact(message), f" {code.url}"
        if len(message) + len(link) > MESSAGE_LIMIT:
            message = message[: MESSAGE_LIMIT - len(link) - 1] + "…"
        place = {"file": file, "line": None if line is None else str(line)}
        self._command(level, message + link, title=title or code.heading, **place)

    def _command(self, command: str, data: str, **properties: str | None) -> None:
        hidden = {name: self.redact(value) for name, value in properties.items() if value}
        self._send(command, self.redact(data), **hidden)

    def _send(self, command: str, data: str, **properties: str) -> None:
        given = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
        with self._lock:
            self.flush()
            self._write(f"::{command}{' ' if given else ''}{given}::{_escape_data(data)}\n")

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        # Nobody reads on, or the disk is full: there is no other place to say so.
        with contextlib.suppress(OSError):
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()

    def _readable(self, text: str) -> str:
        """Text that others wrote, as whoever reads the stream can bear it."""
        return _disarm(text)

    def _file_command(self, variable: str, name: str, value: str) -> None:
        # Random, or a value could end itself early and set other names.
        delimiter = f"ghadelimiter_{secrets.token_hex(16)}"
        entry = f"{name}<<{delimiter}\n{value}\n{delimiter}\n".encode(errors="replace")

        def append(path: Path) -> None:
            # At once: half an entry would make the runner refuse the whole file.
            with path.open("ab", buffering=0) as file:
                file.write(entry)

        self._to_file(variable, append)

    def _to_file(self, variable: str, write: Callable[[Path], object]) -> None:
        path = self._environ.get(variable)
        if not path:
            return
        try:
            with self._lock:
                write(Path(path))
        except OSError as error:
            if variable not in self._unwritable:
                self._unwritable.add(variable)
                self.warning(
                    f"{variable} can't be written: {error}. The run goes on; what belongs there is missing.",
                    Code.RUNNER,
                )


def _escape_data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(value: str) -> str:
    return _escape_data(value).replace(":", "%3A").replace(",", "%2C")


def _disarm(text: str) -> str:
    """Breaks up what the runner takes for a command.

    That is `::` after white space at the beginning of a line, and `##[` anywhere in one. The break is a visible
    space: the runner compares by culture, to which invisible characters may be nothing. `stop-commands` would do
    the same, but shows its own two lines around every piece.
    """
    text = re.sub(r"(^|[\r\n])([^\S\r\n]*)::", r"\1\2: :", text)
    return text.replace("##[", "## [")


def _cut_bytes(text: str, limit: int) -> bytes:
    content = text.encode(errors="replace")
    if len(content) <= limit:
        return content
    note = "\n\n… cut here: a job summary holds 1 MiB.\n".encode()
    return content[: limit - len(note)].decode(errors="ignore").encode() + note
