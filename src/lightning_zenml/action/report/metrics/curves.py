"""Curves: numbers that a pipeline logged for each epoch or step, in the ways in which ZenML keeps them.

A list of numbers; a mapping by epoch or step, which ZenML merges, so that a step may log one entry each time;
a list of mappings, as Hugging Face's `log_history` is one; and what our steps note of numbers that are logged again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_zenml.action.report.metrics.collected import Metric, Place, is_meant
from lightning_zenml.action.report.metrics.directions import Direction, direction_by_name
from lightning_zenml.zenml_api.curves import AXES, is_curve, number_of, parse, points_of

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A number by epoch, step, or the times that it was logged.

    Args:
        name: name as logged.
        kind: what it was logged for: `run`, `step`, `artifact` or `model`.
        place: name of the step, artifact or model; empty for a run.
        axis: what its values are counted by, e.g. `epoch`; '' where nobody said.
        points: pairs of when and value, by time; two at least.
    """

    name: str
    kind: str
    place: str
    axis: str
    points: tuple[Point, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other curves of its run."""
        return self.kind, self.place, self.name

    def matches(self, pattern: str) -> bool:
        """Whether a pattern of the input `report` stands for it."""
        return is_meant(pattern, self.name, self.place)

    def direction(self, directions: Mapping[str, Direction]) -> Direction:
        """Which value is better.

        Args:
            directions: what the input `report` says, by pattern; else the name does.
        """
        named = (directions[pattern] for pattern in directions if self.matches(pattern))
        return next(named, None) or direction_by_name(self.name)

    def best(self, direction: Direction) -> Point | None:
        """When it was best, and how good; None where nobody knows which value is better, or none is finite.

        Args:
            direction: which value is better.
        """
        finite = [point for point in self.points if math.isfinite(point[1])]
        if not finite or direction is Direction.NEUTRAL:
            return None
        sign = 1 if direction is Direction.LOWER else -1
        return min(finite, key=lambda point: sign * point[1])


def collect_curves(places: Iterable[Place], *, seeds: Sequence[str] = ()) -> tuple[Curve, ...]:
    """Finds the curves in what a run logged.

    Args:
        places: what was logged, by what it was logged for.
        seeds: patterns of lists that hold a number for each seed, and are none.
    """
    found: dict[tuple[str, str, str], Curve] = {}
    for place in places:
        for name, axis, points in _curves(place.metadata):
            is_of_seeds = any(is_meant(pattern, name, place.name) for pattern in seeds)
            if len(points) > 1 and not is_of_seeds and not place.is_automatic(name):
                curve = Curve(name=name, kind=place.kind, place=place.name, axis=axis, points=points)
                # What the pipeline logged as a whole stands for itself; what we noted of it may have gaps.
                found.setdefault(curve.key, curve)
    return tuple(found.values())


def ends(curves: Iterable[Curve], metrics: Sequence[Metric], directions: Mapping[str, Direction]) -> Iterator[Metric]:
    """The last and the best value of curves as metrics, for rules and verdicts: `val_loss` and `val_loss.best`.

    Args:
        curves: curves of a run.
        metrics: its other metrics; one of the same name stands for itself.
        directions: what the input `report` says of which value is better.
    """
    known = {metric.key for metric in metrics}
    for curve in curves:
        best = curve.best(curve.direction(directions))
        of_curve = {curve.name: curve.points[-1][1], **({f"{curve.name}.best": best[1]} if best else {})}
        for name, value in of_curve.items():
            metric = Metric(name=name, kind=curve.kind, place=curve.place, values=(value,), is_hidden=True)
            if metric.key not in known:
                yield metric


def _curves(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[Point, ...]]]:
    """Name, axis and points; first of what was logged as a whole."""
    noted = {key: value for key, value in metadata.items() if is_curve(key)}
    left = [("", iter([(key, value) for key, value in metadata.items() if key not in noted]))]
    while left:
        prefix, items = left[-1]
        for key, value in items:
            name = f"{prefix}{key}"
            if isinstance(value, dict) and (points := points_of(value)):
                yield name, "", points
            elif isinstance(value, dict):
                left.append((f"{name}.", iter(value.items())))
                break
            elif isinstance(value, list):
                yield from _of_list(name, value)
        else:
            left.pop()
    for key, value in noted.items():
        if isinstance(value, dict):
            name, axis = parse(key)
            yield name, axis, _with_last(points_of(value), metadata.get(name), metadata.get(axis))


def _with_last(points: tuple[Point, ...], value: Any, when: Any) -> tuple[Point, ...]:
    """With the value that was logged last: of a long training, not each is kept."""
    last, at = number_of(value), number_of(when)
    if not points or last is None or last == points[-1][1]:
        return points
    (before, _), (end, _) = points[-2:]
    return (*points, (at if at is not None and at > end else 2 * end - before, last))


def _of_list(name: str, values: list[Any]) -> Iterator[tuple[str, str, tuple[Point, ...]]]:
    if values and all(isinstance(entry, dict) for entry in values):
        yield from _of_history(name, values)
        return
    numbers = [number_of(value, is_nested=True) for value in values if not isinstance(value, str)]
    if len(numbers) == len(values) and None not in numbers:
        yield name, "", tuple((float(at), number) for at, number in enumerate(numbers, 1) if number is not None)


def _of_history(name: str, entries: list[dict[str, Any]]) -> Iterator[tuple[str, str, tuple[Point, ...]]]:
    axis = next((one for one in reversed(AXES) if sum(one in entry for entry in entries) > 1), "")
    points: dict[str, list[Point]] = {}
    for at, entry in enumerate(entries, 1):
        when = number_of(entry.get(axis)) if axis else float(at)
        for key, value in entry.items():
            number = None if key in AXES or isinstance(value, str) else number_of(value, is_nested=True)
            if number is not None and when is not None and math.isfinite(when):
                points.setdefault(key, []).append((when, number))
    for key, found in points.items():
        yield f"{name}.{key}", axis, tuple(sorted(found, key=lambda point: point[0]))
