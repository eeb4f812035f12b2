"""Where a step runs: in a process of its own in the studio, in the root of the repository."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from zenml.entrypoints.step_entrypoint_configuration import StepEntrypointConfiguration

from lightning_zenml.orchestrator.context import CODE

if TYPE_CHECKING:
    from uuid import UUID

_OUTPUT_DEADLINE = 5.0


class StepProcess:
    """A step's process, leader of its own process group; it does its imports before it is told its step.

    Its output goes to a stream, line by line behind the step's name.

    Args:
        environment: all variables of the process.
        directory: to run it in.
        output: takes the lines.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path, output: TextIO) -> None:
        self.name = "step"
        self.environment = dict(environment)
        self._output = output
        self._terminated = False
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lightning_zenml.orchestrator.step_process"],
            env=self.environment,
            cwd=directory,
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

    def begin(self, name: str, snapshot_id: UUID) -> None:
        """Tells the process its step.

        Args:
            name: of the step's invocation.
            snapshot_id: of the compiled pipeline.
        """
        self.name = name
        arguments = StepEntrypoint.get_entrypoint_arguments(step_name=name, snapshot_id=snapshot_id)
        # A process that died in its imports shows that by its exit code.
        with contextlib.suppress(BrokenPipeError), self._stdin as stdin:
            stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")

    def poll(self) -> int | None:
        """Gets the exit code, negative for a signal; None while the step runs."""
        code = self._process.poll()
        if code is not None:
            # Children that outlive the step may hold the pipe open for ever.
            self._reader.join(_OUTPUT_DEADLINE)
        return code

    def wait(self, timeout: float) -> bool:
        """Waits for the end.

        Args:
            timeout: seconds.

        Returns:
            Whether the step has ended.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
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


class StepEntrypoint(StepEntrypointConfiguration):  # type: ignore[misc]
    """Runs one step in the root of the unpacked repository; ZenML's own entrypoint would go to `/app`."""

    def prepare_code_environment(self) -> None:
        """Goes to the root of the repository and lets Python import from there."""
        root = os.environ[CODE]
        os.chdir(root)
        if root not in sys.path:
            sys.path.insert(0, root)


class StepProcesses:
    """Makes the processes of a run's steps, the next one ahead of its time.

    Args:
        environment: variables that the steps have in common.
        directory: to run steps in.
        output: takes what they print.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path, output: TextIO) -> None:
        self._environment = dict(environment)
        self._directory = directory
        self._output = output
        self._spare: StepProcess | None = None

    def prepare(self) -> None:
        """Starts the process of a step to come, unless one waits already."""
        if self._spare is None:
            self._spare = StepProcess(self._environment, self._directory, self._output)

    def begin(self, name: str, snapshot_id: UUID, environment: Mapping[str, str]) -> StepProcess:
        """Runs a step, in the process that waits where that has the step's own variables.

        Args:
            name: of the step's invocation.
            snapshot_id: of the compiled pipeline.
            environment: variables of this step alone.

        Returns:
            Its process.
        """
        wanted = self._environment | dict(environment)
        if self._spare is not None and self._spare.environment == wanted and self._spare.poll() is None:
            process, self._spare = self._spare, None
        else:
            process = StepProcess(wanted, self._directory, self._output)
        process.begin(name, snapshot_id)
        return process

    def close(self) -> None:
        """Ends the process that waits."""
        if self._spare is not None:
            self._spare.kill()
            self._spare = None
