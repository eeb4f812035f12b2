"""The story of a launch as the studio lives it: unpack, install, run, record, release."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lightning_zenml.codes import Code
from lightning_zenml.launch.payload import install, lease, release
from lightning_zenml.launch.payload.folder import TITLE, LaunchFolder, note_environment
from lightning_zenml.launch.payload.lightning.heartbeat import Heartbeat
from lightning_zenml.launch.payload.process import exit_code_in_words
from lightning_zenml.launch.payload.protocol import Description, Failure, Instructions, Phase, Status, minutes
from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.launch.payload.requirements import git_versions
from lightning_zenml.launch.payload.requirements.reason import explain
from lightning_zenml.launch.payload.requirements.wanted import without_credentials
from lightning_zenml.launch.payload.session import Ended, Session
from lightning_zenml.launch.payload.stop import Purse, Stop, StopSignal, Watch
from lightning_zenml.launch.payload.usage.sampler import Sampler, interval
from lightning_zenml.launch.payload.variables import (
    CODE,
    END,
    FAILURE,
    LAUNCH_DIR,
    LAUNCH_ID,
    LENT,
    MACHINE,
    RESTARTED,
    STOPPED,
    STUDIO_NAME,
    STUDIO_URL,
    TEAMSPACE,
    USAGE,
    ZENML_CONFIG_PATH,
)

_HEARTBEAT = 30.0
_LOOK = 2.0
"""Seconds between two looks whether the launch is to be stopped."""
_CRASHES = frozenset({128 + signal.SIGABRT, 128 + signal.SIGBUS, 128 + signal.SIGKILL, 128 + signal.SIGSEGV})
_INSTALL = 2 * 3600.0
"""Seconds that installing may take, with or without a timeout of the launch."""
_ON_FAILURE = 600.0
"""Seconds that the launch's `on_failure` may take."""
_KEEPING = 30.0
"""Seconds that it may take to keep the end of a launch that nobody follows; the machine is paid for."""
_OWN = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
"""Where programs of ours find our package."""
_OUTPUT = 16_000
"""Characters of output that a failure carries: most tracebacks are shorter."""


