"""A step that runs as a Lightning job, watched as `steps.StepProcess` watches one that runs in the studio.

The job starts from a snapshot of the studio: the launch's code and the installed environment are in it. What the step
must know and nobody else may travels as the job's environment.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from zenml.logger import get_logger

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.job import Job, JobLostError, JobPhase, JobState
from lightning_zenml.launch.spec import KeepStudio
from lightning_zenml.orchestrator.context import CODE, MACHINE, SOURCE_ROOT, LaunchContext
from lightning_zenml.orchestrator.placement import OwnMachines

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning import Lightning
    from lightning_zenml.launch.machines import Machine
    from lightning_zenml.launch.studio import Studio
    from lightning_zenml.orchestrator.flavor import LightningOrchestratorSettings

logger = get_logger(__name__)

LOST = -1
"""Exit code of a job that ended before its command did: deleted, or its machine was lost for good."""

_POLL = (1.0, 5.0)
"""Seconds between two looks at a job: while it starts, and at most."""
_RESULT_PATIENCE = 20.0
"""Seconds that the exit code of a failed job may take to show."""


class StepJob:
    """One attempt at a step, on machines of its own.

    Args:
        job: that runs it.
        step: name of the step's invocation.
        record: told what happens to the job, see `lightning_zenml.launch.spec.Update`.
        described: what is told each time.
        keep: whether the job stays when it has ended.
        output: takes its log, line by line behind the step's name.
    """

    def __init__(
        self,
        job: Job,
        step: str,
        *,
        record: Callable[[Mapping[str, Any]], None],
        described: Mapping[str, Any],
        keep: bool,
        output: TextIO,
    ) -> None:
        self.job = job
        self.name = step
        self._record = record
        self._described = {**described, "name": job.name, "url": job.url}
        self._keep = keep
        self._output = output
        self._began = time.monotonic()
        self._started: float | None = None
        self._ended_at: float | None = None
        self._exit_code: int | None = None
        self._next_look, self._pause = 0.0, _POLL[0]
        self._last_line: datetime | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self._terminated = False
        self._stop_refused = False
        self._phase: JobPhase | None = None

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
            timeout: seconds.

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
            if self._try(self.job.delete):
                self._write(started=self._started, ended=time.time())

    def _stop(self) -> None:
        self._stop_refused = not self._try(self.job.stop)

    def _look(self) -> None:
        if self._stop_refused:
            self._stop()
        try:
            state = self.job.state()
        except JobLostError:
            self._end(LOST)
        except LaunchError as error:
            logger.warning("Can't ask how the job of step `%s` goes: %s", self.name, error)
        else:
            self._tell(state)
            if state.phase is not JobPhase.PENDING:
                self._copy_log()
            if state.phase.ended:
                self._conclude(state)

    def _tell(self, state: JobState) -> None:
        """Says what is new: waiting for a machine, running, started again."""
        if self._started is None and state.phase in (JobPhase.RUNNING, JobPhase.STOPPING):
            self._started = time.time()
            self._write(started=self._started)
        if state.phase is not self._phase and not state.phase.ended:
            words = f" ({state.message})" if state.message else ""
            self._say(f"Lightning job {self.job.name}: {state.phase}{words}")
        self._phase = state.phase

    def _conclude(self, state: JobState) -> None:
        self._ended_at = self._ended_at or time.monotonic()
        if state.exit_code is not None:
            self._end(state.exit_code)
        elif state.phase is JobPhase.COMPLETED:
            self._end(0)
        elif state.phase is JobPhase.STOPPED or time.monotonic() - self._ended_at > _RESULT_PATIENCE:
            self._say(
                f"Lightning job {self.job.name}: {state.phase}, the command didn't get to its end. {state.message}"
            )
            self._end(LOST)
        else:
            self._pause = _POLL[0]

    def _end(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._write(started=self._started, ended=time.time())
        if not self._keep:
            self._try(self.job.delete)

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
            self._say(line.message.rstrip())

    def _say(self, text: str) -> None:
        self._output.write(f"[{self.name}] {text}\n")
        self._output.flush()

    def _write(self, *, started: float | None, ended: float | None = None) -> None:
        self._record({**self._described, "started": started, "ended": ended})

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except LaunchError as error:
            logger.warning("The job %s of step `%s` may still be there: %s", self.job.name, self.name, error)
            return False
        return True


class StepJobs:
    """Starts the jobs of one run's steps.

    Args:
        lightning: the teamspace.
        studio: the launch's; jobs start from its snapshot.
        context: the launch.
        run_id: of the ZenML run.
        run_name: begins the names of the jobs.
        orchestrator_run_id: names the snapshot that the jobs of the run share, those of child pipelines included.
        output: takes what the steps print.
    """

    def __init__(
        self,
        lightning: Lightning,
        studio: Studio,
        context: LaunchContext,
        *,
        run_id: str,
        run_name: str,
        orchestrator_run_id: str,
        output: TextIO,
    ) -> None:
        self._lightning = lightning
        self._studio = studio
        self._context = context
        self._run_id = run_id
        self._run_name = run_name
        self._orchestrator_run_id = orchestrator_run_id
        self._output = output

    def begin(
        self,
        step: str,
        program: Sequence[str],
        *,
        own: OwnMachines,
        settings: LightningOrchestratorSettings,
        environment: Mapping[str, str],
        commands: Sequence[str] = (),
        attempt: int = 1,
    ) -> StepJob:
        """Runs a step as a job; finds the job again that a controller before this one has started for the same attempt.

        Args:
            step: name of its invocation.
            program: what runs the step, with its arguments.
            own: its machines.
            settings: of the step.
            environment: variables of the step, `SOURCE_ROOT` among them; secrets are fine.
            commands: bash lines that come first, in the same shell.
            attempt: counts the jobs of this step, from 1.

        Returns:
            The job.

        Raises:
            LaunchError: the job can't be started.
        """
        # A child pipeline shares the orchestrator run id, and may share names of steps.
        digest = hashlib.sha256(f"{self._run_id}/{step}".encode()).hexdigest()[:8]
        token = f"{self._orchestrator_run_id}-{digest}-{attempt:02}"
        known = self._context.restarted and self._context.attempts(self._run_id).get(step) == attempt
        described = self._described(token, step, attempt, own, interruptible=settings.interruptible)
        job = Job.find(self._lightning, self._studio, token, num_machines=own.count) if known else None
        job = job or Job.run(
            self._lightning,
            self._studio,
            name=f"{self._run_name}-{step}",
            command=_command(self._context.code, environment[SOURCE_ROOT], commands, program),
            machine=own.machine,
            # In the home, ZenML's tokens would be among the artifacts of the job.
            environment={**environment, MACHINE: own.machine.name, "ZENML_CONFIG_PATH": "/tmp/zenml"},  # noqa: S108
            interruptible=settings.interruptible,
            num_machines=own.count,
            max_runtime=settings.max_runtime,
            max_run_attempts=settings.max_run_attempts,
            snapshot=self._orchestrator_run_id if settings.reuse_snapshot else "",
            token=token,
        )
        machines = f"{own.count} machines {own.machine.name}" if own.count > 1 else own.machine.name
        logger.info("Step `%s` runs as Lightning job on %s: %s", step, machines, job.url)
        return StepJob(
            job,
            step,
            record=self._context.record_job,
            described=described,
            keep=settings.keep_studio in (KeepStudio.KEEP, KeepStudio.STOP),
            output=self._output,
        )

    def take_snapshot(self, machine: Machine) -> StepJob:
        """Takes the snapshot that the jobs of the run share, by a job that does nothing.

        Taking it lasts minutes, for which the first job would wait.

        Args:
            machine: the cheapest that there is.

        Returns:
            The job, to be killed when it is needed no more.

        Raises:
            LaunchError: it can't be started.
        """
        token = f"{self._orchestrator_run_id}-snapshot"
        # No step can have that name.
        described = self._described(token, "(snapshot)", 1, OwnMachines(machine=machine))
        job = Job.run(
            self._lightning,
            self._studio,
            name=f"{self._run_name}-snapshot",
            command="true",
            machine=machine,
            snapshot=self._orchestrator_run_id,
            token=token,
        )
        record = self._context.record_job
        return StepJob(job, "(snapshot)", record=record, described=described, keep=False, output=self._output)

    def _described(
        self, token: str, step: str, attempt: int, own: OwnMachines, *, interruptible: bool = False
    ) -> dict[str, Any]:
        """What is told of a job, for the first time before it is asked for: whoever must end it looks for it then."""
        described = {
            "token": token,
            "step": step,
            "attempt": attempt,
            "run_id": self._run_id,
            "machine": own.machine.name,
            "num_machines": own.count,
            "price": (own.machine.spot_cost if interruptible else None) or own.machine.cost,
        }
        self._context.record_job({**described, "name": "", "url": "", "started": None, "ended": None})
        return described


def _command(code: Path, source_root: str, commands: Sequence[str], program: Sequence[str]) -> str:
    """The bash script of the job. Its home is a copy of the studio's; `python` is no command there, but an alias."""
    path = shlex.quote(os.path.dirname(sys.executable))  # noqa: PTH120
    return "\n".join(
        [
            "set -eo pipefail",
            f"cd {_in_job(code)}",
            f'export {CODE}="$PWD" {SOURCE_ROOT}={_in_job(Path(source_root))} PATH={path}:"$PATH"',
            "unset UV_LIGHTNING_VIRTUALENV_ROOT",
            *commands,
            'cd "$' + CODE + '"',
            # What ends it must reach the program, not a shell that is gone at once.
            f"exec {shlex.join(program)}",
        ]
    )


def _in_job(path: Path) -> str:
    """A path of the studio as bash finds it in a job."""
    home = Path.home()
    return (
        f'"$HOME"/{shlex.quote(str(path.relative_to(home)))}' if path.is_relative_to(home) else shlex.quote(str(path))
    )
