"""The fork server of a run: a process that has done the imports of a step, and of which each step gets a copy.

Importing ZenML takes two seconds of CPU, a copy some milliseconds. Python's `multiprocessing` has one, too.
`lightning_zenml.orchestrator.steps.forkserver_program` is its other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from lightning_zenml.orchestrator.steps.process import NotForkedError, StepProcess

_PROGRAM = (sys.executable, "-P", "-m", "lightning_zenml.orchestrator.steps.forkserver_program")
_IMPORT_PATIENCE = 300.0
"""Seconds that the imports may take; a step would need them for its own."""
_END_POLL = 0.01
_PR_SET_CHILD_SUBREAPER = 36
"""Of `prctl(2)`."""


class ForkServer:
    """The controller's end of a fork server. For several threads.

    It ends with the controller. The steps don't end with it: they are children of the controller, see `_adopt_orphans`.

    Args:
        environment: variables that the steps have in common, as far as they are known.
        directory: folder that the steps run in.
        modules: what is imported beside ZenML: first what is ZenML's own, then what the user asks for.
        output: takes what the imports print.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path, modules: Sequence[str], output: TextIO) -> None:
        self._environment = environment
        self._directory = directory
        self._modules = modules
        self._output = output
        self._asking = threading.RLock()
        self._control: socket.socket | None = None
        self._process: StepProcess | None = None
        self._closed = False

    def start(self) -> None:
        """Starts the process, which then imports; harmless when it has been started."""
        with self._asking:
            if self._process is None and not self._closed and _adopt_orphans():
                self._start()
            if self._closed:
                self.close()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_IMPORT_PATIENCE)
        with theirs:
            number = theirs.fileno()
            self._process = StepProcess(
                self._environment,
                self._directory,
                self._output,
                program=[*_PROGRAM, str(number), *self._modules],
                name="preload",
                inherits=[number],
            )

    def fork(self) -> ForkedProcess:
        """Makes a copy of the process, leader of a process group of its own, which waits for its `Task`.

        Raises:
            NotForkedError: if there is none, and won't be one.
        """
        with self._asking, contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self.start()
            if self._control is None or self._closed:
                raise NotForkedError("it can't be had on this machine, or the run is over")
            stdin, to_stdin = os.pipe()
            from_stdout, stdout = os.pipe()
            theirs.callback(os.close, stdin)
            theirs.callback(os.close, stdout)
            ours.callback(os.close, to_stdin)
            ours.callback(os.close, from_stdout)
            # Whatever goes wrong, a late answer must not be taken for that to another question.
            ours.callback(self.close)
            try:
                socket.send_fds(self._control, [b"."], [stdin, stdout])
                answer = self._control.recv(1000).decode()
            except OSError as error:
                raise NotForkedError(f"it doesn't answer: {error}") from error
            if not answer.isdigit():
                raise NotForkedError(answer or "it has ended")
            ours.pop_all()
            return ForkedProcess(int(answer), to_stdin, from_stdout)

    def close(self) -> None:
        """Ends the process; its copies go on, and no more are made. Doesn't wait for who waits for one."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        if self._control is not None:
            self._control.close()


class ForkedProcess:
    """A process that the fork server has made for us, with what a `subprocess.Popen` has.

    Args:
        pid: its id.
        stdin: file descriptor that leads to its stdin.
        stdout: file descriptor that its stdout and stderr lead to.
    """

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w", encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8", errors="replace")
        self._looking = threading.Lock()
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Gets the exit code, negative for a signal; None while the process runs."""
        with self._looking:
            if self._exit_code is None:
                try:
                    ended, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:
                    # Somebody in this process waits for whatever child comes; ZenML knows what became of the step.
                    self._exit_code = 1
                else:
                    self._exit_code = os.waitstatus_to_exitcode(status) if ended else None
            return self._exit_code

    def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        while (exit_code := self.poll()) is None:
            time.sleep(_END_POLL)
        return exit_code


def _adopt_orphans() -> bool:
    """Makes this process the parent of what its descendants leave behind, as steps are left by the fork server.

    So it is told how they end, whatever becomes of the fork server; returns whether that can be had here.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
