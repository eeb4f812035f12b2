"""What a job is to be. `Job.run` starts it once, `LightningPipeline.create` whenever a schedule is due."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from lightning_zenml.launch.lightning.machines import Machine


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A command, and the machines that it is to run on.

    Args:
        name: wanted name of the job; Lightning slugifies it, and changes it when it is taken.
        command: bash script, run in the job's home by a shell that has none of the studio's aliases: Python goes by its
            absolute path. With several machines it runs on each, with Lightning's variables `NODE_RANK`, `MASTER_ADDR`
            and `MASTER_PORT`.
        machine: kind of machine, one that the studio's cloud account sells.
        environment: variables of the command; secrets are fine.
        interruptible: whether spot machines will do.
        num_machines: number of machines, all of the same kind; more than one make a multi-machine job.
        max_runtime: seconds until the command is ended with exit code `job_request.TIMED_OUT`, which are asked for as a
            reservation too; None: no limit.
        max_run_attempts: how often Lightning starts the job at most; None: Lightning decides.
        snapshot: word by which jobs from one studio share the snapshot that the first of them takes: they don't see
            what the studio has written since; '': a snapshot of the job's own, as the studio is at its start.
        token: word by which the job is told from every other, and found again; names the file with its exit code.
    """

    name: str
    command: str
    machine: Machine
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    interruptible: bool = False
    num_machines: int = 1
    max_runtime: int | None = None
    max_run_attempts: int | None = None
    snapshot: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
