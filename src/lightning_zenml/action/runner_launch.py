"""The user's command on the runner, and the launches that it submits: to `main` it looks like one launch."""

from __future__ import annotations

import codecs
import contextlib
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_zenml.action.inputs import Inputs
from lightning_zenml.codes import Code
from lightning_zenml.launch.caller import Held, Launched, Left, Record, Submitted, Updated
from lightning_zenml.launch.launcher import Hold, Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.payload.process import exit_code_in_words, is_group_alive
from lightning_zenml.launch.payload.protocol import minutes
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.payload.session import bash
from lightning_zenml.launch.spec import Failure, Phase, Status, Update

_RUNNING = Status(phase=Phase.RUNNING)
_POLL = 0.2
_OUTPUT = 16_000
"""Characters of output that a failure carries: most tracebacks are shorter."""
_KILL_AFTER = 1.0
"""Seconds that the command has for an orderly end: what counts runs on Lightning."""
_LOOK = 0.05
READABLE = {"ZENML_ENABLE_RICH_TRACEBACK": "false"}
"""Tracebacks as Python prints them: frames drawn around them break up paths, and hide where a step failed."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command on the runner.

    Args:
        text: the command, in bash.
        folder: working directory of the command.
        environment: all variables of the command.
        timeout: seconds until the command is stopped; None: no limit.
        waits: whether the command ends with the runs that it submits; else it leaves them to themselves.
        began: when the timeout began to run, by `time.monotonic`.
    """

    text: str
    folder: Path
    environment: Mapping[str, str]
    timeout: float | None
    waits: bool
    began: float = field(default_factory=time.monotonic)


