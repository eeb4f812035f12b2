"""Starts the supervisor and outlives it: whatever becomes of that, there is a record and the studio is released.

Each of the two stands in for the other: a supervisor whose guardian is killed, before or while it releases, does that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback
from typing import NoReturn

from lightning_zenml.codes import Code
from lightning_zenml.launch.payload.folder import LaunchFolder
from lightning_zenml.launch.payload.protocol import Failure, Phase
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.supervisor import Supervisor

_DONE = b"1"


def detach(folder: LaunchFolder) -> None:
    """Starts the supervisor and a guardian over it, both independent of the calling session."""
    if os.fork():
        return
    os.setsid()
    own_log = os.open(folder.payload_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, own_log), (2, own_log)):
        os.dup2(source, descriptor)
    _guard(folder)
    os._exit(0)


def _guard(folder: LaunchFolder) -> None:
    instructions = folder.read_instructions()
    if instructions is None:
        # Whoever stops a launch that has not begun takes them away.
        return
    supervisor = Supervisor(folder, instructions)
    standing_by: int | None = None
    try:
        folder.write_guardian()
        folder.instructions.unlink(missing_ok=True)
        folder.description.write_text(json.dumps(supervisor.description().to_json()))
        ended, standing_by = _fork(folder, supervisor)
        if os.read(ended, 1) != _DONE:
            _finish_in_its_place(folder, supervisor)
    finally:
        # A full disk takes no record, and a studio costs money all the same.
        with contextlib.suppress(OSError):
            folder.pid.unlink(missing_ok=True)
        supervisor.release()
        if standing_by is not None:
            _tell_done(standing_by)


def _fork(folder: LaunchFolder, supervisor: Supervisor) -> tuple[int, int]:
    """Runs the supervisor in a process of its own.

    Returns:
        Two pipes, on which either of the two tells the other that it is done; one that dies only closes its end: to
        read the supervisor's word from, and to write the guardian's to.
    """
    # Until the supervisor listens, a request to stop waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    (ended, tell_ended), (released, tell_released) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(ended)
        os.close(tell_released)
        _supervise(folder, supervisor, tell_ended, released)
    os.close(tell_ended)
    os.close(released)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return ended, tell_released


def _supervise(folder: LaunchFolder, supervisor: Supervisor, ended: int, released: int) -> NoReturn:
    """Supervises, then stands by until the guardian has released the studio; does so in its place if that dies."""
    try:
        supervisor.run()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            folder.pid.unlink(missing_ok=True)
        _tell_done(ended)
        if os.read(released, 1) != _DONE:
            with contextlib.suppress(OSError):
                folder.write_guardian()
            supervisor.release()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        # What the guardian does afterwards is not to be done twice.
        os._exit(1)


def _tell_done(pipe: int) -> None:
    # The other one may be gone.
    with contextlib.suppress(OSError):
        os.write(pipe, _DONE)


def _finish_in_its_place(folder: LaunchFolder, supervisor: Supervisor) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        kill(int(folder.session.read_text()))
    with contextlib.suppress(OSError):
        folder.write_supervisor()
    supervisor.finish(
        failure=Failure(
            phase=Phase.RUNNING,
            message="The supervisor of the launch died; the machine may have run out of memory.",
            code=Code.KILLED,
        ),
        report=True,
    )
