"""`doctor`: looks at everything, whatever is wrong with one thing, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.doctor import here, lightning, zenml
from lightning_zenml.cli.doctor.finding import Finding, Result, looked, skipped
from lightning_zenml.cli.errors import ExitCode
from lightning_zenml.cli.output import Output
from lightning_zenml.launch.lightning.client import DEFAULT_URL


def doctor(connection: Connection, output: Output, *, machines: Sequence[str]) -> ExitCode:
    """Looks at all that a launch needs.

    Args:
        connection: ZenML and the teamspace.
        output: where it is told, each as soon as it is known.
        machines: names of machines to look for; none: the usual ones.

    Returns:
        `FAILED` where something is wrong.
    """
    findings: list[Finding] = []
    for finding in _look(connection, machines):
        findings.append(finding)
        if not output.is_json:
            output.row(finding.result, f"{finding.check}: {finding.told}")
    if output.is_json:
        output.json(findings)
    return ExitCode.FAILED if any(finding.result is Result.WRONG for finding in findings) else ExitCode.OK


def _look(connection: Connection, machines: Sequence[str]) -> Iterator[Finding]:
    yield from here.program()
    of_server = list(looked("ZenML server", partial(zenml.server, connection)))
    yield from of_server
    if any(finding.result is Result.WRONG for finding in of_server):
        yield skipped("ZenML stack", "not without the server")
    else:
        yield from looked("ZenML key", partial(zenml.key, connection))
        of_stack = list(looked("ZenML stack", partial(zenml.stack, connection)))
        yield from of_stack
        if not any(finding.result is Result.WRONG for finding in of_stack):
            yield from looked("artifact store", partial(zenml.artifact_store, connection))
    of_teamspace = list(looked("Lightning key", partial(lightning.teamspace, connection)))
    yield from (finding for finding in of_teamspace if finding.told not in {one.told for one in of_server})
    if any(finding.result is Result.WRONG for finding in of_teamspace):
        yield skipped("machines", "not without key and teamspace")
    else:
        yield from looked("machines", partial(lightning.machines, connection, machines))
    yield from here.github(os.environ, Path.cwd())
    yield from here.clock([connection.login.url, os.environ.get("LIGHTNING_CLOUD_URL") or DEFAULT_URL])
