"""A step that runs as a Lightning job, watched as `process.StepProcess` watches one that runs in the studio.

`job_starter` starts it. A machine that does not come is waited for as long as one for a studio; then the next one's
turn has come that the step may have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TextIO

from zenml.logger import get_logger

from lightning_zenml.launch.agreement import Agreement
from lightning_zenml.launch.errors import LaunchError, MachineError
from lightning_zenml.launch.lightning.job import JobLostError
from lightning_zenml.launch.lightning.records import JobPhase, JobState
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.orchestrator.steps.machine import StepMachine
from lightning_zenml.terminal.screen import Screen

logger = get_logger(__name__)

LOST = -1
"""Exit code of a job that ended before its command did: deleted, or its machine was lost for good."""

_POLL = (1.0, 5.0)
"""Seconds between two looks at a job: while it starts, and at most."""
_SKEW = 30.0
"""Seconds by which Lightning's clock may differ from ours."""
_RESULT_PATIENCE = 20.0
"""Seconds that the exit code of a failed job may take to show."""


@dataclass(frozen=True, kw_only=True)
class StartedJob:
    """A job that was asked for.

    Args:
        job: the job.
        machines: kind and number of the machines that it waits for, in words.
        record: what is recorded of the job before it is there.
        asked: when it was asked for, seconds since 1970.
    """

    job: StepMachine
    machines: str
    record: JobRecord
    asked: float


