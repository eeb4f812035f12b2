"""Starts the supervisor and outlives it: whatever becomes of that, there is a record and the studio is released."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback

from lightning_zenml.codes import Code
from lightning_zenml.launch.payload.folder import LaunchFolder
from lightning_zenml.launch.payload.protocol import Failure, Phase
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.supervisor import Supervisor


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
    try:
        folder.write_guardian()
        folder.instructions.unlink(missing_ok=True)
        folder.description.write_text(json.dumps(supervisor.description().to_json()))
        if not _outlive(supervisor):
            _finish_in_its_place(folder, supervisor)
    finally:
        # A full disk takes no record, and a studio costs money all the same.
        with contextlib.suppress(OSError):
            folder.pid.unlink(missing_ok=True)
        supervisor.release()


def _outlive(supervisor: Supervisor) -> bool:
    """Runs the supervisor in a process of its own; returns whether that came to its own end."""
    # Until the supervisor listens, a request to stop waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        try:
            supervisor.run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            # What the guardian does afterwards is not to be done twice.
            os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return os.waitpid(pid, 0)[1] == 0


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
