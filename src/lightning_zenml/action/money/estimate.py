"""What a launch will cost, as far as past launches of the same workflow tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.money.words import dollars
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.zenml_api.costs import RunUse, Use, uses
from lightning_zenml.zenml_api.finding import ZenMLFinder
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.server import ZenMLServer

_LAUNCHES = 5
"""Past launches that an estimate is made of: the newest, as code changes."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a launch will cost, in US dollars.

    Args:
        low: what the cheapest of the past launches would cost today.
        typical: the median.
        high: what the dearest would cost.
        launches: number of past launches.
        machine: name of the studio's machine.
        is_same_machine: whether they had that machine, so that it takes as long.
    """

    low: float
    typical: float
    high: float
    launches: int
    machine: str
    is_same_machine: bool

    @property
    def range(self) -> str:
        """From the lowest to the highest, in words."""
        low, high = dollars(self.low), dollars(self.high)
        return low if low == high else f"{low} to {high}"

    @property
    def basis(self) -> str:
        """What it is made of, in words."""
        last = "the last run" if self.launches == 1 else f"the last {self.launches} runs"
        return last if self.is_same_machine else f"{last}, which had another machine"

    def __str__(self) -> str:
        """The estimate in words: `$0.42 ($0.31 to $0.58, by the last 5 runs)`; of one run there is no range."""
        between = f"{self.range}, " if self.launches > 1 else ""
        return f"{dollars(self.typical)} ({between}by {self.basis})"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a launch asks for, as far as its price goes.

    Args:
        repository: name of the repository, `owner/name`.
        comment_key: what tells a workflow's job, and leg of a matrix, from others.
        machines: names of kinds of machine for the studio, in order of preference; none: those of past launches.
        studio: name of the studio, or of the first of its pool; None: a fresh one.
        cloud: cloud account of a new studio; None: the teamspace's default.
        interruptible: whether the studio is to have a spot machine.
    """

    repository: str
    comment_key: str
    machines: tuple[str, ...] = ()
    studio: str | None = None
    cloud: str | None = None
    interruptible: bool = False


def estimate(wanted: Wanted, zenml: ZenMLServer, lightning: Lightning) -> Estimate | None:
    """Estimates what a launch will cost: as much as past ones, at the prices of today.

    Args:
        wanted: what the launch asks for.
        zenml: the server that knows the past runs.
        lightning: the teamspace.

    Returns:
        The estimate; None where no launch of the workflow has completed, or a price isn't known.

    Raises:
        ZenMLServerError: if the ZenML server can't be asked.
        LaunchError: if Lightning can't be asked.
    """
    if not wanted.repository:
        return None
    past = _completed(ZenMLFinder(zenml).of_repository(wanted.repository), wanted)
    if not past:
        return None
    launches = [uses(zenml, runs) for runs in past[:_LAUNCHES]]
    catalog = Catalog(lightning, _cluster(wanted, lightning))
    machine = catalog.choose(wanted.machines).name if wanted.machines else _machine(launches)
    like = [launch for launch in launches if _machine([launch]) == machine]
    costs = [_today(launch, machine, catalog, wanted) for launch in like or launches]
    known = sorted(cost for cost in costs if cost is not None)
    if not known:
        return None
    return Estimate(
        low=known[0],
        typical=statistics.median(known),
        high=known[-1],
        launches=len(known),
        machine=machine,
        is_same_machine=bool(like),
    )


def _completed(runs: Sequence[Run], wanted: Wanted) -> list[list[Run]]:
    """The runs of each past launch of the same job that has completed, the newest launch first."""
    launches: dict[str, list[Run]] = {}
    for run in runs:
        origin = Origin.of_run(run.metadata, wanted.repository)
        if origin is not None and origin.comment_key == wanted.comment_key:
            launches.setdefault(run.launch_id, []).append(run)
    return [several for several in launches.values() if all(run.status == "completed" and run.end for run in several)]


def _cluster(wanted: Wanted, lightning: Lightning) -> str | None:
    studio = Studio.find(lightning, wanted.studio) if wanted.studio else None
    return studio.cluster if studio else wanted.cloud


def _machine(launches: Sequence[Sequence[RunUse]]) -> str:
    """The studio's machine in the newest launch that tells."""
    return next((run.studio.meter.machine for launch in launches for run in launch if run.studio), "")


def _today(launch: Sequence[RunUse], machine: str, catalog: Catalog, wanted: Wanted) -> float | None:
    """What a launch would cost at the prices of today; None where one isn't known."""
    price = catalog.price(machine, interruptible=wanted.interruptible)
    costs: list[float | None] = []
    for run in launch:
        if run.studio is None:
            return None
        # What the catalog doesn't tell any more is as it was.
        was = run.studio.meter.price if run.studio.meter.machine == machine else None
        hourly = was if price is None else price
        costs.append(None if hourly is None else hourly * run.studio.seconds / 3600)
        costs += [_job_today(job, catalog) for job in run.jobs]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _job_today(job: Use, catalog: Catalog) -> float | None:
    price = catalog.price(job.meter.machine, interruptible=job.meter.interruptible)
    return job.cost if price is None else price * job.meter.machines * job.seconds / 3600
