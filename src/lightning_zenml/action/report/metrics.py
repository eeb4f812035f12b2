"""Metrics: the numbers that a pipeline logged to ZenML, beside those of the base branch.

`log_metadata` takes them for a run, a step, a version of an artifact or of a model. The input `report` says what is
better when it is higher, and what is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from lightning_zenml.action.report import MetricReport, Verdict
from lightning_zenml.action.report.directions import Direction, direction_by_name
from lightning_zenml.zenml_api.models import OWN_METADATA, Artifact, Run, Step

_MOST_METRICS = 500
_LONGEST_NUMBER = 40
"""Characters of a text that may be a number."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """The input `report`.

    Patterns are those of a shell (`val_*`) and stand for a metric's name, or place and name (`train.loss`).

    Args:
        directions: which value is better, by pattern of metrics; the first that matches counts.
        exclude: patterns of metrics that are not shown, unless `directions` names them.
        base: name of the branch to compare with; None: the pull request's base, else the default branch.
    """

    directions: Mapping[str, Direction] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    base: str | None = None

    @classmethod
    def from_yaml(cls, value: Mapping[str, Any]) -> tuple[ReportSettings, list[str]]:
        """Reads the parsed input.

        Args:
            value: mapping with the keys `metrics`, `exclude` and `base`.

        Returns:
            The settings, and what is wrong with the input, each in words for the user.
        """
        problems = [_unknown_key(key) for key in value if key not in ("metrics", "exclude", "base")]
        metrics, exclude, base = value.get("metrics"), value.get("exclude"), value.get("base")
        directions: dict[str, Direction] = {}
        if isinstance(metrics, dict):
            for pattern, direction in metrics.items():
                if direction in tuple(Direction):
                    directions[str(pattern)] = Direction(direction)
                else:
                    problems.append(f"`metrics: {pattern}: {direction}` is not allowed: must be {_DIRECTIONS}")
        elif metrics is not None:
            problems.append(f"`metrics` must be a mapping of metric names to {_DIRECTIONS}")
        patterns = [exclude] if isinstance(exclude, str) else exclude or []
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            problems.append('`exclude` must be a list of metric names, e.g. `["*_seconds"]`')
            patterns = []
        if base is not None and not (isinstance(base, str) and base.strip()):
            problems.append("`base` must be the name of a branch")
            base = None
        return cls(directions=directions, exclude=tuple(patterns), base=base), problems


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a pipeline logged.

    Args:
        name: name as logged; of nested metadata the path, with dots.
        kind: what the metric was logged for: `run`, `step`, `artifact` or `model`.
        place: name of the step, artifact or model; empty for a run.
        value: the number; NaN and the infinities are results, too: a training that diverged.
        is_automatic: whether the artifact's materializer found it out, and nobody logged it.
        is_certain: whether it was stored as a number. ZenML has text where a client sent that, e.g. for a number of
            another library, and null where it sent NaN or an infinity within a mapping.
    """

    name: str
    kind: str
    place: str
    value: float
    is_automatic: bool = False
    is_certain: bool = True

    def matches(self, pattern: str) -> bool:
        """Whether a pattern of the input `report` stands for it."""
        return fnmatchcase(self.name, pattern) or fnmatchcase(f"{self.place}.{self.name}", pattern)


def collect(
    run: Run, steps: Iterable[Step], artifacts: Iterable[Artifact], models: Mapping[str, Mapping[str, Any]]
) -> tuple[Metric, ...]:
    """Finds the numbers in what a run logged.

    Args:
        run: run that has logged them.
        steps: steps of the run.
        artifacts: artifacts that the run made.
        models: metadata of model versions by name of the model.
    """
    logged = {key: value for key, value in run.metadata.items() if key not in OWN_METADATA}
    found = [
        Metric(name=name, kind="run", place="", value=value, is_certain=certain)
        for name, value, certain in _numbers(logged)
    ]
    for kind, places in (
        ("model", models.items()),
        ("step", ((step.name, step.metadata) for step in steps)),
        ("artifact", ((artifact.name, artifact.metadata) for artifact in artifacts)),
    ):
        for place, metadata in places:
            found += [
                Metric(
                    name=name,
                    kind=kind,
                    place=place,
                    value=value,
                    is_automatic=kind == "artifact" and name.split(".")[0] in _OF_MATERIALIZERS,
                    is_certain=certain,
                )
                for name, value, certain in _numbers(metadata)
            ]
    # A step that runs twice may make the same artifact twice: the last value counts.
    return tuple({(metric.kind, metric.place, metric.name): metric for metric in found}.values())


