"""The program of a step's process: imports first, then reads from stdin which step it is to run.

Importing ZenML takes seconds. A process that is started while other steps run has that behind it when its step's
turn comes. `lightning_zenml.orchestrator.steps.process` is its other end.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys


def main() -> None:
    """Runs the step whose entrypoint arguments come as a JSON list on stdin; ends without one."""
    # What is imported stays: looking for garbage among it again and again takes a third of the time.
    gc.disable()
    from zenml.client import Client
    from zenml.entrypoints import entrypoint
    from zenml.orchestrators import step_launcher, step_runner

    _needed_soon = (step_launcher, step_runner)
    with contextlib.suppress(Exception):
        # Imports what the artifact store needs. A fault shows again when the step runs.
        _ = Client().active_stack.artifact_store
    gc.freeze()
    gc.enable()
    line = sys.stdin.readline()
    if line:
        sys.argv = [sys.argv[0], *json.loads(line)]
        entrypoint.main()


if __name__ == "__main__":
    main()
