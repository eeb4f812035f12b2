"""A step that runs in a process of its own in the studio, and what every step under way is (`RunningStep`)."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, TextIO

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload import bash
from lightning_zenml.launch.payload.process import is_group_alive

_OUTPUT_DEADLINE = 5.0
# Without the folder that it starts in: what lies there may be named like a module that the program imports.
_PROGRAM = (sys.executable, "-P", "-m", "lightning_zenml.orchestrator.steps.process_program")


class RunningStep(Protocol):
    """A step under way, wherever it runs."""

    @property
    def error(self) -> LaunchError | None:
        """Why it has ended before it began, as far as that is known."""

    @property
    def url(self) -> str:
        """Its own page on Lightning AI; '' for a step in the studio."""

    @property
    def age(self) -> float:
        """Seconds since it was started."""

    def poll(self) -> int | None:
        """Gets the exit code; None while the step runs."""

    def wait(self, timeout: float) -> bool:
        """Waits, `timeout` seconds at most; returns whether the step has ended."""

    def terminate(self) -> None:
        """Asks the step to end, once."""

    def kill(self) -> None:
        """Ends it; harmless when it has ended."""


class UnstartedStep:
    """A step that couldn't be started, which is how it has ended, and is recorded so.

    Args:
        error: why it couldn't be started, for whoever records that; None: it is recorded already.
    """

    url = ""
    age = 0.0

    def __init__(self, error: LaunchError | None = None) -> None:
        self.error = error

    def poll(self) -> int | None:
        """Gets an exit code that no command has."""
        return -1

    def wait(self, timeout: float) -> bool:
        """Says that it has ended."""
        return True

    def terminate(self) -> None:
        """Does nothing."""

    def kill(self) -> None:
        """Does nothing."""


class StepProcess:
    """A step's process, leader of its own process group.

    Unless it runs a command of the user's, it does its imports before it is told its step.

    Its output goes to a stream, line by line behind the step's name.

    Args:
        environment: variables of the process, all of them.
        directory: folder that the process runs in.
        output: takes what the step prints.
        commands: bash lines that come first, in one shell whose exports reach the step; the first failure ends it.
        program: program that runs the step, with its arguments.
        root: folder that the commands begin in; None: that of the process.
        name: name of the step's invocation, as far as it is known.
    """

    error = None
    url = ""

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        output: TextIO,
        commands: Sequence[str] = (),
        program: Sequence[str] = _PROGRAM,
        root: Path | None = None,
        name: str = "step",
    ) -> None:
        self.name = name
        self.environment = dict(environment)
        self._output = output
        self._terminated = False
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            _after(commands, directory, program) if commands else program,
            env=self.environment,
            cwd=(root or directory) if commands else directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            # A signal meant for a step must reach its children, and no other step.
            process_group=0,
        )
        self._reader = threading.Thread(
            target=self._copy_output, args=[self._process.stdout], name="step-output", daemon=True
        )
        self._reader.start()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def begin(self, name: str, arguments: Sequence[str]) -> None:
        """Tells the process its step.

        Args:
            name: name of the step's invocation.
            arguments: arguments of the entrypoint, from `lightning_zenml.orchestrator.steps.entrypoint.arguments_of`.
        """
        self.name = name
        # A process that died in its imports shows that by its exit code.
        with contextlib.suppress(BrokenPipeError), self._stdin as stdin:
            stdin.write(json.dumps(list(arguments)) + "\n")

    def poll(self) -> int | None:
        """Gets the exit code, negative for a signal; None while the step runs."""
        code = self._process.poll()
        if code is not None:
            # Children that outlive the step may hold the pipe open for ever.
            self._reader.join(_OUTPUT_DEADLINE)
        return code

    def wait(self, timeout: float) -> bool:
        """Waits for the end of the step and its children.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether they have ended.
        """
        deadline = time.monotonic() + timeout
        # A shell is gone at once when it is asked to end, and what it runs is not.
        while self._process.poll() is None or is_group_alive(self._process.pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def terminate(self) -> None:
        """Asks the step and its children to end, once; ZenML's handler in it then records that it was stopped."""
        if not self._terminated:
            self._terminated = True
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the step and its children."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._reader.join(_OUTPUT_DEADLINE)

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        return self._process.stdin

    def _signal(self, number: int) -> None:
        # Without a look at the leader: children may have outlived it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _copy_output(self, stream: TextIO) -> None:
        with stream as lines:
            for line in lines:
                self._output.write(f"[{self.name}] {line.rstrip()}\n")
                self._output.flush()


class StepProcesses:
    """Makes the processes of a run's steps, the next one ahead of its time.

    Args:
        environment: variables that the steps have in common.
        directory: folder that the steps run in.
        output: takes what the steps print.
        root: folder that commands before a step begin in; None: that of the steps.
    """

    def __init__(
        self, environment: Mapping[str, str], directory: Path, output: TextIO, root: Path | None = None
    ) -> None:
        self._root = root
        self._environment = dict(environment)
        self._directory = directory
        self._output = output
        self._spare: StepProcess | None = None

    def prepare(self) -> None:
        """Starts the process of a step to come, unless one waits already."""
        if self._spare is None:
            self._spare = StepProcess(self._environment, self._directory, self._output)

    def begin(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], commands: Sequence[str] = ()
    ) -> StepProcess:
        """Runs a step, in the process that waits where that has the step's own variables.

        Args:
            name: name of the step's invocation.
            arguments: arguments of the entrypoint, from `lightning_zenml.orchestrator.steps.entrypoint.arguments_of`.
            environment: variables of this step alone.
            commands: bash lines of this step alone, which come first.

        Returns:
            Its process.
        """
        wanted = self._environment | dict(environment)
        spare = self._spare
        if spare is not None and not commands and spare.environment == wanted and spare.poll() is None:
            process, self._spare = spare, None
        else:
            process = StepProcess(wanted, self._directory, self._output, commands, root=self._root)
        process.begin(name, arguments)
        return process

    def begin_command(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], commands: Sequence[str] = ()
    ) -> StepProcess:
        """Runs a step that is a command, see `begin`.

        Args:
            name: name of the step's invocation.
            command: program and arguments.
            environment: variables of this step alone.
            commands: bash lines of this step alone, which come first.

        Returns:
            Its process.
        """
        process = StepProcess(
            self._environment | dict(environment),
            self._directory,
            self._output,
            commands,
            program=command,
            root=self._root,
            name=name,
        )
        process.begin(name, [])
        return process

    def close(self) -> None:
        """Ends the process that waits."""
        if self._spare is not None:
            self._spare.kill()
            self._spare = None


def _after(commands: Sequence[str], directory: Path, program: Sequence[str]) -> list[str]:
    """A shell that runs the commands, which must not read what is meant for the program, and becomes the program."""
    lines = "\n".join(commands)
    script = f"exec 3<&0 </dev/null\n{lines}\ncd -- {shlex.quote(str(directory))}\nexec {shlex.join(program)} <&3 3<&-"
    return bash.argv(script)
