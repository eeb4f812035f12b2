"""Reads logs that have a row for each time: Lightning's CSVLogger and Hugging Face's Trainer."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightning_zenml.zenml_api.curves import AXES, number_of

LARGEST = 32 * 1024 * 1024
"""Bytes of a file."""
_MOST_ROWS = 200_000
_OF_SPEED = ("_runtime", "_per_second", "total_flos")
"""How the names end of what tells of the machine, not of the model."""

Points = dict[float, float]
"""Values by when they were logged."""
Series = dict[tuple[str, str], Points]
"""Points by the number's name and by what they are counted by, as in `zenml_api.curves`."""


def of_csv(path: Path) -> Series:
    """Reads a `metrics.csv` with a column `step` or `epoch`, in which each row has some of the numbers.

    Args:
        path: the file.

    Returns:
        Its curves; none where it is no such file.

    Raises:
        OSError: if it can't be read.
    """
    if path.stat().st_size > LARGEST:
        return {}
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            if not set(reader.fieldnames or ()) & set(AXES):
                return {}
            return _of_rows(itertools.islice(reader, _MOST_ROWS))
    except csv.Error:
        return {}


def of_trainer_state(path: Path) -> Series:
    """Reads the `log_history` of a `trainer_state.json`.

    Args:
        path: the file.

    Returns:
        Its curves; none where it is no such file.

    Raises:
        OSError: if it can't be read.
    """
    if path.stat().st_size > LARGEST:
        return {}
    try:
        state = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError):
        # One that is just being written, too.
        return {}
    history = state.get("log_history") if isinstance(state, dict) else None
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    return _of_rows(rows[:_MOST_ROWS])


def _of_rows(rows: Iterable[Mapping[str, object]]) -> Series:
    """Curves by epoch where an epoch has one value of a number at most, else by the finest that there is."""
    found: dict[str, list[tuple[dict[str, float], float]]] = {}
    for row in rows:
        when = {axis: number for axis in AXES if (number := _finite(row.get(axis))) is not None}
        for name, value in row.items():
            number = None if name in AXES or not isinstance(name, str) or value == "" else number_of(value)
            if when and number is not None and not name.endswith(_OF_SPEED):
                found.setdefault(name, []).append((when, number))
    series: Series = {}
    for name, values in found.items():
        epochs = [when.get("epoch") for when, _ in values]
        by_epoch = None not in epochs and len(set(epochs)) == len(epochs)
        axis = "epoch" if by_epoch else next((one for one in AXES if all(one in when for when, _ in values)), "")
        if axis:
            series[name, axis] = {when[axis]: value for when, value in values}
    return series


def _finite(value: object) -> float | None:
    number = number_of(value)
    return number if number is not None and math.isfinite(number) else None
