"""kill -9 at random, by seed: which process of a run, in which kind of run, and when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcloud.runner import descendants
from localcloud.stack import Stack

WITHIN = 25.0
"""Seconds from a run's start in which the kill falls: about what a run takes that nobody disturbs."""

OF_THE_ACTION = {
    "main": "-m lightning_zenml.action main",
    "post": "-m lightning_zenml.action post",
}
ON_THE_STUDIO = {
    "supervisor": "-m lightning_zenml.launch.payload start",
    "controller": "python run.py",
    "step": "-m lightning_zenml.orchestrator.steps.",
    "job": "-m lightning_zenml.orchestrator.steps.job_program",
}
OF_A_LAPTOP = {
    "client": "run.py on-the-laptop",
    "watchdog": "-m lightning_zenml.orchestrator.client.watchdog",
}
PROCESSES = OF_THE_ACTION | ON_THE_STUDIO | OF_A_LAPTOP
"""Part of the command line of each process that may be killed."""
SERVER = "ZenML server"

SHAPES = ("fresh", "named", "job", "async", "laptop")
"""Kinds of run: on a studio of its own, on a named one, a step as a Lightning job, async, and from a laptop."""


@dataclass(frozen=True)
class Kill:
    """What is killed in which run.

    Args:
        shape: one of `SHAPES`.
        victim: key of `PROCESSES`, or `SERVER`.
        after: seconds from the run's start; where no such process is there then, the next one is killed that comes. Of
            `post`, which has something to do where main was killed: lines of main's log before that.
    """

    shape: str
    victim: str
    after: float

    @classmethod
    def by(cls, seed: int) -> Kill:
        """The kill of a seed: every process has its turn, whatever the number of seeds."""
        chance = random.Random(seed)
        all_pairs = [(shape, victim) for shape in SHAPES for victim in _victims(shape)]
        chance_of_pairs = random.Random(seed // len(all_pairs))
        chance_of_pairs.shuffle(all_pairs)
        shape, victim = all_pairs[seed % len(all_pairs)]
        return cls(shape, victim, chance.uniform(0, WITHIN))

    def __str__(self) -> str:
        return f"{self.victim} of a run ({self.shape}) after {self.after:.1f} s"

    @contextmanager
    def armed(self, stack: Stack) -> Iterator[threading.Event]:
        """A block in which it happens; the event tells whether it has."""
        happened, over = threading.Event(), threading.Event()

        def wait_and_kill() -> None:
            deadline = time.monotonic() + (0 if self.victim == "post" else self.after)
            while not over.wait(max(0.05, deadline - time.monotonic())):
                if self._kill(stack):
                    happened.set()
                    return

        thread = threading.Thread(target=wait_and_kill, name="killer")
        thread.start()
        try:
            yield happened
        finally:
            over.set()
            thread.join()

    def _kill(self, stack: Stack) -> bool:
        if self.victim == SERVER:
            stack.zenml.go_away(0)
            return True
        # A studio's processes are among this one's descendants; another test's are not.
        found = [pid for pid in descendants(os.getpid()) if PROCESSES[self.victim] in _command_line(pid)]
        for pid in found[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False


def _victims(shape: str) -> list[str]:
    studio = [name for name in ON_THE_STUDIO if name != "job" or shape == "job"]
    beside = OF_A_LAPTOP if shape == "laptop" else OF_THE_ACTION
    return [*beside, *studio, SERVER]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
