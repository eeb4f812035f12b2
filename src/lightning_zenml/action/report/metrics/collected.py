"""The numbers that a pipeline logged with `log_metadata`: for a run, a step, a version of an artifact or of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from lightning_zenml.zenml_api.curves import is_curve, points_of
from lightning_zenml.zenml_api.models import OWN_METADATA, Artifact, Run, Step

_COUNTERS = frozenset({"epoch", "step", "global_step"})
"""What trainers log beside their results."""
_LONGEST_NUMBER = 40
"""Characters of a text that may be a number."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a pipeline logged.

    Args:
        name: name as logged; of nested metadata the path, with dots.
        kind: what the metric was logged for: `run`, `step`, `artifact` or `model`.
        place: name of the step, artifact or model; empty for a run.
        values: the number, or one for each seed; NaN and the infinities are results, too: a training that diverged.
        is_hidden: whether it is shown only where it is named: what a materializer found out, what is part of a curve,
            what only counts how far a training has come.
        is_certain: whether it was stored as a number. ZenML has text where a client sent that, e.g. for a number of
            another library, and null where it sent NaN or an infinity within a mapping.
    """

    name: str
    kind: str
    place: str
    values: tuple[float, ...]
    is_hidden: bool = False
    is_certain: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other metrics of its run."""
        return self.kind, self.place, self.name

    @property
    def source(self) -> str:
        """What it was logged for, in words."""
        return f"{self.kind} {self.place}".strip()

    def matches(self, pattern: str) -> bool:
        """Whether a pattern of the input `report` stands for it."""
        return is_meant(pattern, self.name, self.place)


def is_meant(pattern: str, name: str, place: str) -> bool:
    """Whether a pattern of the input `report` stands for what was logged under that name, for that place."""
    return any(pattern == written or fnmatchcase(written, pattern) for written in (name, f"{place}.{name}"))


@dataclass(frozen=True, kw_only=True)
class Place:
    """What metadata was logged for.

    Args:
        kind: `run`, `step`, `artifact` or `model`.
        name: name of the step, artifact or model; empty for a run.
        metadata: the metadata.
    """

    kind: str
    name: str
    metadata: Mapping[str, Any]

    def is_automatic(self, name: str) -> bool:
        """Whether the artifact's materializer found it out, and nobody logged it."""
        return self.kind == "artifact" and name.split(".")[0] in _OF_MATERIALIZERS


def places_of(
    run: Run, steps: Iterable[Step], artifacts: Iterable[Artifact], models: Mapping[str, Mapping[str, Any]]
) -> tuple[Place, ...]:
    """All that a run may have logged something for.

    Args:
        run: the run.
        steps: steps of the run.
        artifacts: artifacts that the run made.
        models: metadata of model versions by name of the model.
    """
    return (
        Place(kind="run", name="", metadata=_logged(run.metadata)),
        *(Place(kind="model", name=name, metadata=metadata) for name, metadata in models.items()),
        *(Place(kind="step", name=step.name, metadata=_logged(step.metadata)) for step in steps),
        *(Place(kind="artifact", name=artifact.name, metadata=artifact.metadata) for artifact in artifacts),
    )


def _logged(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key not in OWN_METADATA}


def collect(places: Iterable[Place], *, seeds: Sequence[str] = ()) -> tuple[Metric, ...]:
    """Finds the numbers in what a run logged.

    Args:
        places: what was logged, by what it was logged for.
        seeds: patterns of lists that hold a number for each seed.
    """
    found: dict[tuple[str, str, str], Metric] = {}
    for place in places:
        for name, value, is_nested, is_of_curve in _leaves(place.metadata):
            has_seeds = isinstance(value, list) and any(is_meant(pattern, name, place.name) for pattern in seeds)
            numbers = [_number(one, is_nested=is_nested or has_seeds) for one in (value if has_seeds else [value])]
            values = tuple(number for number in numbers if number is not None)
            if not values or len(values) < len(numbers):
                continue
            metric = Metric(
                name=name,
                kind=place.kind,
                place=place.name,
                values=values,
                is_hidden=is_of_curve or place.is_automatic(name) or _is_counter(name),
                is_certain=not isinstance(value, str) and value is not None,
            )
            # A step that runs twice may make the same artifact twice: the last value counts.
            found[metric.key] = metric
    return tuple(found.values())


# What ZenML 0.98's own materializers say of an artifact (`extract_metadata` in zenml/materializers and
# zenml/integrations): properties of data, not results.
_OF_MATERIALIZERS = frozenset(
    {"storage_size", "length", "shape", "dtype", "mean", "std", "min", "max", "nnz", "width", "height"}
    | {"num_layers", "num_params", "num_trainable_params", "num_samples", "num_batches", "batch_size"}
)


def _leaves(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool, bool]]:
    """Names, values, whether they are nested, and in a curve: those of mappings too, however deep they lie."""
    left = [("", iter([(key, value) for key, value in metadata.items() if not is_curve(key)]), False)]
    while left:
        prefix, items, is_of_curve = left[-1]
        for key, value in items:
            if isinstance(value, dict):
                left.append((f"{prefix}{key}.", iter(value.items()), bool(points_of(value))))
                break
            yield f"{prefix}{key}", value, bool(prefix), is_of_curve
        else:
            left.pop()


def _is_counter(name: str) -> bool:
    return re.split(r"[./]", name)[-1].lower() in _COUNTERS


def _number(value: object, *, is_nested: bool) -> float | None:
    if isinstance(value, bool):
        return None
    if value is None:
        return math.nan if is_nested else None
    if isinstance(value, str):
        try:
            return float(value) if len(value) <= _LONGEST_NUMBER else None
        except ValueError:
            return None
    return value if isinstance(value, int | float) and _is_float(value) else None


def _is_float(value: float) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True
