"""Samples beside a step's job: `python -m lightning_zenml.launch.payload.usage PROCESS_ID`, until that has ended.

What idles too long is told so by SIGUSR1, of which `orchestrator.usage` makes the reason why the step has
failed. Who doesn't hear that (compiled code that hangs) is ended by SIGTERM and SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from lightning_zenml.launch.payload.process import identity
from lightning_zenml.launch.payload.protocol import STOP_GRACE
from lightning_zenml.launch.payload.usage.idle import Idleness, heard
from lightning_zenml.launch.payload.usage.sampler import Sampler, interval
from lightning_zenml.launch.payload.variables import MACHINE, STOP_IDLE_GPU, USAGE

_LOOK = 1.0
"""Seconds between two looks whether the process is still there."""


def main() -> None:
    """Samples until the process that is named on the command line has ended."""
    process, environment = int(sys.argv[1]), os.environ
    known_as = _identity(process)
    usage = Path(environment[USAGE])

    def on_idle(idleness: Idleness, words: str) -> None:
        print(words, flush=True)
        if idleness is Idleness.END:
            _end(process, known_as, usage)

    sampler = Sampler(
        usage,
        interval(environment),
        machine=environment.get(MACHINE, ""),
        stop_idle_gpu=float(environment.get(STOP_IDLE_GPU) or 0),
    )
    sampler.count_idleness()
    sampler.start(on_idle)
    while _identity(process) == known_as:
        time.sleep(_LOOK)
    sampler.end()


def _end(process: int, known_as: str, usage: Path) -> None:
    """Asks in ways that are ever harder to ignore; a step that fails for it may well be tried again by its process."""
    heard(usage).unlink(missing_ok=True)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        if _identity(process) != known_as:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        deadline = time.monotonic() + STOP_GRACE
        while time.monotonic() < deadline and _identity(process) == known_as:
            if heard(usage).exists():
                return
            time.sleep(_LOOK)


def _identity(process: int) -> str:
    """Tells the process from each that may get its id; '' once it has ended."""
    try:
        return identity(process)
    except OSError:
        return ""


if __name__ == "__main__":
    main()
