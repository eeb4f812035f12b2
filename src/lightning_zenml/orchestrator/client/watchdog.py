"""The watchdog of a client that submits a run, `python -m lightning_zenml.orchestrator.client.watchdog`.

A run whose client is killed before it has begun on Lightning fails with it, see `lightning_zenml.launch.watchdog`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_zenml.launch.watchdog import Watchdog, main

if TYPE_CHECKING:
    from uuid import UUID

    from lightning_zenml.launch.caller import Caller
    from lightning_zenml.launch.lightning.client import Lightning

_PROGRAM = "lightning_zenml.orchestrator.client.watchdog"


def beside(lightning: Lightning, caller: Caller, scratch: Path, run_id: UUID) -> Watchdog:
    """The watchdog of a client that launches a run; one that is launched already goes on without the client.

    Args:
        lightning: teamspace in which the client launches.
        caller: whoever started the client.
        scratch: folder that goes with the client.
        run_id: id of the run in ZenML.
    """
    return Watchdog(lightning, caller, scratch, run_id, leaves=True, program=_PROGRAM)


def fail_unless_begun(run_id: str, reason: str) -> None:
    """Records a run as failed, unless it has begun all the same, or in another launch by now.

    Args:
        run_id: id of the run in ZenML.
        reason: shown with the run.
    """
    # Each launch starts this program, and hardly any needs these.
    from zenml.client import Client
    from zenml.enums import ExecutionStatus

    from lightning_zenml.orchestrator.client.run_end import fail

    run = Client().get_pipeline_run(run_id)
    if run.status is not ExecutionStatus.RUNNING:
        fail(run, reason)


if __name__ == "__main__":
    sys.exit(main(fail=fail_unless_begun))
