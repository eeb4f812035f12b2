"""Finds the logs that a step has written below the folder where it runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, auto
from pathlib import Path

MOST_FILES = 20
_MOST_ENTRIES = 20_000
"""Names that are looked at: a data set may lie there, too."""
_DEEPEST = 8
_SECONDS = 3.0
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "wandb"})
_SLACK = 0.05
"""Seconds by which a file system's clock is late: it ticks slowly. The step before may just have ended."""


class Kind(IntEnum):
    """Kinds of logs, those first that say most of what their numbers are counted by."""

    CSV = auto()
    TRAINER_STATE = auto()
    EVENTS = auto()


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """A log.

    Args:
        kind: what it is.
        path: the file.
        folder: folder that tells it from others of its kind.
    """

    kind: Kind
    path: Path
    folder: Path


def find(root: Path, since: float) -> list[LogFile]:
    """Finds logs; of what would take long to find, a part.

    Args:
        root: folder below which they lie. Links are not followed.
        since: seconds since 1970 before which nothing counts that has not been written to again.

    Returns:
        The logs, by kind and then in the order in which they were written, the newest that there is room for.
    """
    found: dict[tuple[Kind, Path], tuple[float, LogFile]] = {}
    for entry in _files(root):
        if (kind := _kind(entry.name)) is None:
            continue
        try:
            written = entry.stat(follow_symlinks=False).st_mtime
        except OSError:
            continue
        log = LogFile(kind=kind, path=Path(entry.path), folder=_folder(kind, Path(entry.path)))
        # Each checkpoint has the whole history so far. Events of one writer may go on in another file.
        key = (kind, log.path if kind is Kind.EVENTS else log.folder)
        if written >= since - _SLACK and (key not in found or found[key][0] <= written):
            found[key] = (written, log)
    newest = sorted(found.values(), key=lambda one: one[0])[-MOST_FILES:]
    return [log for _, log in sorted(newest, key=lambda one: (one[1].kind, one[0]))]


def _kind(name: str) -> Kind | None:
    if name == "metrics.csv":
        return Kind.CSV
    if name == "trainer_state.json":
        return Kind.TRAINER_STATE
    return Kind.EVENTS if ".tfevents." in name and not name.endswith(".profile-empty") else None


def _folder(kind: Kind, path: Path) -> Path:
    is_checkpoint = kind is Kind.TRAINER_STATE and re.fullmatch(r"checkpoint-\d+", path.parent.name)
    return path.parent.parent if is_checkpoint else path.parent


def _files(root: Path) -> Iterator[os.DirEntry[str]]:
    """Files, those of a folder before those below it."""
    deadline, entries = time.monotonic() + _SECONDS, 0
    folders = [(str(root), 0)]
    while folders:
        folder, depth = folders.pop(0)
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    entries += 1
                    if entries > _MOST_ENTRIES or time.monotonic() > deadline:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and not entry.name.startswith(".") and entry.name not in _SKIPPED:
                            folders.append((entry.path, depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        yield entry
        except OSError:
            # Gone meanwhile, or not to be read by us.
            continue
