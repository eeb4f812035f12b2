"""Numbers that a step logged again and again, in its metadata: how that is written, and read.

ZenML keeps every value that `log_metadata` is given, but its REST API gives out the last one of each name only, and of
mappings of one name all entries (`resolve_metadata_collection` in `zenml/zen_stores/schemas/utils.py`, 0.98). So our
steps log a number that comes again also as a mapping, which gets an entry each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PREFIX = "lightning_curve"
AXES = ("global_step", "step", "iteration", "epoch")
"""Names that say when the numbers beside them were logged, the finest first."""


def key_of(name: str, axis: str) -> str:
    """Name of the metadata with a curve.

    Args:
        name: name of the number, that of nested metadata with dots.
        axis: what its values are counted by, one of `AXES`; '' for the times that it was logged.
    """
    return f"{_PREFIX}.{axis}.{name}"


def is_curve(key: str) -> bool:
    """Whether a metadata's name is that of a curve."""
    return key.startswith(f"{_PREFIX}.")


def parse(key: str) -> tuple[str, str]:
    """Gets back name and axis of what `key_of` gave."""
    _, axis, name = key.split(".", 2)
    return name, axis


def points_of(mapping: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    """Gets the curve that a mapping of numbers by epoch or step is.

    Args:
        mapping: names that may be numbers, with values that may be some.

    Returns:
        Pairs of when and value, by time; none where it is no curve.
    """
    points = []
    for key, value in mapping.items():
        when, number = number_of(key), number_of(value, is_nested=True)
        if when is None or number is None or not math.isfinite(when):
            return ()
        points.append((when, number))
    return tuple(sorted(points, key=lambda point: point[0])) if len(points) > 1 else ()


def number_of(value: object, *, is_nested: bool = False) -> float | None:
    """Gets the number that a value of metadata is.

    Args:
        value: value as ZenML gives it out.
        is_nested: whether it stands in a list or mapping, where ZenML has null for NaN and infinities.

    Returns:
        The number; None where it is none.
    """
    if value is None:
        return math.nan if is_nested else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
