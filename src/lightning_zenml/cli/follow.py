"""`logs` and `attach`: what a launch prints, as far as it has come or to its end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence

from lightning_zenml.action.report.parts import end_of_launch
from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.errors import CliError, ExitCode
from lightning_zenml.cli.launches import Launched, attached
from lightning_zenml.cli.output import Output
from lightning_zenml.codes import Code, known, marked
from lightning_zenml.launch.errors import StudioLostError
from lightning_zenml.launch.launcher import Launch
from lightning_zenml.launch.payload.folder import TITLE
from lightning_zenml.launch.spec import Phase, Status
from lightning_zenml.terminal.screen import Screen
from lightning_zenml.terminal.sgr import CODE
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.results import ZenMLResults

_LINES = 1_000_000
"""Lines of a step's log at most."""
_LOOKS, _PAUSE = 5, 3.0
"""How often ZenML is asked how a launch has ended whose end was not seen, and seconds in between."""
_GOOD = ("completed", "cached")


def logs(connection: Connection, output: Output, launched: Launched, *, follow: bool) -> None:
    """Shows what a launch has printed; of one that is gone, what ZenML has kept of its steps.

    Args:
        connection: ZenML and the teamspace.
        output: where it goes.
        launched: the launch.
        follow: whether to go on until its end. Whoever else follows it, or releases its studio, does so as before.

    Raises:
        LaunchError: if Lightning can't be asked.
        ZenMLServerError: if the ZenML server can't be asked.
    """
    launch = None if launched.is_execution else attached(connection, launched)
    if launch is None:
        _show_steps(connection, output, launched.runs)
        return
    printer = _Printer(output)
    try:
        for text in (update.log for update in launch.follow()) if follow else launch.log():
            printer.feed(text)
    except StudioLostError as error:
        output.note(f"{error} What its steps have printed is in ZenML: `lightning-zenml logs {launched.id}`.")
    finally:
        printer.end()


def attach(connection: Connection, output: Output, launched: Launched) -> ExitCode:
    """Follows a launch to its end in place of whoever has started it, and releases its studio then.

    Args:
        connection: ZenML and the teamspace.
        output: where its log goes.
        launched: the launch.

    Returns:
        `OK` only if its command ended well and all its runs completed.

    Raises:
        CliError: if a schedule has started it.
        LaunchError: if it can't be followed any more; it goes on.
        ZenMLServerError: if the ZenML server can't be asked.
    """
    if launched.is_execution:
        raise CliError(
            f"{launched.id} was started by a schedule, in a job that nobody can attach to. `lightning-zenml status` "
            f"and `lightning-zenml logs {launched.id}` tell of it."
        )
    launch = attached(connection, launched, follow=True)
    if launch is None:
        return _conclude(output, end_of_launch(launched.runs, launched.id), launched.runs)
    try:
        status = _watch(launch, output)
    except KeyboardInterrupt:
        launch.leave()
        output.note(f"\nThe launch goes on, and gives its studio back at its end. `lightning-zenml stop {launch.id}`")
        raise
    except StudioLostError as error:
        output.note(str(error))
        launch.stop()
        runs = _ended(connection, launched.id)
        return _conclude(output, end_of_launch(runs, launched.id), runs)
    launch.release()
    output.note(f"{launch.release_notice}.")
    return _conclude(output, status, connection.zenml.runs_of_launch(launched.id))


def _watch(launch: Launch, output: Output) -> Status:
    printer = _Printer(output)
    status = Status(phase=Phase.RUNNING)
    try:
        for update in launch.follow():
            printer.feed(update.log)
            status = update.status
            for run in update.runs:
                output.note(f"{TITLE}Pipeline run {run.run_name}: {run.run_url or run.run_id}")
    finally:
        printer.end()
    return status


def _conclude(output: Output, status: Status, runs: Sequence[Run]) -> ExitCode:
    """Tells how it ended. An exit code that nobody has kept does not count."""
    for run in runs:
        output.note(f"{run.name}: {run.status}  {run.url}")
    if status.failure is not None:
        output.error(marked(status.failure.message, known(status.failure.code, Code.RUN)))
    is_good = status.failure is None and not status.stopped and status.exit_code in (0, None)
    are_good = all(run.status in _GOOD for run in runs)
    is_known = bool(runs) or status.exit_code is not None
    return ExitCode.OK if is_good and are_good and is_known else ExitCode.FAILED


def _ended(connection: Connection, launch_id: str) -> list[Run]:
    """The runs of a launch, once ZenML says that they are over, or after a while."""
    for _ in range(_LOOKS - 1):
        runs = connection.zenml.runs_of_launch(launch_id)
        if all(run.is_over for run in runs):
            return runs
        time.sleep(_PAUSE)
    return connection.zenml.runs_of_launch(launch_id)


def _show_steps(connection: Connection, output: Output, runs: Sequence[Run]) -> None:
    results = ZenMLResults(connection.zenml)
    printer = _Printer(output)
    for run in runs:
        for step in connection.zenml.steps(run.id):
            output.line(f"{TITLE}Step {step.name} of {run.name}: {step.status}")
            try:
                text = results.log(step.log_id, _LINES) if step.log_id else ""
            except ZenMLServerError as error:
                output.note(f"ZenML can't read its log: {error}")
                text = step.traceback or ""
            printer.feed(f"{text}\n" if text else "")
    printer.end()


class _Printer:
    """Writes what a program has printed: as it is to a terminal; else line by line, without what moves a cursor."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._screen = None if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else Screen()

    def feed(self, text: str) -> None:
        if self._screen is None:
            self._output.write(text)
        else:
            self._write(self._screen.feed(text))

    def end(self) -> None:
        if self._screen is not None:
            self._write(self._screen.end())

    def _write(self, lines: Iterator[str]) -> None:
        self._output.write("".join(f"{CODE.sub('', line)}\n" for line in lines))
