"""`status`: the launches under way, or one of them with all that is known of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.launches import Launched, attached
from lightning_zenml.cli.output import Output, dollars, duration
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.payload.protocol import Phase
from lightning_zenml.zenml_api.models import PROVENANCE, Run

ENDED = "ended"
"""What a launch is that its studio knows nothing of any more."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A pipeline run.

    Args:
        launch_id: id of the launch that made it.
        run_id: UUID of the run.
        run_name: name of the run.
        pipeline: name of its pipeline.
        status: ZenML's status of it.
        run_url: page of the run on ZenML's dashboard.
        orchestrator_url: page of the run on Lightning AI; None until it is known.
        start: time when it started.
        end: time when it ended.
        repository: repository on GitHub whose Action has started it, `owner/name`; None for none.
        branch: branch of its commit there; None for none.
        pull_request: number of its pull request there; None for none.
    """

    launch_id: str
    run_id: str
    run_name: str
    pipeline: str
    status: str
    run_url: str
    orchestrator_url: str | None
    start: datetime | None
    end: datetime | None
    repository: str | None
    branch: str | None
    pull_request: int | None

    @classmethod
    def of(cls, run: Run) -> RunStatus:
        """Makes it of a run."""
        github = run.metadata.get(PROVENANCE)
        github = github if isinstance(github, dict) else {}
        return cls(
            launch_id=run.launch_id,
            run_id=run.id,
            run_name=run.name,
            pipeline=run.pipeline,
            status=run.status,
            run_url=run.url,
            orchestrator_url=run.orchestrator_url,
            start=run.start,
            end=run.end,
            repository=github.get("repository"),
            branch=github.get("branch"),
            pull_request=github.get("pull_request"),
        )

    @property
    def origin(self) -> str:
        """The pull request, else the branch or the repository; '' where GitHub has started nothing."""
        if self.pull_request:
            return f"{self.repository}#{self.pull_request}"
        return f"{self.repository}@{self.branch}" if self.branch else self.repository or ""

    @property
    def age(self) -> str:
        """How long it has run, or ran."""
        if self.start is None:
            return ""
        return duration(((self.end or datetime.now(UTC)) - self.start).total_seconds())


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """A step of a run: its name and ZenML's status of it."""

    run_id: str
    name: str
    status: str


@dataclass(frozen=True, kw_only=True)
class LaunchStatus:
    """A launch.

    Args:
        launch_id: id of the launch.
        phase: where it stands on its studio: installing, commands, running, finished; or ended.
        why: why no more is known of it; '' where that is all.
        failure: what went wrong on the studio; '' where nothing did, or nobody knows.
        studio: name of the studio; '' where it is gone.
        studio_url: page of the studio.
        machine: name of its machine.
        since: when the machine began to cost, seconds since 1970; None where that isn't known.
        cost: US dollars that the studio's machine has cost so far, jobs of steps not among it; None: not known.
        runs: its pipeline runs.
        steps: steps of these that have started.
    """

    launch_id: str
    phase: str
    why: str = ""
    failure: str = ""
    studio: str = ""
    studio_url: str = ""
    machine: str = ""
    since: float | None = None
    cost: float | None = None
    runs: tuple[RunStatus, ...]
    steps: tuple[StepStatus, ...]


def list_runs(connection: Connection, output: Output, *, ended: int) -> None:
    """Lists runs of launches.

    Args:
        connection: ZenML.
        output: where the list goes.
        ended: number of runs to list that have ended, besides those under way.
    """
    runs = connection.finder.under_way()
    runs += connection.finder.ended(ended) if ended else []
    listed = [RunStatus.of(run) for run in runs]
    if output.is_json:
        output.json(listed)
    elif listed:
        columns = ["launch", "status", "pipeline", "run", "for", "of"]
        output.table(
            columns, [[one.launch_id, one.status, one.pipeline, one.run_name, one.age, one.origin] for one in listed]
        )
    else:
        output.line(f"No launch is under way, as far as the ZenML server {connection.zenml.url} knows.")


def show(connection: Connection, output: Output, launched: Sequence[Launched]) -> None:
    """Tells all of some launches.

    Args:
        connection: ZenML and the teamspace.
        output: where it goes.
        launched: the launches.
    """
    found = [_status(connection, one) for one in launched]
    if output.is_json:
        output.json(found)
        return
    for status in found:
        _tell(output, status)


def _status(connection: Connection, launched: Launched) -> LaunchStatus:
    steps = [
        StepStatus(run_id=run.id, name=step.name, status=step.status)
        for run in launched.runs
        for step in connection.zenml.steps(run.id)
    ]
    runs = tuple(map(RunStatus.of, launched.runs))
    known = LaunchStatus(launch_id=launched.id, phase=ENDED, runs=runs, steps=tuple(steps))
    if launched.is_execution:
        phase = ENDED if launched.is_over else Phase.RUNNING
        return _replaced(known, phase=phase, why="A schedule has started it, in a job on Lightning AI.")
    launch = attached(connection, launched)
    if launch is None:
        return known
    told = _replaced(known, studio=launch.studio_name, studio_url=launch.studio_url, machine=launch.machine)
    try:
        status = launch.status()
    except StudioLostError as error:
        return _replaced(told, why=str(error))
    except LaunchError as error:
        return _replaced(told, phase="unknown", why=str(error))
    failure = status.failure.message if status.failure else ""
    if status.phase is Phase.FINISHED:
        return _replaced(told, phase=status.phase, failure=failure)
    return _replaced(told, phase=status.phase, since=launch.since, cost=launch.cost)


def _replaced(known: LaunchStatus, **changes: object) -> LaunchStatus:
    return LaunchStatus(**{**vars(known), **changes})


def _tell(output: Output, status: LaunchStatus) -> None:
    output.line(status.launch_id, style="bold")
    output.line(f"  {status.phase}{f': {status.failure}' if status.failure else ''}")
    if status.why:
        output.line(f"  {status.why}")
    if status.studio:
        output.line(f"  studio {status.studio} on {status.machine}  {status.studio_url}")
    if status.since is not None:
        output.line(f"  for {duration(time.time() - status.since)}, {dollars(status.cost)} without the jobs of steps")
    for run in status.runs:
        output.line(f"  run {run.run_name}: {run.status}  {run.run_url}")
        for step in status.steps:
            if step.run_id == run.run_id:
                output.line(f"    {step.name}: {step.status}")
    if not status.runs:
        output.line("  no pipeline run has begun")
