"""A command that a studio was asked to run, and what it wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress

from .sandbox import Sandbox


class Session:
    """One command, running in a machine.

    It ends when its shell ends: what the shell left in the background goes on until the machine stops.

    Raises:
        OSError: the command could not be started, for one as it is too long.
    """

    def __init__(self, name: str, sandbox: Sandbox, command: str, variables: Mapping[str, str]) -> None:
        self.name = name
        self.command = command
        folder = sandbox.scratch / "sessions"
        folder.mkdir(exist_ok=True)
        self._output = folder / name
        with self._output.open("wb") as file:
            self._process = sandbox.spawn(command, variables, file)

    @property
    def exit_code(self) -> int | None:
        """Of the shell, 128 + signal when one killed it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def output(self) -> bytes:
        """What it wrote so far to stdout and stderr, in order."""
        return self._output.read_bytes()

    def output_from(self, offset: int) -> bytes:
        """What it wrote so far, without the first `offset` bytes."""
        with self._output.open("rb") as file:
            file.seek(offset)
            return file.read()

    def reap(self) -> None:
        """Take leave of the process; its machine has been stopped."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
