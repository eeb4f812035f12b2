"""A step that runs in a process of its own in the studio, and how it gets that process."""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO, cast

from lightning_zenml.launch.payload.process import is_group_alive
from lightning_zenml.launch.payload.session import bash
from lightning_zenml.orchestrator.steps.task import Task
from lightning_zenml.terminal.screen import Screen

if TYPE_CHECKING:
    import io

    from lightning_zenml.orchestrator.steps.forkserver import ForkedProcess, ForkServer

logger = logging.getLogger(__name__)

_OUTPUT_DEADLINE = 5.0
_PIECE = 65_536
"""Bytes of output that are read at once."""
# Without the folder that it starts in: what lies there may be named like a module that the program imports.
_PROGRAM = (sys.executable, "-P", "-m", "lightning_zenml.orchestrator.steps.process_program")


class NotForkedError(Exception):
    """The fork server makes no copy of itself, and won't make one."""


class StepProcess:
    """A step's process, leader of its own process group.

    Unless it runs a command of the user's, it has done its imports before it is told its step.

    Its output goes to a stream, line by line behind the step's name.

    Args:
        environment: variables of the process, all of them.
        directory: folder that the process runs in.
        output: takes what the step prints.
        commands: bash lines that come first, in one shell whose exports reach the step; the first failure ends it.
        program: program that runs the step, with its arguments.
        root: folder that the commands begin in; None: that of the process.
        name: name of the step's invocation, as far as it is known.
        inherits: file descriptors that the program inherits, stdin, stdout and stderr aside.
        forks: makes the process, instead of the program; then there are no commands.

    Raises:
        NotForkedError: if the fork server makes none.
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
        inherits: Sequence[int] = (),
        forks: ForkServer | None = None,
    ) -> None:
        self.name = name
        self.environment = dict(environment)
        self._directory = directory
        self._output = output
        self._terminated = False
        self._started = time.monotonic()
        self._is_copy = forks is not None
        self._process: ForkedProcess | subprocess.Popen[str]
        if forks is not None:
            self._process = forks.fork()
        else:
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
                pass_fds=inherits,
            )
        self._reader = threading.Thread(
            target=self._copy_output, args=[self._process.stdout], name="step-output", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id, that of its process group, too."""
        return self._process.pid

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
        own = self.environment if self._is_copy else None
        task = Task(arguments=tuple(arguments), environment=own, directory=str(self._directory))
        # A process that died in its imports shows that by its exit code.
        with contextlib.suppress(BrokenPipeError), self._stdin as stdin:
            stdin.write(f"{task}\n")

    def tell_nothing(self) -> None:
        """Leaves the process to what it runs anyway."""
        self._stdin.close()

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
        screen = Screen()
        with stream:
            for text in _pieces(stream):
                self._tell(screen.feed(text))
        self._tell(screen.end())

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._output.write(f"[{self.name}] {line.rstrip()}\n")
            self._output.flush()


class StepProcesses:
    """Makes the processes of a run's steps: copies of one that waits or, without a fork server, the next one ahead.

    Args:
        environment: variables that the steps have in common.
        directory: folder that the steps run in.
        output: takes what the steps print.
        root: folder that commands before a step begin in; None: that of the steps.
        forks: makes the processes; None: each is started for itself.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        output: TextIO,
        root: Path | None = None,
        forks: ForkServer | None = None,
    ) -> None:
        self._root = root
        self._forks = forks
        self._environment = dict(environment)
        self._directory = directory
        self._output = output
        self._spare: StepProcess | None = None

    def prepare(self) -> None:
        """Starts the process of a step to come, unless one waits already."""
        if self._forks is not None:
            self._forks.start()
        elif self._spare is None:
            self._spare = StepProcess(self._environment, self._directory, self._output)

    def begin(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        commands: Sequence[str] = (),
        *,
        forked: bool = True,
    ) -> StepProcess:
        """Runs a step, in the process that waits where that can be: it runs no commands, and has its own variables.

        Args:
            name: name of the step's invocation.
            arguments: arguments of the entrypoint, from `lightning_zenml.orchestrator.steps.entrypoint.arguments_of`.
            environment: variables of this step alone.
            commands: bash lines of this step alone, which come first.
            forked: whether the process may be a copy of the fork server's.

        Returns:
            Its process.
        """
        wanted = self._environment | dict(environment)
        process = None
        if not commands:
            process = (self._fork(wanted) if forked else None) or self._take_spare(wanted)
        if process is None:
            process = StepProcess(wanted, self._directory, self._output, commands, root=self._root)
        process.begin(name, arguments)
        return process

    def _fork(self, environment: Mapping[str, str]) -> StepProcess | None:
        if self._forks is None:
            return None
        try:
            return StepProcess(environment, self._directory, self._output, forks=self._forks)
        except NotForkedError as error:
            logger.debug("From now on, each step's process is started for itself: the fork server is out, %s.", error)
            self._forks = None
            return None

    def _take_spare(self, environment: Mapping[str, str]) -> StepProcess | None:
        spare = self._spare
        if spare is None or spare.environment != environment or spare.poll() is not None:
            return None
        self._spare = None
        return spare

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
        process.tell_nothing()
        return process

    def close(self) -> None:
        """Ends the process that waits; whoever has made the fork server closes that."""
        if self._spare is not None:
            self._spare.kill()
            self._spare = None


def _pieces(stream: TextIO) -> Iterator[str]:
    """A stream's text as it comes, with the carriage returns that reading by lines takes for line ends."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while data := cast("io.BufferedReader", stream.buffer).read1(_PIECE):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _after(commands: Sequence[str], directory: Path, program: Sequence[str]) -> list[str]:
    """A shell that runs the commands, which must not read what is meant for the program, and becomes the program."""
    lines = "\n".join(commands)
    script = f"exec 3<&0 </dev/null\n{lines}\ncd -- {shlex.quote(str(directory))}\nexec {shlex.join(program)} <&3 3<&-"
    return bash(script)
