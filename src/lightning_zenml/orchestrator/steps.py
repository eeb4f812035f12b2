"""Where a step runs: in a process of its own in the studio, in the root of the repository."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from zenml.entrypoints.step_entrypoint_configuration import StepEntrypointConfiguration

from lightning_zenml.orchestrator.context import CODE

if TYPE_CHECKING:
    from uuid import UUID

_OUTPUT_DEADLINE = 5.0


class StepProcess:
    """A step's process, leader of its own process group.

    Its output goes to a stream, line by line behind the step's name.

    Args:
        name: of the step.
        command: to run.
        environment: all variables of the process.
        directory: to run it in.
        output: takes the lines.
    """

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], directory: Path, output: TextIO
    ) -> None:
        self.name = name
        self._output = output
        self._terminated = False
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            # A signal meant for a step must reach its children, and no other step.
            process_group=0,
        )
        self._reader = threading.Thread(
            target=self._copy_output, args=[self._process.stdout], name=f"output-{name}", daemon=True
        )
        self._reader.start()

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

    @classmethod
    def get_entrypoint_command(cls) -> list[str]:
        """Gets the command that runs an entrypoint with this Python."""
        return [sys.executable, "-m", "zenml.entrypoints.entrypoint"]

    def prepare_code_environment(self) -> None:
        """Goes to the root of the repository and lets Python import from there."""
        root = os.environ[CODE]
        os.chdir(root)
        if root not in sys.path:
            sys.path.insert(0, root)


def step_command(name: str, snapshot_id: UUID) -> list[str]:
    """Builds the command that runs a step.

    Args:
        name: of the step's invocation.
        snapshot_id: of the compiled pipeline.

    Returns:
        The command.
    """
    arguments = StepEntrypoint.get_entrypoint_arguments(step_name=name, snapshot_id=snapshot_id)
    return [*StepEntrypoint.get_entrypoint_command(), *arguments]
