"""What our orchestrator records of a launch while it works: its ZenML runs and its Lightning jobs, one JSON line each.

Whoever follows the launch reads them; so does whoever ends it, who must know what is left to end. The two may be of
different age (`attach`): unknown fields are ignored, a missing one is an error.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

VERSION = 1
"""Rises when a field gets another meaning; a new field is no reason."""


class RecordError(ValueError):
    """A record that this version can't read. The message names the record and the field."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads a record.

        Args:
            data: JSON object that `to_json` has made, in this version or in another.

        Raises:
            RecordError: if a field is missing, or a newer version has given fields another meaning.
        """
        version = data.get("version", VERSION)
        if version > VERSION:
            raise RecordError(
                f"A {cls.__name__} is of version {version}, and this lightning-zenml reads version {VERSION}. "
                "Use the version that the launch was made with, or a newer one."
            )
        names = [field.name for field in fields(cls)]
        if missing := [f"`{name}`" for name in names if name not in data]:
            raise RecordError(
                f"A {cls.__name__} of the launch has no {', '.join(missing)}: another version of lightning-zenml has "
                "written it. Use the version that the launch was made with."
            )
        return cls(**{name: data[name] for name in names})


@dataclass(frozen=True, kw_only=True)
class RunRecord(_Record):
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
class JobRecord(_Record):
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
        started: seconds since 1970 when the job had its machines; None before.
        ended: seconds since 1970 when the job was over; None before.
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

    @property
    def cost(self) -> float | None:
        """US dollars that the job has cost so far; None where its price isn't known."""
        if self.started is None:
            return 0.0
        if self.price is None:
            return None
        return self.price * self.num_machines * ((self.ended or time.time()) - self.started) / 3600


R = TypeVar("R", bound=_Record)


def append(path: Path, record: _Record) -> None:
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
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        # Whoever wrote it may have been killed over half a line.
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return list(map(kind.from_json, records))
