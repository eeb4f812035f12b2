"""`cost`: what launches have cost, by run, pull request, pipeline or month, as their runs in ZenML tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.output import Output, dollars
from lightning_zenml.zenml_api.costs import RunUse, uses
from lightning_zenml.zenml_api.models import PROVENANCE, Run


class By(StrEnum):
    """What costs are told by."""

    RUN = "run"
    PULL_REQUEST = "pull-request"
    PIPELINE = "pipeline"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What a pipeline run has cost.

    Args:
        run_id: UUID of the run.
        run_name: name of the run.
        pipeline: name of its pipeline.
        launch_id: id of its launch.
        status: ZenML's status of it.
        repository: repository on GitHub whose Action has started it, `owner/name`; '' for none.
        branch: branch of its commit; '' for none.
        pull_request: number of its pull request there; None for none, or where a push has started it.
        start: time when it started.
        studio: US dollars for the studio's machine, from its start on; None where nobody knows.
        jobs: US dollars for the machines of steps that had some of their own; None where a price isn't known.
    """

    run_id: str
    run_name: str
    pipeline: str
    launch_id: str
    status: str
    repository: str
    branch: str
    pull_request: int | None
    start: datetime | None
    studio: float | None
    jobs: float | None

    @property
    def origin(self) -> str:
        """The pull request, else the branch; '' where GitHub has started nothing."""
        if self.pull_request:
            return f"{self.repository}#{self.pull_request}"
        return f"{self.repository}@{self.branch}" if self.branch else self.repository

    @property
    def total(self) -> float | None:
        """Both together; None where either isn't known."""
        return None if self.studio is None or self.jobs is None else self.studio + self.jobs


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What several runs have cost together.

    Args:
        name: what they have in common: a pull request, a pipeline, a month.
        runs: number of the runs.
        cost: US dollars of those whose cost is known.
        unknown: number of the others.
    """

    name: str
    runs: int
    cost: float
    unknown: int


def cost(connection: Connection, output: Output, runs: Sequence[Run], *, by: By) -> None:
    """Tells what runs have cost.

    Args:
        connection: ZenML.
        output: where it goes.
        runs: the runs, the oldest first.
        by: what it is told by.
    """
    costs = [_cost_of(use) for use in uses(connection.zenml, runs)]
    if by is By.RUN:
        _tell_runs(output, costs)
        return
    names: Mapping[By, Callable[[RunCost], str]] = {
        By.PULL_REQUEST: lambda one: one.origin,
        By.PIPELINE: lambda one: one.pipeline,
        By.MONTH: lambda one: f"{one.start:%Y-%m}" if one.start else "",
    }
    grouped: dict[str, list[RunCost]] = {}
    for one in costs:
        grouped.setdefault(names[by](one), []).append(one)
    told = [_sum(name or "none", several) for name, several in sorted(grouped.items())]
    if output.is_json:
        output.json(told)
        return
    everything = _sum("all", costs)
    rows = [[one.name, str(one.runs), dollars(one.cost), str(one.unknown or "")] for one in (*told, everything)]
    output.table([by.value, "runs", "cost", "not known"], rows)


def _tell_runs(output: Output, costs: Sequence[RunCost]) -> None:
    if output.is_json:
        output.json(costs)
        return
    rows = [
        [one.run_name, one.pipeline, one.status, dollars(one.studio), dollars(one.jobs), dollars(one.total)]
        for one in costs
    ]
    everything = _sum("all", costs)
    output.table(["run", "pipeline", "status", "studio", "jobs", "cost"], rows)
    unknown = f", and {everything.unknown} whose cost isn't known" if everything.unknown else ""
    output.line(f"\n{everything.runs} {'run' if everything.runs == 1 else 'runs'}: {dollars(everything.cost)}{unknown}")


def _cost_of(use: RunUse) -> RunCost:
    run = use.run
    github = run.metadata.get(PROVENANCE)
    github = github if isinstance(github, dict) else {}
    return RunCost(
        run_id=run.id,
        run_name=run.name,
        pipeline=run.pipeline,
        launch_id=run.launch_id,
        status=run.status,
        repository=github.get("repository") or "",
        branch=github.get("branch") or "",
        pull_request=github.get("pull_request"),
        start=run.start,
        studio=use.studio.cost if use.studio else None,
        jobs=use.jobs_cost,
    )


def _sum(name: str, costs: Sequence[RunCost]) -> Cost:
    known = [one.total for one in costs if one.total is not None]
    return Cost(name=name, runs=len(costs), cost=sum(known), unknown=len(costs) - len(known))
