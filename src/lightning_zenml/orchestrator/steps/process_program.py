"""The program of a step's process: imports first, then reads from stdin which step it is to run.

Importing ZenML takes seconds. A process that is started while other steps run has that behind it when its step's
turn comes. `lightning_zenml.orchestrator.steps.process` is its other end; `forkserver_program` does the same once for
all steps.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Sequence

from lightning_zenml.orchestrator.steps.task import Task

_IMPORTED_BY_STEPS = (
    "lightning_zenml.orchestrator.orchestrator",
    "lightning_zenml.orchestrator.steps.entrypoint",
    "zenml.deployers",
    "zenml.log_stores",
    "zenml.orchestrators.step_launcher",
    "zenml.orchestrators.step_runner",
    "zenml.pipelines.pipeline_definition",
    "zenml.sandboxes",
    "zenml.zen_stores.rest_zen_store",
)
"""What a step of a stack like ours imports, most of it late: each of these brings others. Not every ZenML has all."""


def main() -> None:
    """Runs the step that is told on the command line or, as a `Task`, on stdin; ends without one."""
    # What is imported stays: looking for garbage among it again and again takes a third of the time.
    gc.disable()
    from zenml.client import Client

    import_zenml()
    with contextlib.suppress(Exception):
        # Imports what the artifact store needs. A fault shows again when the step runs.
        _ = Client().active_stack.artifact_store
    gc.freeze()
    gc.enable()
    if arguments := sys.argv[1:]:
        run(arguments)
    elif line := sys.stdin.readline():
        run(Task.read(line).arguments)


def import_zenml() -> None:
    """Imports what every step needs, and has it patient with ZenML. Nothing is connected to, no thread is started."""
    from zenml.entrypoints import entrypoint
    from zenml.integrations.registry import integration_registry

    from lightning_zenml.orchestrator.zenml_client.patience import be_patient

    _needed_by_run = entrypoint
    for module in _IMPORTED_BY_STEPS:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # A step does so itself, first of all: it imports what it finds installed of the libraries that ZenML knows.
    integration_registry.activate_integrations()
    be_patient()


def run(arguments: Sequence[str]) -> None:
    """Runs a step.

    Args:
        arguments: arguments of ZenML's entrypoint.
    """
    from zenml.entrypoints import entrypoint

    sys.argv = [sys.argv[0], *arguments]
    entrypoint.main()


if __name__ == "__main__":
    main()
