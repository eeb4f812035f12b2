"""The verbs that the client calls on the studio. Each prints one line of JSON, ASCII only."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys

from lightning_zenml.launch.payload import lease
from lightning_zenml.launch.payload.folder import LaunchFolder, prune
from lightning_zenml.launch.payload.protocol import STOP_GRACE, Glance, Left, Renewed, Started, Stopping
from lightning_zenml.launch.payload.records import Record


def main(argv: list[str]) -> int:
    """Carries out one verb; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lightning_zenml.launch.payload")
    parser.add_argument("verb", choices=("start", "read", "peek", "stop", "leave", "lease", "renew", "unlease"))
    parser.add_argument("launch_id")
    parser.add_argument("--owner", default="")
    parser.add_argument("--log-offset", type=int, default=0)
    parser.add_argument("--runs-offset", type=int, default=0)
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--gather", type=float, default=0.0)
    parser.add_argument("--closing", action="store_true")
    parser.add_argument("--started", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--grace", type=float, default=STOP_GRACE)
    arguments = parser.parse_args(argv)
    folder = LaunchFolder.of(arguments.launch_id)
    answer: Record
    if arguments.verb == "start":
        answer = _start(folder)
    elif arguments.verb == "read":
        answer = folder.read(
            log_offset=arguments.log_offset,
            runs_offset=arguments.runs_offset,
            wait=arguments.wait,
            gather=arguments.gather,
        )
    elif arguments.verb == "peek":
        answer = Glance(status=folder.read_status(), alive=folder.supervisor_pid() is not None)
    elif arguments.verb == "stop":
        answer = _stop(folder, arguments.grace)
    elif arguments.verb == "leave":
        folder.left.touch()
        answer = Left(left=True, releases=folder.guardian_pid() is not None)
    elif arguments.verb == "lease":
        answer = lease.acquire(
            folder.root,
            launch_id=arguments.launch_id,
            owner=arguments.owner,
            started=arguments.started,
            keep=arguments.keep,
        )
    elif arguments.verb == "renew":
        answer = Renewed(renewed=lease.renew(folder.root, launch_id=arguments.launch_id))
    else:
        answer = lease.release(folder.root, launch_id=arguments.launch_id, closing=arguments.closing)
    print(json.dumps(answer.to_json()))
    return 0


def _start(folder: LaunchFolder) -> Started:
    """Starts the supervisor detached, once: the launch's own folder `lock` is the lock."""
    instructions = None if folder.lock.exists() else folder.read_instructions()
    if instructions and (lacking := folder.lacking(instructions.archive)):
        return Started(started=False, again=False, lacking=lacking)
    if not folder.take_lock():
        stopped = folder.grace.exists()
        if stopped:
            # Unpacked after the stop; a supervisor that runs has read it.
            folder.discard_secrets()
        return Started(started=not stopped, again=True)
    # Whoever starts it follows it, until it says that it leaves or is not heard of for a while.
    folder.follower.touch()
    prune(folder.root, keep=folder.path.name)
    # Every look at a launch is a process of its own: none but this one pays for what the supervisor imports.
    from lightning_zenml.launch.payload import guardian

    guardian.detach(folder)
    return Started(started=True, again=False)


def _stop(folder: LaunchFolder, grace: float) -> Stopping:
    """Asks the supervisor to end the command: SIGTERM, after `grace` seconds SIGKILL. Does not wait.

    A launch that has not begun never will, though its `start` is on the way.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    # A full disk takes no number: then it is the usual grace.
    with contextlib.suppress(OSError):
        folder.grace.write_text(str(grace))
    folder.take_lock()
    pid = folder.supervisor_pid()
    if pid is None:
        folder.discard_secrets()
        return Stopping(stopping=False)
    os.kill(pid, signal.SIGTERM)
    return Stopping(stopping=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
