"""What machines runs of launches have had, for how long and at what price, as ZenML's metadata of them tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from lightning_zenml.deadline import begin
from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.zenml_api.models import METER, Run, Step
from lightning_zenml.zenml_api.server import ZenMLServer

_AT_ONCE = 8
"""Runs whose steps are asked for at once."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """A machine that a run has had.

    Args:
        meter: kind of the machine, and what it was charged at.
        seconds: how long the run had it.
        before: US dollars for what came before the machine.
    """

    meter: Meter
    seconds: float
    before: float = 0.0

    @property
    def cost(self) -> float | None:
        """US dollars; None where its price isn't known."""
        return None if self.meter.price is None else self.before + self.meter.price * self.seconds / 3600


@dataclass(frozen=True, kw_only=True)
class RunUse:
    """All machines that a run has had.

    Args:
        run: the run.
        studio: the studio's, from its start on; None where nobody knows.
        jobs: those of steps that had some of their own.
    """

    run: Run
    studio: Use | None
    jobs: tuple[Use, ...]

    @property
    def jobs_cost(self) -> float | None:
        """US dollars for the machines of steps; None where a price isn't known."""
        return _sum([job.cost for job in self.jobs])

    @property
    def cost(self) -> float | None:
        """US dollars for all; None where a price isn't known."""
        return _sum([self.studio.cost if self.studio else None, self.jobs_cost])


def uses(zenml: ZenMLServer, runs: Iterable[Run], now: datetime | None = None) -> list[RunUse]:
    """Finds out what machines runs have had, the run that began first first.

    Of a studio that several runs of a launch have had, each has it until its end.

    Args:
        zenml: the server that knows the runs.
        runs: the runs; all those of a launch.
        now: until when a machine is had that is not given back; None: the time of day.

    Raises:
        ZenMLServerError: if the server can't be asked.
    """
    now = now or datetime.now(UTC)
    in_order = sorted(runs, key=lambda run: (run.end or now, run.start or now))
    had: dict[str, float] = {}
    studios: list[Use | None] = []
    for run in in_order:
        meter, end = _meter(run), (run.end or now).timestamp()
        if meter is None:
            studios.append(None)
            continue
        is_first = run.launch_id not in had
        seconds = max(end - max(meter.since, had.get(run.launch_id, 0.0)), 0.0)
        studios.append(Use(meter=meter, seconds=seconds, before=meter.before if is_first else 0.0))
        had[run.launch_id] = end
    found = [
        RunUse(run=run, studio=studio, jobs=tuple(_jobs(of_run, now)))
        for run, studio, of_run in zip(in_order, studios, _steps(zenml, in_order), strict=True)
    ]
    return sorted(found, key=lambda one: one.run.start or now)


def _steps(zenml: ZenMLServer, runs: Sequence[Run]) -> Iterator[list[Step]]:
    """The steps of each run; whoever has no use for them any more need not wait for them."""
    for first in range(0, len(runs), _AT_ONCE):
        asked = [begin(partial(zenml.steps, run.id)) for run in runs[first : first + _AT_ONCE]]
        yield from (answer.result() for answer in asked)


def _jobs(steps: Sequence[Step], now: datetime) -> list[Use]:
    metered = [(step, meter) for step in steps if (meter := _meter(step)) is not None]
    return [
        Use(meter=meter, seconds=max((step.end or now).timestamp() - meter.since, 0.0), before=meter.before)
        for step, meter in metered
    ]


def _meter(one: Run | Step) -> Meter | None:
    try:
        meter = Meter.from_json(one.metadata[METER])
    except (KeyError, RecordError):
        return None
    numbers = (meter.since, meter.before, 0.0 if meter.price is None else meter.price)
    return meter if all(isinstance(number, int | float) for number in numbers) else None


def _sum(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
