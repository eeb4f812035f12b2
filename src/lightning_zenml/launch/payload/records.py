"""What crosses a process as JSON, and what our orchestrator records of a launch: its ZenML runs and Lightning jobs.

Whoever follows the launch reads these, one JSON line each; so does whoever ends it, who must know what is left to end.
The two may be of different age (`attach`): unknown fields are ignored, a missing one is an error.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

VERSION = 1
"""Rises when a field gets another meaning; a new field is no reason."""


class RecordError(ValueError):
    """A record that this version can't read. The message names the record and the field."""


@dataclass(frozen=True)
class Record:
    """What one process writes as a JSON object and another one reads."""

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Reads a record. Unknown fields are ignored, missing ones that have a default have that.

        Args:
            data: JSON object that `to_json` has made, in this version or in another.

        Raises:
            RecordError: if it is no JSON object, a field is missing or has a word that this version doesn't know, or
                a newer version has given fields another meaning.
        """
        if not isinstance(data, Mapping):
            raise RecordError(f"A {cls.__name__} is no JSON object: {str(data)[:200]}")
        version = data.get("version", VERSION)
        if version > VERSION:
            raise RecordError(
                f"A {cls.__name__} is of version {version}, and this lightning-zenml reads version {VERSION}. "
                "Use the version that the launch was made with, or a newer one."
            )
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [f"`{name}`" for name in needed if name not in data]:
            raise RecordError(
                f"A {cls.__name__} of the launch has no {', '.join(missing)}: another version of lightning-zenml has "
                "written it. Use the version that the launch was made with."
            )
        kinds = get_type_hints(cls)
        given = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        return cls(**{name: _read(value, kinds[name], f"{cls.__name__}.{name}") for name, value in given.items()})


def _read(value: Any, kind: Any, name: str) -> Any:
    """What JSON has of a field, as its type: a record, words of an enumeration, a tuple of them, or just as it is."""
    if isinstance(kind, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
        return None if value is None else _read(value, kind, name)
    if get_origin(kind) is tuple:
        return tuple(_read(one, get_args(kind)[0], name) for one in value)
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_json(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise RecordError(f"`{name}` is '{value}', which this version of lightning-zenml doesn't know.") from None
    return value


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """A ZenML run that our orchestrator has begun.

    Args:
        run_id: id of the run in ZenML.
        run_name: name of the run.
        pipeline: name of the run's pipeline.
        run_url: page of the run on ZenML's dashboard; None where the server has no dashboard.
        orchestrator_url: page of the studio on Lightning AI.
    """

    run_id: str
    run_name: str
    pipeline: str
    run_url: str | None
    orchestrator_url: str


@dataclass(frozen=True, kw_only=True)
class JobRecord(Record):
    """A Lightning job that a step runs as; recorded anew whenever something has changed.

    Args:
        token: tells the job from all others, before it has a name.
        step: name of the step's invocation; `(snapshot)` for the job that only takes a snapshot.
        attempt: counts the jobs of this step, from 1.
        run_id: id of the step's run in ZenML.
        machine: name of the kind of machine.
        num_machines: number of such machines that the job has.
        price: US dollars an hour and machine; None where the catalog doesn't say.
        name: name of the job on Lightning AI; '' before the job is there.
        url: page of the job on Lightning AI; '' before the job is there, and once it is deleted.
        started: seconds since 1970 when the job had its machines; None before, and while it waits for others.
        ended: seconds since 1970 when the job was over; None before.
        earlier: seconds for which it had machines that it has lost, and was started again.
        charged: US dollars that Lightning had told last; it is late with them.
    """

    token: str
    step: str
    attempt: int
    run_id: str
    machine: str
    num_machines: int
    price: float | None
    name: str = ""
    url: str = ""
    started: float | None = None
    ended: float | None = None
    earlier: float = 0.0
    charged: float = 0.0

    @property
    def rate(self) -> float | None:
        """US dollars an hour that the job costs now; None where its price isn't known."""
        if self.started is None or self.ended is not None:
            return 0.0
        return None if self.price is None else self.price * self.num_machines

    @property
    def cost(self) -> float | None:
        """US dollars that the job has cost so far; None where its price isn't known."""
        seconds = self.earlier + (0.0 if self.started is None else (self.ended or time.time()) - self.started)
        if seconds and self.price is None:
            return self.charged or None
        return max((self.price or 0.0) * self.num_machines * seconds / 3600, self.charged)


R = TypeVar("R", bound=Record)


def append(path: Path, record: Record) -> None:
    """Adds a record to a file.

    Args:
        path: file of records of this kind; made if there is none.
        record: record to add.
    """
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(record.to_json()) + "\n")


def read(kind: type[R], path: Path) -> list[R]:
    """Reads the records in a file, oldest first.

    Args:
        kind: `RunRecord` or `JobRecord`.
        path: file of records of this kind; none is as good as an empty one.

    Raises:
        RecordError: if a record can't be read.
    """
    return parse(kind, path.read_text(encoding="utf-8")) if path.exists() else []


def parse(kind: type[R], lines: str) -> list[R]:
    """Reads records in lines of JSON, oldest first.

    Args:
        kind: `RunRecord` or `JobRecord`.
        lines: text of such a file, or of a part of it that ends with a line.

    Raises:
        RecordError: if a record can't be read.
    """
    records = []
    for line in lines.splitlines():
        # Whoever wrote it may have been killed over half a line.
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return list(map(kind.from_json, records))
