"""What a step's process is told on its stdin, in one line of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from lightning_zenml.launch.payload.records import Record


@dataclass(frozen=True, kw_only=True)
class Task(Record):
    """A step to run.

    Args:
        arguments: arguments of ZenML's entrypoint, from `lightning_zenml.orchestrator.steps.entrypoint.arguments_of`.
        environment: variables of the process, all of them; None: those that it has.
        directory: folder that the process runs in; '': the one that it is in.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str] | None = None
    directory: str = ""

    @classmethod
    def read(cls, line: str) -> Self:
        """Reads what `str` gives.

        Args:
            line: JSON.
        """
        return cls.from_json(json.loads(line))

    def __str__(self) -> str:
        return json.dumps(self.to_json())
