"""What becomes of a studio whose client is killed before the launch on it can look after itself.

From its start on, a launch releases its studio itself, whatever happens to the client. Until then the client does, and
one that is killed can't: a process beside it, `python -m lightning_zenml.orchestrator.guard`, does it in its stead. It
is told through a pipe what is held, and learns of the client's end by that of the pipe.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from lightning_zenml.launch.caller import Caller
    from lightning_zenml.launch.launch import Hold
    from lightning_zenml.launch.lightning import Lightning

_PAUSE, _TIMES = 10.0, 180
"""Seconds between two tries to release a studio, and how many of them there are: half an hour's."""
_GRACE = 5.0
_REASON = "Its client was killed, or could not release the studio, before the run was launched on Lightning AI."


class Watcher(Protocol):
    """Whoever releases what a killed client leaves behind."""

    def hold(self, hold: Hold) -> None:
        """Takes note of what must be released, before it costs."""


def watcher(caller: Caller, lightning: Lightning, run_id: UUID | None = None) -> AbstractContextManager[Watcher]:
    """Sees to it that somebody watches while a launch is made ready.

    Args:
        caller: whoever started this client; watches, where it keeps a record.
        lightning: where it is launched.
        run_id: of the ZenML run that fails with its client; None: there is no run yet.

    Returns:
        A context with the watcher.
    """
    return nullcontext(caller) if caller.record else Guard(lightning, run_id)


class Guard:
    """The process beside the client, for a block in which the client releases what there is itself, if it can.

    Args:
        lightning: where it is launched.
        run_id: of the ZenML run that fails with its client; None: there is no run yet.
    """

    def __init__(self, lightning: Lightning, run_id: UUID | None) -> None:
        self._task = {
            "credentials": asdict(lightning.credentials),
            "url": lightning.url,
            "run_id": str(run_id) if run_id else None,
        }
        self._hold: Hold | None = None

    def __enter__(self) -> Guard:
        self._process = subprocess.Popen(
            # Without `-P`, modules of the user's folder could take the place of others.
            [sys.executable, "-P", "-m", "lightning_zenml.orchestrator.guard"],
            # Keys come this way, too: arguments are for everybody to read.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Whoever reads the client's output to its end must not have to wait for us.
            stderr=None if sys.stderr.isatty() else subprocess.DEVNULL,
            # What is sent to the client's group, Ctrl-C or a closed terminal, is not for us.
            start_new_session=True,
            bufsize=0,
        )
        self._tell(self._task)
        return self

    def hold(self, hold: Hold) -> None:
        """Takes note of what must be released, before it costs."""
        self._hold = hold
        self._tell({"hold": hold.as_dict()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_done = error is None or self._hold is None or self._hold.is_over
        if is_done:
            self._tell({"done": True})
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.close()
        if is_done:
            self._process.wait()

    def _tell(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        # Killed itself, it leaves all to the client.
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")


def main(lines: Iterable[str] = sys.stdin) -> int:
    """Waits for the client's end; releases what it held and fails its run, unless it took its leave.

    Args:
        lines: what `Guard` tells.

    Returns:
        The exit code: 1 when something may still be running.
    """
    told: dict[str, Any] = {}
    for line in lines:
        # The last one may be cut.
        with suppress(ValueError):
            told |= json.loads(line)
    if told.get("done"):
        return 0
    try:
        if told.get("hold"):
            _release(told)
    finally:
        if told.get("run_id"):
            _fail(told["run_id"])
    return 0


def _release(told: dict[str, Any]) -> None:
    from lightning_zenml.launch.launcher import Hold, Launcher
    from lightning_zenml.launch.lightning import Credentials, Lightning
    from lightning_zenml.launch.payload.platform import insist

    hold = Hold(**told["hold"])
    if hold.is_over:
        return
    # The terminal may be closed.
    with suppress(OSError):
        print(f"The client is gone: releasing the studio {hold.studio_name}", file=sys.stderr)

    def release() -> None:
        lightning = Lightning.connect(Credentials(**told["credentials"]), url=told["url"])
        Launcher(lightning).resume(hold).stop(grace=_GRACE)

    insist(release, pause=_PAUSE, times=_TIMES)


def _fail(run_id: str) -> None:
    from zenml.client import Client

    from lightning_zenml.orchestrator.submitted import fail

    fail(Client().get_pipeline_run(run_id), _REASON)


if __name__ == "__main__":
    sys.exit(main())
