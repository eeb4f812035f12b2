"""The client's end of the payload: calls its verbs on the studio and reads their answers."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TypeVar

from lightning_zenml.launch.errors import LaunchError, NotArrivedError, StudioError
from lightning_zenml.launch.lightning.commands import LOOKS, run_at_once
from lightning_zenml.launch.lightning.records import Completed
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import (
    FOLLOWED_WITHIN,
    Glance,
    Leased,
    Left,
    News,
    Renewed,
    Started,
    Stopping,
    Unleased,
)
from lightning_zenml.launch.payload.records import Record, RecordError
from lightning_zenml.launch.studio import bundle

_TIMEOUT = 120.0
"""Seconds for one call."""
_READ_TIMEOUT = FOLLOWED_WITHIN / 4
"""The same for a read that waits for nothing: one that hangs must not make who follows look like gone."""
_SELDOM = 3.8
"""Seconds between two looks, at most, whether there is something new."""

_SMALL = 16_000_000
"""Bytes of what is unpacked in no time."""
_GATHER = 1.3
"""Seconds over which lines are gathered for an answer, where one follows upon another: they come within 2 s."""

Answer = TypeVar("Answer", bound=Record)


@dataclass
class Remote:
    """The payload of one launch on one studio.

    Args:
        studio: studio that the payload runs on.
        python: absolute path of the studio's Python (`python` itself is an alias there).
        wheel: path of our wheel below `.lightning_zenml`; the payload runs straight from it.
        launch_id: id of the launch.
    """

    studio: Studio
    python: str
    wheel: str
    launch_id: str

    def start(self, *, before: str, size: int) -> Started:
        """Starts the payload, once.

        Args:
            before: bash that runs first, and is safe to repeat too.
            size: bytes of what that unpacks.
        """
        return self._call(Started, "start", before=before, timeout=180, is_short=size < _SMALL)

    @property
    def reads_at_once(self) -> bool:
        """Whether a read is a single call, answered as soon as there is something to tell."""
        return self.studio.single_calls.may_work

    def read(self, *, log_offset: int = 0, runs_offset: int = 0, wait: float = 0.0, is_quiet: bool = False) -> News:
        """Gets what is new; counts as following.

        Args:
            log_offset: bytes of the log that are known.
            runs_offset: bytes of the record of runs that are known.
            wait: seconds that the payload may wait for something new.
            is_quiet: whether that is to be expected: then it is looked seldom whether it has come.
        """
        options = ("--log-offset", str(log_offset), "--runs-offset", str(runs_offset), "--wait", str(wait))
        if wait and self.reads_at_once and (news := self._read_at_once(options)):
            return news
        first = _SELDOM if is_quiet else LOOKS[0]
        return self._call(
            News, "read", *options, timeout=_READ_TIMEOUT + wait, looks=(first, _SELDOM), is_short=not wait
        )

    def _read_at_once(self, options: tuple[str, ...]) -> News | None:
        """The same by a single call; None where that comes to nothing, for whatever reason."""
        completed = run_at_once(self.studio, self._command("read", *options, "--gather", str(_GATHER)))
        if completed is None:
            return None
        calls = self.studio.single_calls
        try:
            news = self._answer(News, "read", completed)
        except LaunchError as error:
            calls.note_failure(error)
            return None
        calls.note_answer()
        return news

    def peek(self) -> Glance:
        """Gets how far the launch is, without following."""
        return self._call(Glance, "peek")

    def stop(self, grace: float, *, before: str) -> Stopping:
        """Asks the payload to end the command; does not wait.

        Args:
            grace: seconds that the command has for an orderly end.
            before: bash that runs first, and is safe to repeat too.
        """
        return self._call(Stopping, "stop", "--grace", str(grace), before=before)

    def leave(self, *, timeout: float = _TIMEOUT) -> Left:
        """Tells the payload that nobody follows any more; the timeout is in seconds."""
        return self._call(Left, "leave", timeout=timeout)

    def lease(self, owner: str, *, started: bool = False, keep: bool = False, before: str = "") -> Leased:
        """Takes the studio's lease if no other launch has it.

        Args:
            owner: who launches, in a few words.
            started: whether the launch has started the machine of a studio that was stopped.
            keep: whether the launch's user wants the machine to run on in any case.
            before: bash that runs first, and is safe to repeat too.
        """
        flags = [*(["--started"] if started else []), *(["--keep"] if keep else [])]
        return self._call(Leased, "lease", "--owner", owner, *flags, before=before)

    def renew(self, *, timeout: float = _TIMEOUT) -> Renewed:
        """Renews the lease; the timeout is in seconds."""
        return self._call(Renewed, "renew", timeout=timeout)

    def unlease(self, *, closing: bool = False) -> Unleased:
        """Gives the lease back.

        Args:
            closing: whether the studio is about to be stopped or deleted.
        """
        return self._call(Unleased, "unlease", *(["--closing"] if closing else []), timeout=20)

    def _call(
        self,
        answer: type[Answer],
        verb: str,
        *options: str,
        before: str = "",
        timeout: float = _TIMEOUT,
        looks: tuple[float, float] = LOOKS,
        is_short: bool = True,
    ) -> Answer:
        """Calls a verb of `lightning_zenml.launch.payload`, each of which is safe to repeat.

        Raises:
            StudioAwayError: if the studio does not run.
            StudioError: if the verb failed, or its answer can't be read.
        """
        command = f"{before}\n{self._command(verb, *options)}"
        completed = self.studio.run(command, timeout=timeout, looks=looks, is_short=is_short)
        return self._answer(answer, verb, completed)

    def _command(self, verb: str, *options: str) -> str:
        arguments = [self.python, "-m", "lightning_zenml.launch.payload", verb, self.launch_id, *options]
        return f'cd "$HOME" && PYTHONPATH="$HOME/{layout.HOME}/{self.wheel}" {shlex.join(arguments)}'

    def _answer(self, answer: type[Answer], verb: str, completed: Completed) -> Answer:
        if completed.exit_code == bundle.NOT_ARRIVED:
            raise NotArrivedError(f"What was uploaded does not show up on the studio '{self.studio.name}'.")
        if completed.exit_code == bundle.NOT_UNPACKED:
            raise StudioError(
                f"What was uploaded can't be unpacked on the studio '{self.studio.name}'; its disk may be full. "
                f"Make room there and run again. It says: {completed.output[-1000:].strip()}"
            )
        told = last_object(completed.output)
        if completed.exit_code != 0 or told is None:
            raise StudioError(
                f"The launch's own program failed on the studio '{self.studio.name}' ({verb}, "
                f"exit code {completed.exit_code}): {completed.output[-1000:].strip()}"
            )
        try:
            return answer.from_json(told)
        except RecordError as error:
            raise StudioError(
                f"The launch's program on the studio '{self.studio.name}' answers oddly: {error}"
            ) from None


def last_object(output: str) -> object:
    """The JSON object on a line of its own, the last one; None when there is none.

    Whatever the studio's shell prints of its own comes before it.
    """
    lines = [line for line in output.splitlines() if line.startswith("{")]
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