def compare(
    metrics: Sequence[Metric], base: Sequence[Metric] | None, settings: ReportSettings
) -> tuple[MetricReport, ...]:
    """Sets metrics beside those of the base branch.

    Args:
        metrics: metrics of this run.
        base: metrics of the base branch's run; None: there is no such run.
        settings: the input `report`: what is better, what is left out.

    Returns:
        First what the settings name, in their order, then what is judged by its name, then the rest.
    """
    rows: list[tuple[int, MetricReport]] = []
    order = list(settings.directions)
    counterparts = _Counterparts(metrics, base or ())
    for metric in metrics:
        named = next((pattern for pattern in order if metric.matches(pattern)), None)
        if named is None and (metric.is_automatic or any(map(metric.matches, settings.exclude))):
            continue
        direction = settings.directions[named] if named is not None else direction_by_name(metric.name)
        if named is None and direction is Direction.NEUTRAL and not metric.is_certain:
            # A version or an id, say.
            continue
        before = counterparts.of(metric)
        rank = order.index(named) if named is not None else len(order) + (direction is Direction.NEUTRAL)
        row = MetricReport(
            name=metric.name,
            source=f"{metric.kind} {metric.place}".strip(),
            value=metric.value,
            base=before,
            verdict=_verdict(metric.value, before, direction),
        )
        rows.append((rank, row))
    return tuple(row for _, row in sorted(rows, key=lambda ranked: ranked[0]))[:_MOST_METRICS]


_DIRECTIONS = "`higher`, `lower` or `neutral`"
# What ZenML 0.98's own materializers say of an artifact (`extract_metadata` in zenml/materializers and
# zenml/integrations): properties of data, not results.
_OF_MATERIALIZERS = frozenset(
    {"storage_size", "length", "shape", "dtype", "mean", "std", "min", "max", "nnz", "width", "height"}
    | {"num_layers", "num_params", "num_trainable_params", "num_samples", "num_batches", "batch_size"}
)


def _numbers(metadata: Mapping[str, Any]) -> Iterator[tuple[str, float, bool]]:
    """Names, numbers, and whether they were stored as such; however deep they lie, as nobody bounds that."""
    left = [("", iter(metadata.items()))]
    while left:
        prefix, items = left[-1]
        for key, value in items:
            if isinstance(value, dict):
                left.append((f"{prefix}{key}.", iter(value.items())))
                break
            number = _number(value, nested=bool(prefix))
            if number is not None:
                yield f"{prefix}{key}", number, isinstance(value, int | float)
        else:
            left.pop()


def _number(value: object, *, nested: bool) -> float | None:
    if isinstance(value, bool):
        return None
    if value is None:
        return math.nan if nested else None
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


class _Counterparts:
    """Finds a metric of this run in the base branch's, also where its step has another name by now."""

    def __init__(self, metrics: Sequence[Metric], base: Sequence[Metric]) -> None:
        self._base = {(metric.kind, metric.place, metric.name): metric.value for metric in base}
        once = Counter(metric.name for metric in metrics)
        once_in_base = Counter(metric.name for metric in base)
        self._by_name = {
            metric.name: metric.value for metric in base if once[metric.name] == once_in_base[metric.name] == 1
        }

    def of(self, metric: Metric) -> float | None:
        key = (metric.kind, metric.place, metric.name)
        return self._base.get(key, self._by_name.get(metric.name))


def _verdict(value: float, base: float | None, direction: Direction) -> Verdict | None:
    if base is None or direction is Direction.NEUTRAL:
        return None
    if math.isfinite(value) != math.isfinite(base):
        # A training that diverged, or does no longer.
        return Verdict.BETTER if math.isfinite(value) else Verdict.WORSE
    if value == base or not math.isfinite(value):
        return Verdict.SAME
    return Verdict.BETTER if (value > base) == (direction is Direction.HIGHER) else Verdict.WORSE


def _unknown_key(key: Any) -> str:
    keys = ("metrics", "exclude", "base")
    near = get_close_matches(str(key), keys, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"has no key `{key}`: must be " + ", ".join(f"`{name}`" for name in keys[:-1]) + f" or `{keys[-1]}`.{hint}"
