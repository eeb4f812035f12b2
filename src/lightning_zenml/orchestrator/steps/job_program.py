"""The program of a step's job, on each of its machines.

The machine of rank 0 runs the step as ZenML's own entrypoint does and reports to ZenML. The others wait until it has
begun, then call the step's function with the same inputs, and keep what it returns to themselves. What fails on one of
several is tried again on all of them, in a new job.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.client import Client
from zenml.entrypoints import entrypoint
from zenml.enums import ExecutionStatus

from lightning_zenml.orchestrator.steps.entrypoint import (
    FollowingStepEntrypoint,
    JointStepEntrypoint,
    ResumedStepEntrypoint,
    StepEntrypoint,
    arguments_of,
)
from lightning_zenml.orchestrator.zenml_client.patience import be_patient

if TYPE_CHECKING:
    from zenml.models import StepRunResponse

_FIRST_RANK_PATIENCE = 600.0
"""Seconds that rank 0 may take to begin; the machines of a job come together."""
_POLL = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a step on this machine.

    Args:
        arguments: command line without the program; None: that of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m lightning_zenml.orchestrator.steps.job_program")
    parser.add_argument("--step-name", required=True)
    parser.add_argument("--snapshot-id", type=UUID, required=True)
    parser.add_argument("--run-id", type=UUID, required=True)
    parser.add_argument("--step-run-id", type=UUID, help="of a step that ZenML has recorded before it starts")
    parser.add_argument("--num-machines", type=int, default=1)
    options = parser.parse_args(arguments)
    be_patient()
    kind: type[StepEntrypoint | ResumedStepEntrypoint]
    step_run_id: UUID | None
    # As the script of the job has it, see `job_starter`.
    if options.num_machines > 1 and int(os.environ["RANK"]) > 0:
        step_run = _await_first_rank(options.run_id, options.step_name)
        kind, step_run_id = FollowingStepEntrypoint, step_run.id
    else:
        step_run_id = options.step_run_id or _interrupted_attempt(options.run_id, options.step_name)
        begins = JointStepEntrypoint if options.num_machines > 1 else StepEntrypoint
        kind = ResumedStepEntrypoint if step_run_id else begins
    sys.argv = [sys.argv[0], *arguments_of(kind, options.step_name, options.snapshot_id, step_run_id)]
    entrypoint.main()


def _interrupted_attempt(run_id: UUID, name: str) -> UUID | None:
    """The record that a machine which was lost has left unfinished, where ZenML takes no new one."""
    step_run = _find(run_id, name)
    if step_run is None or step_run.status.is_finished or step_run.is_retriable:
        return None
    found: UUID = step_run.id
    return found


def _await_first_rank(run_id: UUID, name: str) -> StepRunResponse:
    deadline = time.monotonic() + _FIRST_RANK_PATIENCE
    while True:
        step_run = _find(run_id, name)
        if step_run is not None and step_run.status is ExecutionStatus.RUNNING:
            return step_run
        if step_run is not None and step_run.status.is_finished:
            # Done without us; a machine that waits on costs as much as one that works.
            raise SystemExit(0 if step_run.status.is_successful else 1)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Rank 0 of step `{name}` did not begin within {_FIRST_RANK_PATIENCE:.0f} s.")
        time.sleep(_POLL)


def _find(run_id: UUID, name: str) -> StepRunResponse | None:
    page = Client().list_run_steps(name=name, pipeline_run_id=run_id, exclude_retried=True, hydrate=True, size=1)
    return page.items[0] if page.items else None


if __name__ == "__main__":
    main()