class RunnerLaunch:
    """A command that our orchestrator submits from, see `lightning_zenml.launch.caller`.

    Args:
        lightning: the teamspace.
        command: the command.
        record: file in which our orchestrator tells what it launches.
        on_hold: callback for what must be released, called each time that it changes.
        on_run: callback for the id of a ZenML run that is about to be launched.
        on_archive: callback for the SHA-256 of an archive that was uploaded.
    """

    def __init__(
        self,
        lightning: Lightning,
        command: Command,
        record: Record,
        *,
        on_hold: Callable[[Hold], None],
        on_run: Callable[[str], None],
        on_archive: Callable[[str], None],
    ) -> None:
        self._lightning = lightning
        self._command = command
        self._record = record
        self._on_hold = on_hold
        self._on_run = on_run
        self._on_archive = on_archive
        self._holds: dict[str, Hold] = {}
        self._runs: list[RunRecord] = []
        self._jobs: dict[str, tuple[JobRecord, ...]] = {}
        self._under_way: set[str] = set()
        self._left: set[str] = set()
        self._deletes: dict[str, bool] = {}
        self._costs: dict[str, float | None] = {}
        self._newest: Launched | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None

    @property
    def id(self) -> str:
        """Of the newest launch; '' before there is one."""
        return self._newest.launch_id if self._newest else ""

    @property
    def studio_name(self) -> str:
        """Name of the newest launch's studio; '' before there is one."""
        return self._newest.studio_name if self._newest else ""

    @property
    def studio_url(self) -> str:
        """Page of the newest launch's studio; '' before there is one."""
        return self._newest.studio_url if self._newest else ""

    @property
    def machine(self) -> str:
        """Machine of the newest launch's studio; '' before there is one."""
        return self._newest.machine if self._newest else ""

    def machines(self) -> list[Machine]:
        """The machines of the last studio's cloud account.

        Raises:
            LaunchError: if Lightning can't be asked.
        """
        clusters = [hold.cluster for hold in self._holds.values()]
        return Catalog(self._lightning, clusters[-1] if clusters else None).machines()

    @property
    def warmth(self) -> str:
        """How long the machine of the newest launch's studio is kept, in words; '': it isn't."""
        return self._newest.warmth if self._newest else ""

    @property
    def deletes_studio(self) -> bool:
        """Whether the newest launch's studio is deleted when it is released."""
        return self._deletes.get(self.id, False)

    @property
    def cost(self) -> float | None:
        """US dollars that all launches have cost so far; None when a price isn't known."""
        known = [cost for cost in self._costs.values() if cost is not None]
        return sum(known) if len(known) == len(self._costs) else None

    @property
    def release_notice(self) -> str:
        """What became of the studios, in words."""
        return f"Released: {', '.join(hold.studio_name for hold in self._holds.values()) or 'nothing was launched'}"

    def follow(self) -> Iterator[Update]:
        """Runs the command; yields its output and the pipeline runs that it submits.

        The last update is FINISHED, but for runs that were left to themselves: these come with the last update, which
        is RUNNING.
        """
        timeout = self._command.timeout or math.inf
        deadline = self._command.began + timeout
        output = ""
        for text in self._output():
            output = (output + text)[-_OUTPUT:]
            self._take_news()
            # Whoever doesn't wait leaves at the first run that it hears of, and there may be more to come.
            yield self._update(_RUNNING, log=text, takes_runs=self._command.waits)
            if time.monotonic() > deadline:
                self.stop()
                message = f"Stopped: it ran longer than its timeout of {minutes(timeout)}."
                yield self._failed(message, Code.TIMEOUT, output)
                return
        if code := self._exit_code:
            message = f"The run failed with {exit_code_in_words(code)}: {self._command.text}"
            yield self._failed(message, Code.COMMAND, output)
        elif not self._command.waits and self._runs:
            yield self._update(_RUNNING)
        else:
            yield self._update(Status(phase=Phase.FINISHED, exit_code=0))

    def leave(self) -> None:
        """Ends the command; the runs that it has started go on, what it was only about to start is released."""
        self._end_command()
        self._each_held(self._leave_one)

    def end(self, *, grace: float) -> None:
        """Ends the command, and releases nothing.

        Args:
            grace: unused; the runs that it made are stopped with their studios.
        """
        self._end_command()

    def stop(self, *, grace: float = 20) -> None:
        """Ends the command and every launch that it made, and releases their studios.

        Args:
            grace: seconds that a run has for an orderly end.

        Raises:
            LaunchError: if a studio can't be released.
        """
        self._end_command()
        self._each_held(lambda hold: self._stop_one(hold, grace))

    def release(self) -> None:
        """Stops what the command has left behind; a command that ended well leaves nothing."""
        self.stop()

    def _output(self) -> Iterator[str]:
        """Runs the command; yields what it prints, and '' now and then while it is silent."""
        command = self._command
        self._process = process = subprocess.Popen(
            bash(command.text),
            cwd=command.folder,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        assert process.stdout is not None  # noqa: S101 - asked for above
        with process.stdout as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                # In this order: what it printed last is there once it has ended.
                ended = process.poll() is not None
                if ended:
                    self._end_command()
                readable = selector.select(0 if ended else _POLL)
                data = os.read(stream.fileno(), 65536) if readable else b""
                if ended and not data:
                    break
                yield decoder.decode(data)
                if readable and not data:
                    # The end of the stream, unlike silence, is readable for ever.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL)
        self._exit_code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        yield decoder.decode(b"", final=True)

    def _take_news(self) -> None:
        """Takes what the orchestrator tells."""
        for news in self._record.news():
            match news:
                case Held(hold=hold):
                    self._holds[hold.launch_id] = hold
                    if not hold.is_over:
                        self._deletes[hold.launch_id] = hold.release == "delete"
                    self._on_hold(hold)
                case Submitted(run_id=run_id):
                    self._on_run(run_id)
                case Launched():
                    self._newest = news
                    self._under_way.add(news.launch_id)
                    self._on_archive(news.archive_sha256)
                case Updated():
                    self._runs += news.runs
                    self._costs[news.launch_id] = news.cost
                    self._jobs[news.launch_id] = news.jobs
                case Left(launch_id=launch_id):
                    self._left.add(launch_id)

    def _update(self, status: Status, *, log: str = "", takes_runs: bool = True) -> Update:
        """What is new; the runs only if they are to be told of by now."""
        runs: tuple[RunRecord, ...] = ()
        if takes_runs:
            runs, self._runs = tuple(self._runs), []
        jobs = tuple(job for jobs in self._jobs.values() for job in jobs)
        return Update(status=status, log=log, runs=runs, jobs=jobs)

    def _failed(self, message: str, code: Code, output: str) -> Update:
        exit_code = self._exit_code
        failure = Failure(phase=Phase.RUNNING, message=message, exit_code=exit_code, output=output, code=code)
        return self._update(Status(phase=Phase.FINISHED, exit_code=exit_code, failure=failure))

    def _end_command(self) -> None:
        """Ends the command and whatever it has started, and hears its last words."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + _KILL_AFTER
            # A shell ends at once, and what it runs may still save something.
            while (process.poll() is None or is_group_alive(process.pid)) and time.monotonic() < deadline:
                time.sleep(_LOOK)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._take_news()

    def _each_held(self, release: Callable[[Hold], None]) -> None:
        """Releases whatever is held; tells of the first failure when all have had their turn."""
        failure: Exception | None = None
        for hold in list(self._holds.values()):
            if not hold.is_over:
                try:
                    release(hold)
                except Exception as error:
                    failure = failure or error
        if failure is not None:
            raise failure

    def _stop_one(self, hold: Hold, grace: float) -> None:
        Launcher(self._lightning).resume(hold).stop(grace=grace)
        over = hold.released()
        self._holds[hold.launch_id] = over
        self._on_hold(over)

    def _leave_one(self, hold: Hold) -> None:
        if hold.launch_id not in self._under_way:
            self._stop_one(hold, 0)
        elif hold.launch_id not in self._left:
            Launcher(self._lightning).resume(hold).leave()


def settings_of(inputs: Inputs) -> dict[str, Any]:
    """The inputs as settings of the orchestrator, for a client that submits from here.

    Args:
        inputs: the step's inputs.
    """
    given = {
        "main_studio_name": inputs.studio_name,
        "studio_pool": inputs.studio_pool,
        "keep_warm": inputs.keep_warm,
        "stop_idle_gpu": inputs.stop_idle_gpu,
        "machine_type": list(inputs.machine_type),
        "custom_commands": list(inputs.commands),
        "max_cost": inputs.max_cost,
        "timeout": inputs.timeout_minutes and inputs.timeout_minutes * 60,
        "teamspace": inputs.lightning_teamspace,
        "username": inputs.lightning_username,
        "organization": inputs.lightning_org,
    }
    return {
        **inputs.settings,
        **{name: value for name, value in given.items() if value},
        "environment": {**READABLE, **inputs.settings.get("environment", {}), **inputs.env},
        "keep_studio": inputs.keep_studio.value,
        "synchronous": not inputs.is_async,
        # The two go together: without a user id the key is one of another kind.
        "user_id": inputs.lightning_user_id,
        "api_key": inputs.lightning_api_key,
    }