class Supervisor:
    """Supervises one launch.

    Args:
        folder: folder of the launch.
        instructions: what the supervisor is to do, as the client wrote it.
    """

    def __init__(self, folder: LaunchFolder, instructions: Instructions) -> None:
        self._folder = folder
        self._instructions = instructions
        self._platform = instructions.platform
        self._wheel = folder.root / instructions.wheel
        self._session: Session | None = None
        self._stop = StopSignal()
        self._watch: Watch | None = None
        self._sampler = Sampler(
            folder.usage,
            interval(instructions.environment),
            machine=instructions.meter.machine,
            stop_idle_gpu=instructions.stop_idle_gpu,
        )
        self._purse = Purse(instructions.max_cost, instructions.meter, folder.jobs)

    def run(self) -> None:
        """From the unpacked archive to the finished record."""
        signal.signal(signal.SIGTERM, self._stop)
        with self._folder.log.open("ab") as log:
            heartbeat = Heartbeat(_HEARTBEAT, self._beats(), lambda text: _say(log, text))
            heartbeat.start()
            try:
                self._folder.write_supervisor()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
                if self._folder.grace.exists():
                    self._stop()
                self._supervise(log)
            except Stop as stop:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                self._end_session(self._purse.grace if stop.failure else float("inf"))
                self.finish(failure=stop.failure, stopped=True, report=True)
            except Exception as error:
                self._end_session()
                fault = f"{type(error).__name__}: {error}"
                self.finish(failure=Failure(phase=Phase.INSTALLING, message=fault, code=Code.FAULT), report=True)
            finally:
                self._end_watch()
                self._sampler.end()
                heartbeat.end()

    def description(self) -> Description:
        """What another client must know to take over the launch."""
        return Description.of(self._instructions, sys.executable)

    def finish(
        self,
        *,
        exit_code: int | None = None,
        failure: Failure | None = None,
        stopped: bool = False,
        report: bool = False,
    ) -> None:
        """Writes the final record.

        Args:
            exit_code: exit code of the command; None when it never ran.
            failure: what went wrong; None if nothing did.
            stopped: whether the launch was ended on request.
            report: whether to run the launch's `on_failure`: the command may not have told of its end itself.
        """
        # It would take what `on_failure` tells ZenML for a stop.
        self._end_watch()
        if report and failure and self._instructions.on_failure:
            # Before the record: a client that reads it may delete the studio at once.
            told = {FAILURE: failure.message, STOPPED: "1" if stopped else ""}
            self._report(told, _KEEPING if stopped else _ON_FAILURE)
        self._folder.write_status(Status(phase=Phase.FINISHED, exit_code=exit_code, failure=failure, stopped=stopped))

    def release(self) -> None:
        """Ends the launch's jobs, gives back lease and studio, unless a client that follows does all that."""
        heartbeat = Heartbeat(_HEARTBEAT, self._beats(), lambda text: print(text, file=sys.stderr))
        # While the command ran, there was one every so often.
        heartbeat.start(after=_HEARTBEAT)
        try:
            self._folder.wait_until_unfollowed()
            self._keep_end()
            if self._folder.jobs.exists():
                release.end_jobs(self._folder, self._platform)
        finally:
            heartbeat.end()
            release.give_studio_back(self._folder, self._instructions)

    def _supervise(self, log: Any) -> None:
        if self._instructions.leased and not lease.renew(self._folder.root, launch_id=self._folder.path.name):
            message = "Another launch has taken the studio, as this one was not heard of for too long. Run it again."
            taken = Failure(phase=Phase.INSTALLING, message=message, code=Code.BUSY)
            return self.finish(failure=taken, report=True)
        self._purse.look()
        self._folder.write_status(Status(phase=Phase.INSTALLING))
        self._folder.unpack(self._instructions.archive)
        git_versions.stand_in(self._folder.code)
        environment = self._environment()
        self._watch = Watch(self._instructions.watch, environment | _OWN)
        self._sampler.start(lambda idleness, words: _say(log, words))
        deadline = time.monotonic() + (self._instructions.timeout or float("inf"))
        failure = self._install(log, environment, deadline)
        self._stop.look()
        self._purse.look()
        if failure is not None:
            return self.finish(failure=failure, report=True)
        ended = self._run_session(self._instructions.commands, environment, log, deadline)
        for restart in range(self._instructions.restarts):
            if ended is None or ended.at is not None or ended.exit_code not in _CRASHES:
                break
            _say(log, f"The command was killed (exit code {ended.exit_code}); it is started again ({restart + 1})")
            # With what the commands have exported: they are not run again.
            exported = self._session.environment if self._session else environment
            ended = self._run_session([], {**exported, RESTARTED: "1"}, log, deadline)
        if ended is None:
            self._end_session()
            idle = self._sampler.found_idle
            code = Code.IDLE if idle else Code.TIMEOUT
            failure = Failure(phase=Phase.RUNNING, message=idle or self._timed_out(), code=code)
            return self.finish(failure=failure, report=True)
        return self._conclude(ended)

    def _run_session(
        self, commands: Sequence[str], environment: dict[str, str], log: Any, deadline: float
    ) -> Ended | None:
        """Runs commands and command; returns how that ended, None when the deadline or idleness came first."""
        # Stopped in the middle, nobody would know the process that is just starting.
        with self._stop.held():
            self._session = Session(
                commands,
                self._instructions.command,
                code=self._folder.code,
                working_directory=self._folder.code / self._instructions.working_directory,
                environment=environment,
                log=log,
                on_command=self._begins,
            )
        self._folder.session.write_text(str(self._session.id))
        while (left := deadline - time.monotonic()) > 0 and not self._sampler.found_idle:
            if ended := self._session.wait(min(left, _LOOK, self._purse.seconds_left)):
                return ended
            self._stop.look()
            self._purse.look()
        # It may have ended just now.
        return self._session.wait(0)

    def _begins(self, command: int | None) -> None:
        if command is None:
            self._end_watch()
            self._sampler.count_idleness()
        self._folder.write_status(Status(phase=Phase.RUNNING if command is None else Phase.COMMANDS))

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()

    def _install(self, log: Any, environment: dict[str, str], deadline: float) -> Failure | None:
        specifiers = [*self._instructions.packages, *self._instructions.requirements]
        if not specifiers:
            return None
        if install.is_installed(
            install.digest(self._wheel, specifiers, self._folder.code, self._instructions.installer)
        ):
            _say(log, "Requirements: unchanged on this studio")
            return None
        _say(log, f"Install: {without_credentials(' '.join(specifiers))}")
        left = deadline - time.monotonic()
        exit_code = install.install(
            specifiers,
            self._wheel,
            code=self._folder.code,
            log=log,
            environment=environment,
            timeout=min(left, _INSTALL, self._purse.seconds_left),
            first=self._instructions.installer,
            note=partial(note_environment, self._folder.root, self._instructions.environment_digest),
        ).exit_code
        if exit_code == 0:
            return None
        output = self._folder.last_output(_OUTPUT)
        if exit_code is not None:
            reason = explain(output, specifiers, self._folder.code)
            message = f"The requirements can't be installed (exit code {exit_code}). {reason}".strip()
        elif left <= _INSTALL:
            message = self._timed_out()
        else:
            message = f"The requirements were not installed within {_INSTALL / 60:g} minutes."
        return Failure(
            phase=Phase.INSTALLING,
            message=message,
            command=without_credentials(f"uv pip install {' '.join(specifiers)}"),
            exit_code=exit_code,
            output=output,
            code=Code.TIMEOUT if exit_code is None and left <= _INSTALL else Code.INSTALL,
        )

    def _timed_out(self) -> str:
        return f"Stopped: it ran longer than its timeout of {minutes(self._instructions.timeout or 0)}."

    def _conclude(self, ended: Ended) -> None:
        if ended.exit_code == 0 and (ended.whole or ended.at is None):
            return self.finish(exit_code=0)
        if ended.at is None:
            command = self._instructions.command
            displaced = install.displaced(self._instructions.packages)
            message = f"The run failed with {exit_code_in_words(ended.exit_code)}: {command}{displaced}"
            failure = self._failure(Phase.RUNNING, message, command, ended)
            return self.finish(exit_code=ended.exit_code, failure=failure, report=True)
        command = self._instructions.commands[ended.at]
        what = (
            f"failed with {exit_code_in_words(ended.exit_code)}"
            if ended.exit_code
            else "ended the session with `exit`, so nothing ran after it"
        )
        message = f"Command {ended.at + 1} of {len(self._instructions.commands)} {what}: {command}"
        return self.finish(failure=self._failure(Phase.COMMANDS, message, command, ended), report=True)

    def _failure(self, phase: Phase, message: str, command: str, ended: Ended) -> Failure:
        output = self._folder.last_output(_OUTPUT)
        return Failure(
            phase=phase, message=message, command=command, exit_code=ended.exit_code, output=output, code=Code.COMMAND
        )

    def _keep_end(self) -> None:
        """Whoever asks later may have ZenML only: the record goes with the studio."""
        with contextlib.suppress(OSError, RecordError):
            status = self._folder.read_status()
            if status and self._instructions.on_failure and self._folder.runs.exists():
                # Output may hold what only the log of a workflow masks.
                failure = status.failure and replace(status.failure, output="", command=None)
                self._report({END: json.dumps(replace(status, failure=failure).to_json())}, _KEEPING)

    def _report(self, told: dict[str, str], timeout: float) -> None:
        try:
            subprocess.run(
                [sys.executable, *self._instructions.on_failure],
                env=self._environment() | _OWN | told,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(f"The end could not be reported: {error}", file=sys.stderr)

    def _environment(self) -> dict[str, str]:
        studio = self._instructions.studio
        own = install.environment_without_traps(os.environ)
        # The platform gives a studio its owner's credentials, unless somebody has turned that off.
        lent = {name: value for name, value in self._instructions.credentials.items() if value and not own.get(name)}
        return {
            **own,
            **lent,
            "PYTHONUNBUFFERED": "1",
            # ZenML keeps its tokens there; in the home they would be part of every snapshot.
            ZENML_CONFIG_PATH: f"/tmp/zenml-{self._folder.path.name}",  # noqa: S108 - the name is not to be guessed
            **self._instructions.environment,
            "LIGHTNING_CLOUD_URL": studio.cloud_url,
            TEAMSPACE: studio.teamspace,
            LENT: ",".join(lent),
            LAUNCH_ID: self._folder.path.name,
            LAUNCH_DIR: str(self._folder.path),
            CODE: str(self._folder.code),
            STUDIO_NAME: studio.name,
            STUDIO_URL: studio.url,
            MACHINE: self._instructions.meter.machine,
            USAGE: str(self._folder.usage),
        }

    def _beats(self) -> list[Callable[[], object]]:
        beats: list[Callable[[], object]] = [self._platform.keep_alive]
        if self._instructions.leased:
            beats.append(lambda: lease.renew(self._folder.root, launch_id=self._folder.path.name))
        return beats

    def _end_session(self, most: float = float("inf")) -> None:
        if self._session is not None:
            self._session.end(lambda: min(self._folder.stop_grace(), most))


def _say(log: Any, text: str) -> None:
    log.write(f"{TITLE}{text}\n".encode())
    log.flush()
