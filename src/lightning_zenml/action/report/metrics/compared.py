"""Metrics of a run set beside those of the base branch's runs: better, worse, or no more than noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_zenml.action.report import MetricReport, Verdict
from lightning_zenml.action.report.metrics.collected import Metric
from lightning_zenml.action.report.metrics.directions import Direction, direction_by_name
from lightning_zenml.action.report.metrics.noise import half_width
from lightning_zenml.action.report.metrics.settings import ReportSettings

_MOST_METRICS = 500


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A metric beside the base branch's.

    Args:
        metric: the metric; of several runs that are judged together that of the first.
        own: its values, one of each run or seed.
        base: those of the base branch's runs; none: it is new there.
        value: what stands for its values.
        base_value: what stands for those of the base branch, of which some may not be finite; None: there are none.
        noise: how far the two may lie apart by chance; None where that can't be known.
        is_judged_alone: whether a difference counts though its noise isn't known, as nobody has asked for it.
        direction: which value is better.
    """

    metric: Metric
    own: tuple[float, ...]
    base: tuple[float, ...]
    value: float
    base_value: float | None
    noise: float | None
    is_judged_alone: bool
    direction: Direction

    @property
    def is_finite(self) -> bool:
        """Whether it can be calculated with, on both sides."""
        return self.base_value is not None and math.isfinite(self.value) and math.isfinite(self.base_value)

    @property
    def is_same(self) -> bool:
        """Whether both are the same number, but for what adding up may have done."""
        return self.base_value is not None and math.isclose(self.value, self.base_value, rel_tol=1e-12)

    @property
    def change(self) -> int:
        """1 where it has risen, -1 where it has dropped; 0 where that may be chance, or can't be told."""
        if not self.is_finite or self.base_value is None or (self.noise is None and not self.is_judged_alone):
            return 0
        difference = self.value - self.base_value
        if self.is_same or abs(difference) <= (self.noise or 0.0):
            return 0
        return 1 if difference > 0 else -1

    @property
    def verdict(self) -> Verdict | None:
        """How it compares; None where nobody can say."""
        is_neutral = self.direction is Direction.NEUTRAL
        if self.base_value is None:
            return None
        if math.isfinite(self.value) != math.isfinite(self.base_value):
            # A training that diverged, or does no longer.
            better_or_worse = Verdict.BETTER if math.isfinite(self.value) else Verdict.WORSE
            return None if is_neutral else better_or_worse
        if not self.is_finite or self.is_same:
            return None if is_neutral else Verdict.SAME
        if not self.change:
            return Verdict.NOISE if self.noise else None
        if is_neutral:
            return None
        return Verdict.BETTER if (self.change > 0) == (self.direction is Direction.HIGHER) else Verdict.WORSE


def compare(
    metrics: Sequence[Metric],
    base: Sequence[Sequence[Metric]],
    settings: ReportSettings,
    *,
    together: Sequence[Sequence[Metric]] = (),
) -> tuple[Comparison, ...]:
    """Sets metrics beside those of the base branch.

    Args:
        metrics: metrics of this run.
        base: metrics of each of the base branch's runs.
        settings: the input `report`: what is better, and what stands for several runs.
        together: metrics of runs that are judged together with this one, as only their seeds differ.

    Returns:
        One for each metric, in their order.
    """
    others, before = [_Run(one) for one in together], [_Run(one) for one in base]
    this = _Run(metrics)
    return tuple(_comparison(metric, this, others, before, settings) for metric in metrics)


def rows(compared: Sequence[Comparison], settings: ReportSettings) -> tuple[MetricReport, ...]:
    """What is shown of them.

    Args:
        compared: all metrics of a run.
        settings: the input `report`: what comes first, what is left out.

    Returns:
        First what the settings name, in their order, then what is judged by its name, then the rest.
    """
    shown: list[tuple[int, MetricReport]] = []
    order = list(settings.directions)
    for one in compared:
        metric = one.metric
        named = next((pattern for pattern in order if metric.matches(pattern)), None)
        if named is None and (metric.is_hidden or any(map(metric.matches, settings.exclude))):
            continue
        if named is None and one.direction is Direction.NEUTRAL and not metric.is_certain:
            # A version or an id, say.
            continue
        rank = order.index(named) if named is not None else len(order) + (one.direction is Direction.NEUTRAL)
        row = MetricReport(
            name=metric.name,
            source=metric.source,
            value=one.value,
            base=one.base_value,
            verdict=one.verdict,
            noise=one.noise,
            own_runs=len(one.own),
            base_runs=len(one.base),
            better="" if one.direction is Direction.NEUTRAL else one.direction.value,
        )
        shown.append((rank, row))
    return tuple(row for _, row in sorted(shown, key=lambda ranked: ranked[0]))[:_MOST_METRICS]


class _Run:
    """Metrics of a run, in which that of another is found, also where its step has another name by now."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._by_key = {metric.key: metric for metric in metrics}
        times = Counter(metric.name for metric in metrics)
        self.once = {metric.name: metric for metric in metrics if times[metric.name] == 1}

    def counterpart(self, metric: Metric, of: _Run) -> tuple[float, ...]:
        """Its values; none where there is none, or several may be it."""
        found = self._by_key.get(metric.key) or (self.once.get(metric.name) if metric.name in of.once else None)
        return found.values if found else ()


def _comparison(
    metric: Metric, this: _Run, others: Sequence[_Run], before: Sequence[_Run], settings: ReportSettings
) -> Comparison:
    own = (*metric.values, *(value for run in others for value in run.counterpart(metric, this)))
    base = tuple(value for run in before for value in run.counterpart(metric, this))
    centre = settings.baseline.centre
    # A base run that diverged says nothing of those that didn't.
    finite = tuple(filter(math.isfinite, base))
    lost = next((value for value in own if not math.isfinite(value)), None)
    named = next((pattern for pattern in settings.directions if metric.matches(pattern)), None)
    return Comparison(
        metric=metric,
        own=own,
        base=finite or base,
        value=centre.of(own) if lost is None else lost,
        base_value=centre.of(finite) if finite else next(iter(base), None),
        noise=half_width(own, finite, centre) if lost is None else None,
        is_judged_alone=settings.baseline.runs == 1,
        direction=settings.directions[named] if named is not None else direction_by_name(metric.name),
    )
