"""`doctor --studio`: what a studio reaches, asked of the smallest one, which is deleted in every ending.

It is a launch like any other, so its studio is given back as those of runs are: by this process, by the watchdog beside
it where that is killed, by the launch's own guardian where both are gone; and it has a timeout.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.doctor.finding import Finding, Result, skipped, wrong
from lightning_zenml.cli.doctor.from_studio import MARK, STUDIO
from lightning_zenml.cli.errors import CliError
from lightning_zenml.cli.output import Output
from lightning_zenml.launch.caller import Caller
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.spec import Failure, KeepStudio, LaunchSpec, Phase, Status
from lightning_zenml.launch.watchdog import Watchdog
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from lightning_zenml.zenml_api.integrations import of_integrations
from lightning_zenml.zenml_api.server import NoTokensError
from lightning_zenml.zenml_api.versions import requirement

_TIMEOUT = 1200.0
"""Seconds that it may take on the studio, installing included."""
_USUAL = 4.0
"""Minutes that it takes most often, for a guess at its cost."""
_MACHINE = "cpu"


def agreed(connection: Connection, output: Output, *, yes: bool) -> bool:
    """Says what a look from a studio costs, and asks whether to begin.

    Args:
        connection: the teamspace.
        output: where it is told.
        yes: whether the user has agreed before.

    Raises:
        CliError: if nobody can be asked.
        LaunchError: if Lightning can't be asked for the machine.
    """
    machine = _machine(connection)
    price = "at a price that isn't known"
    if machine.cost is not None:
        price = f"at ${machine.cost:.2f} an hour, so some ${machine.cost * _USUAL / 60:.2f}"
    output.note(f"This starts a studio on {machine.name} for about {_USUAL:g} minutes, {price}, and deletes it.")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CliError("Nobody can be asked here whether to start it: agree with `--yes`.")
    return click.confirm("Start it?", err=True)


def look(connection: Connection, output: Output) -> Iterator[Finding]:
    """Looks from a studio.

    Args:
        connection: ZenML and the teamspace.
        output: where it is told how the studio comes along.

    Raises:
        LaunchError: if there is no studio to be had, or it can't be released.
        ZenMLServerError: if the ZenML server can't be asked.
    """
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-", ignore_cleanup_errors=True) as folder:
        spec = _spec(connection, Path(folder))
        told, status = _asked(connection, output, spec, Path(folder))
    yield from told
    if status.failure is not None:
        yield _of_failure(status.failure)
    elif not told:
        yield skipped(STUDIO, "It was released before it had told anything")


def _asked(connection: Connection, output: Output, spec: LaunchSpec, scratch: Path) -> tuple[list[Finding], Status]:
    with (
        Interruption(lambda number: KeyboardInterrupt(), signal.SIGINT, signal.SIGTERM),
        Watchdog(connection.lightning, Caller(), scratch) as watchdog,
    ):
        launcher = Launcher(connection.lightning, notify=output.note, on_hold=watchdog.hold, scratch=scratch)
        launch = launcher.launch(spec)
        try:
            return _heard(launch)
        finally:
            try:
                launch.stop(grace=0)
            except LaunchError:
                output.note(
                    f"{launch.studio_name} is not deleted yet: a process in the background tries on for half an hour."
                )
                raise
            watchdog.hold(launch.hold.released())
            output.note(launch.release_notice)


def _heard(launch: Launch) -> tuple[list[Finding], Status]:
    log, status = "", Status(phase=Phase.STARTING)
    for update in launch.follow():
        log, status = log + update.log, update.status
    told = [json.loads(line.removeprefix(MARK)) for line in log.splitlines() if line.startswith(MARK)]
    return [Finding(check=one["check"], result=Result(one["result"]), told=one["told"]) for one in told], status


def _spec(connection: Connection, folder: Path) -> LaunchSpec:
    """What a run's studio would get: the same packages, the same access to ZenML."""
    zenml, stack = connection.zenml, connection.stack
    try:
        access = {"ZENML_STORE_API_TOKEN": zenml.mint_token(3600)}
    except NoTokensError:
        access = zenml.access
    repository = folder / "repository"
    repository.mkdir()
    (repository / "README").write_text("What `lightning-zenml doctor --studio` looks with is in its package.\n")
    return LaunchSpec(
        name="doctor",
        owner="`lightning-zenml doctor --studio`",
        archive=pack(Repository.open(repository)),
        command="python -m lightning_zenml.cli.doctor.from_studio",
        machines=(_MACHINE,),
        packages=(requirement(zenml.info().version),),
        late_packages=lambda: of_integrations(stack.integrations, lambda error: None),
        environment={
            "ZENML_STORE_URL": zenml.url,
            "ZENML_ACTIVE_STACK_ID": stack.id,
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_VERBOSITY": "ERROR",
            **access,
        },
        timeout=_TIMEOUT,
        keep_studio=KeepStudio.DELETE,
    )


def _machine(connection: Connection) -> Machine:
    return Catalog(connection.lightning, connection.lightning.default_cluster).machine(_MACHINE)


def _of_failure(failure: Failure) -> Finding:
    if failure.phase is Phase.INSTALLING:
        return wrong(f"packages from {STUDIO}", f"What each run needs can't be installed there: {failure.message}")
    return wrong(STUDIO, failure.message)
