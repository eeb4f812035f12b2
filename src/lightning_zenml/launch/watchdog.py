"""What becomes of a studio whose client is killed before the launch on it can look after itself.

From its start on, a launch releases its studio itself, whatever happens to the client. Until then the client does, and
one that is killed can't: a process beside it, `python -m lightning_zenml.launch.watchdog`, does it in its stead. What
is held comes through a pipe, whose end is the client's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

# The rest is imported where it is needed: each launch starts this program, and hardly any needs it.
if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from lightning_zenml.launch.caller import Caller
    from lightning_zenml.launch.lightning.client import Lightning
    from lightning_zenml.launch.studio.hold import Hold

_PAUSE, _TIMES = 10.0, 180
"""Seconds between two tries to release a studio, and how many of them there are: those of half an hour."""
_GRACE = 5.0
_END = 5.0
"""Seconds for the process to end once it is done."""
_PROGRAM = "lightning_zenml.launch.watchdog"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What there is to do in the client's stead; a line of JSON, sent anew whenever something has changed.

    Args:
        credentials: fields of the client's `Credentials`.
        url: address of Lightning AI.
        scratch: folder that goes with the client; keys lie in it.
        run_id: id of the ZenML run that fails with the client; None: there is no run yet.
        leaves: whether a launch that runs by now goes on without the client, and releases its studio itself.
        hold: fields of the `Hold` to release; None: nothing is held yet.
        client_failed: whether the client has failed, and told ZenML, rather than been killed.
        done: whether nothing is left to do.
    """

    credentials: dict[str, Any]
    url: str
    scratch: str
    run_id: str | None = None
    leaves: bool = False
    hold: dict[str, Any] | None = None
    client_failed: bool = False
    done: bool = False


class Watchdog:
    """The process beside the client, for a block in which the client releases what there is itself, if it can.

    Where somebody else has started the client and releases what it leaves, no process is started.

    Args:
        lightning: teamspace in which the client launches.
        caller: whoever started the client.
        scratch: folder that goes with the client.
        run_id: id of the ZenML run that fails with the client; None: there is no run yet.
        leaves: whether a launch that runs by now goes on without a client that was killed.
        program: module that is the process: one that can fail the run, where there is one.
    """

    def __init__(
        self,
        lightning: Lightning,
        caller: Caller,
        scratch: Path,
        run_id: UUID | None = None,
        *,
        leaves: bool = False,
        program: str = _PROGRAM,
    ) -> None:
        self._caller = caller
        self._program = program
        self._task = Task(
            credentials=asdict(lightning.credentials),
            url=lightning.url,
            scratch=str(scratch),
            run_id=str(run_id) if run_id else None,
            leaves=leaves,
        )
        self._held: Hold | None = None
        self._takes_over = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: IO[bytes] | None = None

    def __enter__(self) -> Watchdog:
        if self._caller.record:
            return self
        # A Python within another program has no executable, a launch from there no watchdog.
        with suppress(OSError, TypeError):
            self._process = subprocess.Popen(
                # Without `-P`, modules of the user's folder could take the place of others.
                [sys.executable, "-P", "-m", self._program],
                # Keys come this way, too: arguments are for everybody to read.
                stdin=subprocess.PIPE,
                # Whoever reads the client's output to its end must not have to wait for this one.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # What is sent to the client's group, Ctrl-C or a closed terminal, is not for it.
                start_new_session=True,
                bufsize=0,
            )
            self._pipe = self._process.stdin
        self._send()
        return self

    def hold(self, hold: Hold) -> None:
        """Takes note of what must be released, before it costs."""
        self._held = hold
        if self._caller.record:
            self._caller.hold(hold)
        else:
            self._send(hold=hold.to_json())

    def take_over(self) -> None:
        """Has the process release what is held once the client ends, which could not do so."""
        self._takes_over = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        gives_up = error is not None or self._takes_over
        left = self._held if gives_up and self._held is not None and not self._held.is_over else None
        try:
            # Once more what is held: what has come between may have been an interrupt, before that was sent.
            if left is None:
                self._send(done=True)
            else:
                self._send(client_failed=True, hold=left.to_json())
        finally:
            if self._pipe is not None:
                self._pipe.close()
        if left is None and self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END)

    def _send(self, **changes: Any) -> None:
        self._task = replace(self._task, **changes)
        # Killed itself, it leaves all to the client.
        with suppress(BrokenPipeError):
            if self._pipe is not None:
                self._pipe.write(json.dumps(asdict(self._task)).encode() + b"\n")


def main(lines: Iterable[str] = sys.stdin, fail: Callable[[str, str], None] = lambda run_id, reason: None) -> int:
    """Waits for the client's end; does what it left to do, unless it took its leave.

    Args:
        lines: a `Task` each. They end once no process has the pipe any more: children that the client forked while it
            launched have it, too.
        fail: records a run as failed, given its id and the reason, unless it has begun all the same.

    Returns:
        The exit code.
    """
    task = None
    for line in lines:
        # The last one may be cut.
        with suppress(ValueError):
            task = Task(**json.loads(line))
        if task is not None and task.done:
            break
    if task is None or task.done:
        return 0
    # A client that has failed removes its own folder, and ZenML knows of the failure from it.
    if not task.client_failed:
        shutil.rmtree(task.scratch, ignore_errors=True)
    reason, goes_on = "Its client was killed before the run was launched on Lightning AI.", False
    if task.hold is not None:
        try:
            goes_on = _release(task, task.hold)
        except Exception as error:
            reason = (
                f"Its client is gone, the studio {task.hold['studio_name']} could not be released and may cost money: "
                f"stop it on Lightning AI. {error}"
            )
    if (run_id := task.run_id) and not task.client_failed and not goes_on:
        from lightning_zenml.launch.payload.lightning.insist import insist

        insist(partial(fail, run_id, reason), pause=_PAUSE, times=_TIMES)
    return 0


def _release(task: Task, held: dict[str, Any]) -> bool:
    """Releases the studio, unless the run's launch has come so far that it goes on by itself; whether it has."""
    from lightning_zenml.launch.launcher import Hold, Launcher
    from lightning_zenml.launch.lightning.client import Credentials, Lightning
    from lightning_zenml.launch.payload.lightning.insist import insist

    hold = Hold.from_json(held)
    goes_on = False

    def release() -> None:
        nonlocal goes_on
        lightning = Lightning.connect(Credentials(**task.credentials), url=task.url)
        launch = Launcher(lightning).resume(hold)
        goes_on = task.leaves and not task.client_failed and launch.is_under_way()
        if goes_on:
            launch.leave()
        else:
            launch.stop(grace=_GRACE)

    if not hold.is_over:
        insist(release, pause=_PAUSE, times=_TIMES)
    return goes_on


if __name__ == "__main__":
    sys.exit(main())
