"""`doctor`: looks at everything, whatever is wrong with one thing, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.doctor import here, lightning, studio, zenml
from lightning_zenml.cli.doctor.finding import Finding, Result, looked, skipped
from lightning_zenml.cli.doctor.from_studio import STUDIO
from lightning_zenml.cli.errors import ExitCode
from lightning_zenml.cli.output import Output
from lightning_zenml.launch.lightning.client import DEFAULT_URL


def doctor(
    connection: Connection, output: Output, *, machines: Sequence[str], from_studio: bool = False, yes: bool = False
) -> ExitCode:
    """Looks at all that a launch needs.

    Args:
        connection: ZenML and the teamspace.
        output: where it is told, each as soon as it is known.
        machines: names of machines to look for; none: the usual ones.
        from_studio: whether to look from a studio, too, which costs.
        yes: whether the user has agreed to that before.

    Returns:
        `FAILED` where something is wrong.
    """
    findings: list[Finding] = []

    def told(found: Iterable[Finding]) -> None:
        for finding in found:
            findings.append(finding)
            if not output.is_json:
                output.row(finding.result, f"{finding.check}: {finding.told}")

    told(_look(connection, machines))
    if from_studio:
        told(_look_from_studio(connection, output, yes=yes, is_well=not _wrong(findings)))
    if output.is_json:
        output.json(findings)
    return ExitCode.FAILED if _wrong(findings) else ExitCode.OK


def _wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.result is Result.WRONG for finding in findings)


def _look_from_studio(connection: Connection, output: Output, *, yes: bool, is_well: bool) -> Iterator[Finding]:
    """Only once all is well from here: what a run would not get without a studio, it would not get with one."""
    if not is_well:
        yield skipped(STUDIO, "not started: first what is wrong above")
    elif studio.agreed(connection, output, yes=yes):
        yield from looked(STUDIO, partial(studio.look, connection, output))
    else:
        yield skipped(STUDIO, "not started")


def _look(connection: Connection, machines: Sequence[str]) -> Iterator[Finding]:
    yield from here.program()
    of_server = list(looked("ZenML server", partial(zenml.server, connection)))
    if _wrong(of_server):
        # A Lightning key that is missing, too, is told with the server, and again below.
        del of_server[1:]
    yield from of_server
    if _wrong(of_server):
        yield skipped("ZenML stack", "not without the server")
    else:
        yield from looked("ZenML key", partial(zenml.key, connection))
        of_stack = list(looked("ZenML stack", partial(zenml.stack, connection)))
        yield from of_stack
        if not _wrong(of_stack):
            yield from looked("artifact store", partial(zenml.artifact_store, connection))
    of_teamspace = list(looked("Lightning key", partial(lightning.teamspace, connection)))
    yield from (finding for finding in of_teamspace if finding.told not in {one.told for one in of_server})
    if _wrong(of_teamspace):
        yield skipped("machines", "not without key and teamspace")
    else:
        yield from looked("role", partial(lightning.standing, connection))
        yield from looked("machines", partial(lightning.machines, connection, machines))
    yield from here.github(os.environ, Path.cwd())
    yield from here.clock([connection.login.url, os.environ.get("LIGHTNING_CLOUD_URL") or DEFAULT_URL])
