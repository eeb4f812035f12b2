"""Starts the steps of a run that have machines of their own, as Lightning jobs.

A job starts from a snapshot of the studio: the launch's code and the installed environment are in it. What the step
must know and nobody else may travels as the job's environment.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from zenml.logger import get_logger

from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.launch.payload.variables import (
    BEGAN,
    CODE,
    MACHINE,
    METER,
    SOURCE_ROOT,
    STOP_IDLE_GPU,
    USAGE,
    UV_TRAP,
    ZENML_CONFIG_PATH,
)
from lightning_zenml.launch.spec import KeepStudio
from lightning_zenml.launch.studio.waits import Limits
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.steps.job import StartedJob, StepJob
from lightning_zenml.orchestrator.steps.placement import OwnMachines

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.client import Lightning
    from lightning_zenml.launch.lightning.machines import Machine
    from lightning_zenml.launch.lightning.studio import Studio
    from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

logger = get_logger(__name__)


class StepJobs:
    """Starts the jobs of one run's steps.

    Args:
        lightning: teamspace of the launch.
        studio: studio of the launch, from whose snapshot jobs start.
        context: the launch that this process is part of.
        run_id: id of the run in ZenML.
        run_name: name of the run, with which the names of its jobs begin.
        orchestrator_run_id: names the snapshot that the jobs of the run share, those of child pipelines included.
        output: takes what the steps print.
    """

    def __init__(
        self,
        lightning: Lightning,
        studio: Studio,
        context: LaunchContext,
        *,
        run_id: str,
        run_name: str,
        orchestrator_run_id: str,
        output: TextIO,
    ) -> None:
        self._lightning = lightning
        self._studio = studio
        self._context = context
        self._run_id = run_id
        self._run_name = run_name
        self._orchestrator_run_id = orchestrator_run_id
        self._output = output

    def begin(
        self,
        step: str,
        program: Sequence[str],
        *,
        own: OwnMachines,
        settings: LightningOrchestratorSettings,
        environment: Mapping[str, str],
        commands: Sequence[str] = (),
        attempt: int = 1,
    ) -> StepJob:
        """Runs a step as a job; finds the job again that a controller before this one has started for the same attempt.

        Args:
            step: name of the step's invocation.
            program: program that runs the step, with its arguments.
            own: machines of the step; where one kind can't be had, the next one's turn has come.
            settings: settings of the step.
            environment: variables of the step, `SOURCE_ROOT` among them; secrets are fine.
            commands: bash lines that come first, in the same shell.
            attempt: counts the jobs of this step, from 1.

        Returns:
            The job.

        Raises:
            LaunchError: if the job can't be started.
        """
        jobs = self._start(step, program, own, settings, environment, commands, attempt)
        return StepJob(
            jobs,
            step,
            on_change=self._context.record_job,
            # With a job that is deleted, the machine that is kept for the next one may go.
            keep=settings.keep_studio in (KeepStudio.KEEP, KeepStudio.STOP) or settings.keep_warm is not None,
            output=self._output,
            patience=Limits.from_environ(os.environ).start,
        )

    def take_snapshot(self, machine: Machine) -> StepJob:
        """Takes the snapshot that the jobs of the run share, by a job that does nothing.

        Taking it lasts minutes, for which the first job would wait.

        Args:
            machine: kind of machine for the job, the cheapest will do.

        Returns:
            The job, to be killed when it is needed no more.

        Raises:
            LaunchError: if the job can't be started.
        """
        token = f"{self._orchestrator_run_id}-snapshot"
        # No step can have that name.
        record = self._record(token, "(snapshot)", 1, machine, 1)
        spec = JobSpec(
            name=f"{self._run_name}-snapshot",
            command="true",
            machine=machine,
            snapshot=self._orchestrator_run_id,
            token=token,
        )
        asked = time.time()
        job = Job.run(self._lightning, self._studio, spec)
        started = StartedJob(job=job, machines=machine.name, record=record, asked=asked)
        return StepJob(
            iter([started]), "(snapshot)", on_change=self._context.record_job, keep=False, output=self._output
        )

    def _start(
        self,
        step: str,
        program: Sequence[str],
        own: OwnMachines,
        settings: LightningOrchestratorSettings,
        environment: Mapping[str, str],
        commands: Sequence[str],
        attempt: int,
    ) -> Iterator[StartedJob]:
        """Starts a job on each kind of machine in turn; first that which a controller before this one has started."""
        # A child pipeline shares the orchestrator run id, and may share names of steps.
        digest = hashlib.sha256(f"{self._run_id}/{step}".encode()).hexdigest()[:8]
        last = self._context.last_jobs(self._run_id).get(step) if self._context.restarted else None
        known = last.machine if last is not None and last.attempt == attempt else None
        names = [machine.name for machine in own.kinds]
        begin = names.index(known) if known in names else 0
        for number, machine in enumerate(own.kinds[begin:], begin):
            token = f"{self._orchestrator_run_id}-{digest}-{attempt:02}" + (f"-{number}" if number else "")
            found = machine.name == known
            record = self._record(
                token,
                step,
                attempt,
                machine,
                own.count,
                interruptible=settings.interruptible,
                last=last if found else None,
            )
            job = Job.find(self._lightning, self._studio, token, num_machines=own.count) if found else None
            spec = JobSpec(
                name=f"{self._run_name}-{step}",
                command=_command(self._context, Path(environment[SOURCE_ROOT]), commands, program, own.count),
                machine=machine,
                environment={
                    **environment,
                    **_machines(record, interruptible=settings.interruptible),
                    **({STOP_IDLE_GPU: f"{60 * settings.stop_idle_gpu:g}"} if settings.stop_idle_gpu else {}),
                    # In the home, ZenML's tokens would be among the artifacts of the job.
                    ZENML_CONFIG_PATH: "/tmp/zenml",  # noqa: S108
                },
                interruptible=settings.interruptible,
                num_machines=own.count,
                max_runtime=settings.max_runtime,
                max_run_attempts=settings.max_run_attempts,
                snapshot=self._orchestrator_run_id if settings.reuse_snapshot else "",
                keep_minutes=math.ceil(settings.keep_warm or 0),
                token=token,
            )
            asked = time.time()
            job = job or Job.run(self._lightning, self._studio, spec)
            machines = f"{own.count} machines {machine.name}" if own.count > 1 else machine.name
            logger.info("Step `%s` runs as Lightning job on %s: %s", step, machines, job.url)
            if spec.keep_minutes:
                price = "" if record.price is None else f", at ${record.price * own.count / 60:.4f} a minute"
                logger.info("%s of it is kept up %s min for the next job%s", machines, spec.keep_minutes, price)
            yield StartedJob(job=job, machines=machines, record=record, asked=asked)

    def _record(
        self,
        token: str,
        step: str,
        attempt: int,
        machine: Machine,
        count: int,
        *,
        interruptible: bool = False,
        last: JobRecord | None = None,
    ) -> JobRecord:
        """Records a job before it is asked for: whoever must end it looks for it then.

        What a controller before this one has told `last` of the same job, it has cost.
        """
        record = JobRecord(
            token=token,
            step=step,
            attempt=attempt,
            run_id=self._run_id,
            machine=machine.name,
            num_machines=count,
            price=machine.price(interruptible=interruptible),
            started=last.started if last else None,
            earlier=last.earlier if last else 0.0,
            charged=last.charged if last else 0.0,
        )
        self._context.record_job(record)
        return record


def _machines(record: JobRecord, *, interruptible: bool) -> dict[str, str]:
    """What a job is told of its machines."""
    price = None if record.price is None else record.price * record.num_machines
    # From when on, the job itself finds out.
    meter = Meter(
        machine=record.machine, price=price, since=0.0, machines=record.num_machines, interruptible=interruptible
    )
    return {MACHINE: record.machine, METER: json.dumps(meter.to_json())}


def _command(
    context: LaunchContext, source_root: Path, commands: Sequence[str], program: Sequence[str], num_machines: int
) -> str:
    """The bash script of the job. Its home is a copy of the studio's; `python` is no command there, but an alias.

    Of several machines each is told what PyTorch reads (`env://`), where the platform gives only its own variables. Not
    `LOCAL_RANK`: with it PyTorch Lightning would take this one process for all that the machine has.
    """
    path = shlex.quote(os.path.dirname(sys.executable))  # noqa: PTH120
    return "\n".join(
        [
            "set -eo pipefail",
            f"export {BEGAN}=$(date +%s)",
            f"cd {_in_job(context.code)}",
            f'export {CODE}="$PWD" {SOURCE_ROOT}={_in_job(source_root)} PATH={path}:"$PATH"',
            f"unset {UV_TRAP}",
            *(_ranks(num_machines) if num_machines > 1 else ()),
            *commands,
            # Beside the program until that has ended.
            f'export {USAGE}="${{TMPDIR:-/tmp}}/lightning-zenml-usage-$$.jsonl"',
            f"{shlex.quote(sys.executable)} -P -m lightning_zenml.launch.payload.usage $$ </dev/null &",
            f"cd {_in_job(context.start.directory(source_root))}",
            # What ends it must reach the program, not a shell that is gone at once.
            f"exec {shlex.join(program)}",
        ]
    )


def _ranks(num_machines: int) -> list[str]:
    return [
        'export NODE_RANK="${NODE_RANK:-${RANK:-0}}"',
        f'export RANK="${{RANK:-$NODE_RANK}}" WORLD_SIZE="${{WORLD_SIZE:-{num_machines}}}"',
    ]


def _in_job(path: Path) -> str:
    """A path of the studio as bash finds it in a job."""
    home = Path.home()
    return (
        f'"$HOME"/{shlex.quote(str(path.relative_to(home)))}' if path.is_relative_to(home) else shlex.quote(str(path))
    )
