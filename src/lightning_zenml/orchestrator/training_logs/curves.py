"""What a step has logged elsewhere than in ZenML, as metadata of the step, as if it had called `log_metadata`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zenml.logger import get_logger

from lightning_zenml.orchestrator.training_logs.events import of_events
from lightning_zenml.orchestrator.training_logs.finding import Kind, LogFile, find
from lightning_zenml.orchestrator.training_logs.mlflow_run import of_mlflow_run
from lightning_zenml.orchestrator.training_logs.rows import Points, Series, of_csv, of_trainer_state
from lightning_zenml.zenml_api.curves import key_of

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

logger = get_logger(__name__)

MOST_POINTS = 200
"""Of a curve, besides its best and its last: a report draws some 60, and everybody who looks at the step reads them."""
MOST_CURVES = 50
_LONGEST_NAME = 100
_SECONDS = 10.0
"""For all files of a step, which waits for it."""
_READERS: Mapping[Kind, Callable[[Path], Series]] = {
    Kind.CSV: of_csv,
    Kind.TRAINER_STATE: of_trainer_state,
    Kind.EVENTS: of_events,
}


def of_logs(start: datetime | None) -> dict[str, MetadataType]:
    """Makes the metadata with the curves that a step has logged elsewhere: where this process is, and in MLflow.

    Args:
        start: when it began (UTC, without a time zone, as ZenML has it); None: that isn't known.

    Returns:
        The metadata; none where there are no logs.
    """
    try:
        logs = find(Path.cwd(), start.replace(tzinfo=UTC).timestamp()) if start else []
        found = curves_of(logs)
        in_files = {name for name, _ in found}
        for (name, axis), points in of_mlflow_run().items():
            if name not in in_files and len(found) < MOST_CURVES:
                found |= _curve(name, axis, points)
        return {key_of(name, axis): _metadata(points) for (name, axis), points in found.items()}
    except Exception as error:
        # The step has ended as it has, whatever lies there.
        logger.debug("The logs that the step has written can't be read: %s", error)
        return {}


def curves_of(logs: Sequence[LogFile]) -> Series:
    """Reads curves; where several logs have one of the same name, each has its folder before it.

    Args:
        logs: the logs, those that count first before others.

    Returns:
        The curves, thinned; of two kinds of logs with a curve of the same name, that of the first.
    """
    found: Series = {}
    deadline = time.monotonic() + _SECONDS
    for kind, read in _READERS.items():
        of_kind = [log for log in logs if log.kind is kind]
        folders = _names([log.folder for log in of_kind])
        of_folders: dict[tuple[str, str, str], Points] = {}
        for log, folder in zip(of_kind, folders, strict=True):
            if time.monotonic() > deadline:
                break
            for (name, axis), points in _read(read, log.path).items():
                of_folders.setdefault((folder, name, axis), {}).update(points)
        of_kinds_before = {name for name, _ in found}
        for (folder, name, axis), points in of_folders.items():
            full = f"{folder}.{name}" if folder else name
            if full not in of_kinds_before:
                found |= _curve(full, axis, points) if len(found) < MOST_CURVES else {}
    return found


def _curve(name: str, axis: str, points: Points) -> Series:
    """A curve, thinned; none where it is too short for one, or its name too long."""
    if len(points) < 2 or len(name) > _LONGEST_NAME:
        return {}
    return {(name, axis): dict(_thinned(points))}


def _read(read: Callable[[Path], Series], path: Path) -> Series:
    try:
        return read(path)
    except OSError as error:
        logger.debug("%s can't be read: %s", path, error)
        return {}


def _names(folders: Sequence[Path]) -> list[str]:
    """What tells folders apart, by which the last part of a path will do mostly; '' where there is but one."""
    if len(set(folders)) < 2:
        return [""] * len(folders)
    for parts in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = [".".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            return names
    return [str(folder) for folder in folders]


def _thinned(points: Points) -> Iterator[tuple[float, float]]:
    """Points at about equal distances, with the last, the lowest and the highest, by time."""
    ordered = sorted(points.items())
    finite = [point for point in ordered if math.isfinite(point[1])]
    kept = set(ordered[:: -(-len(ordered) // MOST_POINTS)]) | {ordered[-1]}
    if finite:
        kept |= {min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])}
    yield from (point for point in ordered if point in kept)


def _metadata(points: Points) -> dict[str, float]:
    return {f"{when:.15g}": value for when, value in points.items()}