class StepJob:
    """One attempt at a step, on machines of its own.

    Args:
        jobs: one job for each kind of machine that the step may have, each started when it is asked for.
        step: name of the step's invocation.
        on_change: called with the job's record whenever something has happened to it.
        keep: whether the job stays on Lightning AI when it has ended.
        output: takes the job's log, line by line behind the step's name.
        patience: seconds to wait for a machine.

    Raises:
        LaunchError: if the first job can't be started.
    """

    def __init__(
        self,
        jobs: Iterator[StartedJob],
        step: str,
        *,
        on_change: Callable[[JobRecord], None],
        keep: bool,
        output: TextIO,
        patience: float = math.inf,
    ) -> None:
        self.name = step
        self.error: LaunchError | None = None
        self._jobs = jobs
        self._on_change = on_change
        self._keep = keep
        self._output = output
        self._screen = Screen()
        self._patience = patience
        self._began = time.monotonic()
        self._ended_at: float | None = None
        self._exit_code: int | None = None
        self._next_look, self._pause = 0.0, _POLL[0]
        self._last_line: datetime | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self._terminated = False
        self._stop_refused = False
        self._take(next(jobs))

    @property
    def url(self) -> str:
        """The job's page on Lightning AI."""
        return self.job.url

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def poll(self) -> int | None:
        """Gets the exit code of the command, `LOST` if there is none; None while the job runs.

        Asks the platform now and then.
        """
        if self._exit_code is None and time.monotonic() >= self._next_look:
            self._look()
            self._next_look = time.monotonic() + self._pause
            self._pause = min(self._pause * 1.2, _POLL[1])
        return self._exit_code

    def wait(self, timeout: float) -> bool:
        """Waits for the end.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether the job has ended.
        """
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        return self._exit_code is not None

    def terminate(self) -> None:
        """Asks the platform to stop the machines; `poll` asks again where it refuses."""
        if not self._terminated:
            self._terminated = True
            self._pause, self._next_look = _POLL[0], 0.0
            self._stop()

    def kill(self) -> None:
        """Makes sure that nothing of the job runs on; where Lightning refuses, whoever ends the launch tries again."""
        if self._exit_code is None:
            self._exit_code = LOST
            if self._delete():
                self._write(replace(self._record, ended=time.time()))

    def _take(self, started: StartedJob) -> None:
        self.job: StepMachine = started.job
        self._machines = started.machines
        self._record = replace(started.record, name=self.job.name, url=self.job.url)
        self._asked, self._earliest = time.monotonic(), started.asked
        self._phase: JobPhase | None = None
        self._lost = Agreement()

    def _stop(self) -> None:
        self._stop_refused = not self._try(self.job.stop)

    def _look(self) -> None:
        if self._stop_refused:
            self._stop()
        try:
            state = self.job.state()
        except JobLostError:
            self._find_out_whether_lost()
        except LaunchError as error:
            logger.warning("Can't ask how the job of step `%s` goes: %s", self.name, error)
        else:
            self._lost.settles(False)
            self._tell(state)
            if state.phase is not JobPhase.PENDING:
                self._copy_log()
            elif not self._has_begun and time.monotonic() - self._asked > self._patience:
                self._try_the_next()
            if state.phase.ended:
                self._conclude(state)

    def _find_out_whether_lost(self) -> None:
        """Takes the job for lost once several looks have found it gone, the list of jobs among them."""
        self._pause = self._lost.pause
        try:
            is_settled = self._lost.settles(not self.job.is_listed())
        except LaunchError as error:
            logger.warning("Can't ask whether the job of step `%s` is still there: %s", self.name, error)
            return
        if is_settled:
            self._say(f"Lightning job {self.job.name} is gone: it was deleted.")
            self._end(LOST, time.time())

    def _try_the_next(self) -> None:
        """Gives up a job whose machines don't come; one that can't be deleted is waited for a little longer."""
        if self._terminated or not self._delete():
            return
        self._write(replace(self._record, ended=time.time()))
        none = f"No {self._machines} within {self._patience:.0f} s; there may be no capacity."
        try:
            following = next(self._jobs, None)
            if following is None:
                raise MachineError(f"{none} Try later, or name several machines in order of preference.")
        except LaunchError as error:
            self.error = error
            self._exit_code = LOST
        else:
            self._take(following)
            self._say(f"{none} Next: {self._machines}")

    def _tell(self, state: JobState) -> None:
        """Says what is new: waiting for a machine, running, started again."""
        if self._record.started is None and state.phase in (JobPhase.RUNNING, JobPhase.STOPPING):
            # Of a job that is started again, Lightning tells the first start.
            told = None if self._record.earlier else state.started
            self._write(replace(self._record, started=self._moment(told)))
        elif self._record.started is not None and state.phase in (JobPhase.PENDING, JobPhase.RESTARTING):
            # Its machines were lost, and what it waits for costs nothing.
            self._earliest = time.time()
            earlier = self._record.earlier + self._earliest - self._record.started
            self._write(replace(self._record, started=None, earlier=earlier, charged=state.charged))
        if state.phase is not self._phase and not state.phase.ended:
            words = f" ({state.message})" if state.message else ""
            self._say(f"Lightning job {self.job.name}: {state.phase}{words}")
        self._phase = state.phase

    def _conclude(self, state: JobState) -> None:
        self._ended_at = self._ended_at or time.monotonic()
        if self._record.started is None and state.started is not None:
            # It was over before it was looked at.
            self._record = replace(self._record, started=self._moment(state.started))
        self._record = replace(self._record, charged=max(self._record.charged, state.charged))
        stopped = self._moment(state.stopped)
        if state.exit_code is not None:
            self._end(state.exit_code, stopped)
        elif state.phase is JobPhase.COMPLETED:
            self._end(0, stopped)
        elif state.phase is JobPhase.STOPPED or time.monotonic() - self._ended_at > _RESULT_PATIENCE:
            self._say(
                f"Lightning job {self.job.name}: {state.phase}, the command didn't get to its end. {state.message}"
            )
            self._end(LOST, stopped)
        else:
            self._pause = _POLL[0]

    def _end(self, exit_code: int, stopped: float) -> None:
        self._exit_code = exit_code
        self._write(replace(self._record, ended=stopped))
        if not self._keep and self._delete():
            self._write(self._record)

    @property
    def _has_begun(self) -> bool:
        return self._record.started is not None or self._record.earlier > 0

    def _moment(self, told: float | None) -> float:
        """When something happened, seconds since 1970: as Lightning tells, if that can be; else now."""
        now = time.time()
        earliest = self._earliest if self._record.started is None else self._record.started
        # Its clock is another.
        can_be = told is not None and earliest - _SKEW <= told <= now + _SKEW
        return min(max(told, earliest), now) if told is not None and can_be else now

    def _delete(self) -> bool:
        """Whether Lightning has deleted the job; its page is gone with it."""
        if not self._try(self.job.delete):
            return False
        self._record = replace(self._record, url="")
        return True

    def _copy_log(self) -> None:
        """Copies the lines that are new; the platform repeats those of the last moment.

        Whether the job goes on is not for its log to say, not even by a 404.
        """
        try:
            lines = self.job.logs(self._last_line)
        except LaunchError as error:
            logger.warning("Can't read the log of step `%s`: %s", self.name, error)
            return
        for line in lines:
            key = (line.machine, line.number, line.message if not line.number else "")
            if key in self._seen:
                continue
            self._seen.add(key)
            self._last_line = line.timestamp or self._last_line
            for text in self._screen.feed(f"{line.message}\n"):
                self._say(text.rstrip())

    def _say(self, text: str) -> None:
        self._output.write(f"[{self.name}] {text}\n")
        self._output.flush()

    def _write(self, record: JobRecord) -> None:
        self._record = record
        self._on_change(record)

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except LaunchError as error:
            logger.warning("The job %s of step `%s` may still be there: %s", self.job.name, self.name, error)
            return False
        return True
