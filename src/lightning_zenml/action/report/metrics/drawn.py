"""Curves beside the base branch's, thinned to what can be drawn."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from lightning_zenml.action.report import CourseReport, CurveReport
from lightning_zenml.action.report.metrics.curves import Curve, Point
from lightning_zenml.action.report.metrics.directions import Direction
from lightning_zenml.action.report.metrics.settings import ReportSettings

MOST_POINTS = 60
"""Points of a drawn curve: the picture is 700 pixels wide."""
_MOST_CURVES = 100
_LARGEST = 1e12
"""Numbers beyond are not drawn: Mermaid reads none with an exponent."""


def drawn(curves: Sequence[Curve], base: Sequence[Curve], settings: ReportSettings) -> tuple[CurveReport, ...]:
    """What is shown of curves.

    Args:
        curves: curves of a run.
        base: curves of the run of the base branch that stands beside.
        settings: the input `report`: what comes first, what is left out, what is better.

    Returns:
        First what the settings name, in their order, then what is judged by its name, then the rest.
    """
    by_key = {curve.key: curve for curve in base}
    by_name = {curve.name: curve for curve in base}
    order = list(settings.directions)
    shown: list[tuple[int, CurveReport]] = []
    for curve in curves:
        named = next((pattern for pattern in order if curve.matches(pattern)), None)
        if named is None and any(map(curve.matches, settings.exclude)):
            continue
        direction = curve.direction(settings.directions)
        rank = order.index(named) if named is not None else len(order) + (direction is Direction.NEUTRAL)
        before = by_key.get(curve.key) or by_name.get(curve.name)
        shown.append((rank, _beside(curve, before, direction, is_chosen=rank <= len(order))))
    return tuple(report for _, report in sorted(shown, key=lambda ranked: ranked[0]))[:_MOST_CURVES]


def _beside(curve: Curve, before: Curve | None, direction: Direction, *, is_chosen: bool) -> CurveReport:
    both = [curve.points, before.points if before else ()]
    start, step, number = _grid([point for points in both for point in points])
    own, base = (_sampled(points, start, step, number) for points in both)
    return CurveReport(
        name=curve.name,
        source=f"{curve.kind} {curve.place}".strip(),
        axis=curve.axis,
        start=start,
        step=step,
        own=_course(curve, direction, own),
        base=_course(before, direction, base) if before else None,
        is_chosen=is_chosen,
    )


def _course(curve: Curve, direction: Direction, values: tuple[float, ...]) -> CourseReport:
    best = curve.best(direction)
    return CourseReport(
        values=values,
        final=curve.points[-1][1],
        best=best[1] if best else None,
        best_at=best[0] if best else None,
        end=curve.points[-1][0],
    )


def _grid(points: Sequence[Point]) -> tuple[float, float, int]:
    """Where curves are drawn at: start, distance and number of places.

    Multiples of a whole number, or of a half, a quarter and so on: Mermaid adds them up, and would lose the last one.
    """
    times = sorted({when for when, _ in points})
    first, last = times[0], times[-1]
    if max(abs(first), abs(last)) > _LARGEST or first == last:
        return first, 0.0, 0
    ideal = (last - first) / (min(len(times), MOST_POINTS) - 1)
    step = float(math.ceil(ideal)) if ideal >= 1 else 2.0 ** math.ceil(math.log2(ideal))
    start = math.floor(first / step) * step if step < 1 else math.floor(first)
    return float(start), step, math.ceil((last - start) / step) + 1


def _sampled(points: Sequence[Point], start: float, step: float, number: int) -> tuple[float, ...]:
    """Values at so many places: the mean of what is near, else what lies between; none where it can't be drawn."""
    finite = [point for point in points if math.isfinite(point[1])]
    if not finite or any(abs(value) > _LARGEST for _, value in finite):
        return ()
    times = [when for when, _ in finite]
    found = []
    for place in (start + at * step for at in range(number)):
        low, high = bisect_left(times, place - step / 2), bisect_right(times, place + step / 2)
        near = [value for when, value in finite[low:high] if when < place + step / 2] or None
        found.append(math.fsum(near) / len(near) if near else _between(finite, times, place))
    return tuple(found)


def _between(points: Sequence[Point], times: Sequence[float], place: float) -> float:
    """Of a straight line between two points; before the first and after the last, theirs."""
    at = bisect_left(times, place)
    if at in (0, len(points)):
        return points[min(at, len(points) - 1)][1]
    (left, before), (right, after) = points[at - 1], points[at]
    return before + (after - before) * (place - left) / (right - left)
