"""One bash session: the commands in order, then the command."""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lightning_zenml.launch.payload.folder import TITLE
from lightning_zenml.launch.payload.process import is_group_alive, running
from lightning_zenml.launch.payload.variables import OF_THE_SHELL

_EXPORTED = "exported "


@dataclass(frozen=True)
class Ended:
    """How a session ended.

    Args:
        exit_code: of the session.
        at: index of the command that was the last to start; None: the command itself (or nothing).
        whole: whether the session came to its end, rather than being ended by an `exit` in a command.
    """

    exit_code: int
    at: int | None
    whole: bool


class Session:
    """The commands and the command in one bash: `cd` and `export` carry over, the first failure ends it.

    Runs as GitHub runs a `run:` (`bash -eo pipefail`), in a process group of its own.

    Args:
        commands: run in `code`.
        command: run in `working_directory`.
        code: root of the repository.
        working_directory: absolute.
        environment: of the session.
        log: where stdout and stderr go.
        on_command: called with a command's index when it starts, with None for the command itself.
    """

    def __init__(
        self,
        commands: Sequence[str],
        command: str,
        *,
        code: Path,
        working_directory: Path,
        environment: Mapping[str, str],
        log: IO[bytes],
        on_command: Callable[[int | None], None],
    ) -> None:
        self.environment = dict(environment)
        """Of the command: that of the session, and what the commands have exported."""
        self._on_command = on_command
        self._at: int | None = None
        self._whole = False
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            bash(_script(commands, command, working_directory, writing)),
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        self._watch = threading.Thread(target=self._watch_progress, args=(reading,), daemon=True)
        self._watch.start()

    @property
    def id(self) -> int:
        """Session id, the process id of bash."""
        return self._process.pid

    def wait(self, timeout: float | None) -> Ended | None:
        """The end; None when the timeout (seconds) comes first."""
        try:
            exit_code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        # The pipe ends with the session: programs that it left behind don't inherit it.
        self._watch.join(timeout=5)
        kill(self.id)
        return Ended(
            exit_code=exit_code if exit_code >= 0 else 128 - exit_code,
            at=self._at,
            whole=self._whole,
        )

    def end(self, grace: Callable[[], float]) -> None:
        """SIGTERM to bash and what it runs; SIGKILL to the whole session after that.

        Args:
            grace: tells how many seconds later at most; whoever is in a hurry may change that meanwhile.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id, signal.SIGTERM)
        began = time.monotonic()
        # Bash is gone at once; what it runs needs the time.
        while is_group_alive(self.id) and time.monotonic() < began + grace():
            time.sleep(0.1)
        kill(self.id)

    def _watch_progress(self, reading: int) -> None:
        with os.fdopen(reading) as progress:
            for line in progress:
                if line.strip() == "end":
                    self._whole = True
                    continue
                if line.startswith(_EXPORTED):
                    self.environment = _variables(line.removeprefix(_EXPORTED))
                    continue
                self._at = None if line.strip() == "run" else int(line)
                # A full disk takes no record; without a reader of its progress the session would end.
                with contextlib.suppress(OSError):
                    self._on_command(self._at)


def bash(script: str) -> list[str]:
    """Builds the command line that runs what users write: no start-up files, and the first failure ends it.

    Args:
        script: bash lines.
    """
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]


def kill(session_id: int) -> None:
    """Kills what is left of a session, process groups of their own (steps have them) included."""
    for process in running():
        if process.session == session_id:
            with contextlib.suppress(OSError):
                os.kill(process.id, signal.SIGKILL)


def _script(commands: Sequence[str], command: str, working_directory: Path, progress: int) -> str:
    """Bash that tells on the file descriptor `progress` what it is about to start."""

    def part(label: str, title: str, text: str, *, directory: Path | None = None) -> list[str]:
        return [
            f"echo {label} >&{progress}",
            f"printf '%s\\n' {shlex.quote(TITLE + title)}",
            *([f"cd -- {shlex.quote(str(directory))}"] if directory else []),
            f"{{ eval {shlex.quote(text)}; }} {progress}>&-",
        ]

    lines = [
        line
        for index, text in enumerate(commands)
        for line in part(str(index), f"Command {index + 1} of {len(commands)}: {_first_line(text)}", text)
    ]
    if commands:
        lines.append(f'echo "{_EXPORTED}$(env -0 | base64 --wrap=0)" >&{progress}')
    lines += part("run", f"Run: {_first_line(command)}", command, directory=working_directory)
    return "\n".join([*lines, f"echo end >&{progress}"])


def _variables(encoded: str) -> dict[str, str]:
    """What `env -0` has printed, less what the shell keeps for itself."""
    items = base64.b64decode(encoded).decode(errors="surrogateescape").split("\0")
    variables = dict(item.split("=", 1) for item in items if "=" in item)
    return {name: value for name, value in variables.items() if name not in OF_THE_SHELL}


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} ..."
