"""What stops a launch before its end: a signal, what a program beside it has found out, what it has cost."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from lightning_zenml.codes import Code
from lightning_zenml.launch.payload.protocol import STOP_GRACE, Failure, Meter, Phase
from lightning_zenml.launch.payload.records import JobRecord, RecordError, read

_END = 0.05
"""Part of `max_cost` that may be kept for an orderly end, at most."""


class Stop(Exception):  # noqa: N818 - a signal, not an error
    """The launch is to be stopped.

    Args:
        failure: why; None: somebody asks for it.
    """

    def __init__(self, failure: Failure | None = None) -> None:
        super().__init__(failure.message if failure else "")
        self.failure = failure


class StopSignal:
    """What SIGTERM does: raises `Stop`, once; within `held`, at the end of that.

    Python drops what a signal's handler raises in a finalizer or the callback of a weak reference. So the fact is kept,
    and whoever waits looks at it.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._came = False

    def __call__(self, *_: object) -> None:
        """Handles the signal."""
        self._came = True
        if not self._is_held:
            self.look()

    def look(self) -> None:
        """Raises `Stop` if the signal came."""
        if self._came:
            # A second one would interrupt the cleaning up after the first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise Stop

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a stop until the end of the block."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self.look()


class Purse:
    """What a launch may cost, counted on the studio: whoever has started it may be gone.

    Args:
        limit: US dollars, of studio and jobs together; None: no limit.
        meter: what the studio costs.
        jobs: file of the records of the launch's jobs.
    """

    def __init__(self, limit: float | None, meter: Meter, jobs: Path) -> None:
        self._limit = limit
        self._meter = meter
        self._jobs = jobs
        self._last: dict[str, JobRecord] = {}
        self._known = -1

    @property
    def grace(self) -> float:
        """Seconds that the command has for an orderly end: as many as the end's share of the limit pays for."""
        rate = self._rate()
        return min(STOP_GRACE, _END * (self._limit or 0.0) / rate) if rate else STOP_GRACE

    @property
    def seconds_left(self) -> float:
        """Seconds until the launch is to be stopped, if nothing changes: in them, its jobs cost what they do now."""
        cost, rate = self._cost(), self._rate()
        if self._limit is None or cost is None or not rate:
            return math.inf
        return max((self._limit - cost) / rate - self.grace, 0.0)

    def look(self) -> None:
        """Raises `Stop` if what is left pays for no more than an orderly end."""
        if self.seconds_left <= 0:
            message = f"Stopped: the run has cost ${self._cost() or 0:.2f}, and `max-cost` allows ${self._limit:g}."
            raise Stop(Failure(phase=Phase.RUNNING, message=message, code=Code.COST))

    def _cost(self) -> float | None:
        costs = [self._meter.cost(), *(job.cost for job in self._read())]
        known = [cost for cost in costs if cost is not None]
        # What can't be priced is not counted, and the rest is.
        return sum(known) if known else None

    def _rate(self) -> float:
        """US dollars a second."""
        return ((self._meter.price or 0.0) + sum(job.rate or 0.0 for job in self._read())) / 3600

    def _read(self) -> Collection[JobRecord]:
        """The last word of each job."""
        with contextlib.suppress(OSError, RecordError):
            if (size := self._jobs.stat().st_size) != self._known:
                self._last = {record.token: record for record in read(JobRecord, self._jobs)}
                self._known = size
        return self._last.values()


class Watch:
    """A program that watches beside a launch, and ends with 0 once that is to be stopped: then SIGTERM comes.

    Args:
        arguments: arguments of this process's Python; empty: nothing is watched.
        environment: variables of the program.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._is_over = False
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        if arguments:
            # Its end of the pipe tells it when there is nobody to watch for.
            self._process = subprocess.Popen([sys.executable, *arguments], env=environment, stdin=subprocess.PIPE)
            threading.Thread(target=self._wait, args=(self._process,), daemon=True).start()

    def end(self) -> None:
        """Watches no longer: whoever comes now looks for a stop itself."""
        with self._turn:
            self._is_over = True
        if self._process is not None:
            self._process.kill()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        exit_code = process.wait()
        with self._turn:
            if exit_code == 0 and not self._is_over:
                os.kill(os.getpid(), signal.SIGTERM)
