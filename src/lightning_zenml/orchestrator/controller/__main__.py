"""`python -m lightning_zenml.orchestrator.controller`: the controller of a run, where a client has launched it."""

from __future__ import annotations

import gc
import sys

from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.controller.command_line import Options
from lightning_zenml.orchestrator.steps import variables
from lightning_zenml.orchestrator.steps.forkserver import ForkServer


def fork_server(options: Options) -> ForkServer | None:
    """Starts the fork server beside this process: both need their time to import ZenML."""
    context = LaunchContext.find()
    if options.fork_steps is None or context is None:
        return None
    environment = variables.of_the_studio() | variables.of_the_start(options.start, context.code)
    directory = options.start.directory(context.code)
    forks = ForkServer(environment, directory, options.fork_steps, sys.stdout)
    forks.start()
    return forks


if __name__ == "__main__":
    options = Options.parse()
    forks = fork_server(options)
    # What is imported stays: looking for garbage among it again and again takes time.
    gc.disable()
    from lightning_zenml.orchestrator.controller.controller import main

    gc.freeze()
    gc.enable()
    sys.exit(main(options, forks))
