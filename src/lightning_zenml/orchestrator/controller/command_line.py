"""The command line of the controller's program: the client writes it, the program reads it, before it imports ZenML."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from lightning_zenml.orchestrator.start import Start

PROGRAM = "lightning_zenml.orchestrator.controller"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the program is told.

    Args:
        snapshot_id: id of the compiled pipeline in ZenML.
        run_id: id of the pipeline's run in ZenML.
        start: where the pipeline was started.
        fork_steps: what the fork server of the steps imports beside ZenML, where there is one from the start.
    """

    snapshot_id: UUID
    run_id: UUID
    start: Start = field(default_factory=Start)
    fork_steps: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> Options:
        """Reads what `arguments` gives; ends the program where it can't.

        Args:
            arguments: command line without the program; None: that of this process.
        """
        parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}")
        parser.add_argument("--snapshot-id", type=UUID, required=True)
        parser.add_argument("--run-id", type=UUID, required=True)
        parser.add_argument("--start", type=Start.parse, default=Start(), help="where the pipeline was started, JSON")
        parser.add_argument("--fork-steps", nargs="*", metavar="MODULE", help="start a fork server that imports these")
        options = parser.parse_args(arguments)
        modules = None if options.fork_steps is None else tuple(options.fork_steps)
        return cls(snapshot_id=options.snapshot_id, run_id=options.run_id, start=options.start, fork_steps=modules)

    def arguments(self) -> list[str]:
        """The command line without the program."""
        words = ["--snapshot-id", str(self.snapshot_id), "--run-id", str(self.run_id), "--start", str(self.start)]
        return words if self.fork_steps is None else [*words, "--fork-steps", *self.fork_steps]
