"""`sweep`: lists what is left, and ends it where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.errors import ExitCode
from lightning_zenml.cli.output import Output
from lightning_zenml.cli.sweep.jobs import Jobs
from lightning_zenml.cli.sweep.leftover import Candidate, Leftover, Verdict
from lightning_zenml.cli.sweep.schedules import Schedules
from lightning_zenml.cli.sweep.studios import Studios
from lightning_zenml.launch.errors import LaunchError


def sweep(connection: Connection, output: Output, *, ends: bool, lists_all: bool) -> ExitCode:
    """Looks through the teamspace.

    Args:
        connection: ZenML and the teamspace.
        output: where the list goes.
        ends: whether to end what is left, rather than only list it.
        lists_all: whether to list what is in use, too.

    Returns:
        `FAILED` where something that is left could not be ended.

    Raises:
        LaunchError: if Lightning can't be asked; nothing is ended then.
        ZenMLServerError: if the ZenML server can't be asked; nothing is ended then.
    """
    # All is judged before anything is ended.
    candidates = list(_candidates(connection))
    found = [_ended(candidate, output) if ends else candidate.leftover for candidate in candidates]
    listed = [leftover for leftover in found if lists_all or leftover.verdict is not Verdict.IN_USE]
    if output.is_json:
        output.json(listed)
    else:
        _tell(connection, output, listed, ends=ends)
    return ExitCode.FAILED if any(leftover.verdict is Verdict.STAYS for leftover in found) else ExitCode.OK


def _candidates(connection: Connection) -> Iterator[Candidate]:
    lightning, zenml = connection.lightning, connection.zenml
    # Another teamspace than the stack's has none of its orchestrator's schedules.
    orchestrator_id = connection.stack.orchestrator_id if connection.is_of_stack else ""
    schedules = Schedules(lightning, connection.finder, orchestrator_id)
    # Jobs first: a studio that is deleted takes none of them along.
    yield from Jobs(lightning, zenml, schedules.names).look()
    yield from schedules.look()
    yield from Studios(lightning, zenml, schedules.names).look()


def _ended(candidate: Candidate, output: Output) -> Leftover:
    leftover = candidate.leftover
    if candidate.end is None:
        return leftover
    try:
        candidate.end()
    except LaunchError as error:
        output.error(f"The {leftover.kind} {leftover.name} stays: {error}")
        return replace(leftover, verdict=Verdict.STAYS)
    return replace(leftover, verdict=Verdict.ENDED)


def _tell(connection: Connection, output: Output, listed: list[Leftover], *, ends: bool) -> None:
    lightning = connection.lightning
    teamspace = f"{lightning.owner}/{lightning.teamspace}"
    if not listed:
        output.line(f"Nothing is left in {teamspace}.")
        return
    rows = [[one.verdict, one.kind, one.name, one.action, one.why] for one in listed]
    output.table(["", "kind", "name", "to do", "why"], rows)
    if not ends and (count := sum(one.verdict is Verdict.LEFT for one in listed)):
        output.line(f"\nNothing was touched. `lightning-zenml sweep --yes` ends what is left in {teamspace}: {count}.")
    if any(one.verdict is Verdict.UNSURE for one in listed):
        output.line("What is unsure is never touched: look at it on Lightning AI.")
        for one in listed:
            if one.verdict is Verdict.UNSURE and one.url:
                output.line(f"  {one.url}")
