"""`run`: packs this checkout, runs a command in it on Lightning AI, and shows how it goes."""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_zenml.action.github.admission import mask_secrets
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.main import warn
from lightning_zenml.action.starter import Starter
from lightning_zenml.action.story import Cancelled, Story
from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.errors import CliError, ExitCode, told
from lightning_zenml.cli.github import repository_of
from lightning_zenml.cli.output import Output
from lightning_zenml.cli.run.flags import environ_of, shown
from lightning_zenml.cli.run.shell import Shell, Watched
from lightning_zenml.cli.workflow.project import root_of
from lightning_zenml.cli.zenml_login import home_of
from lightning_zenml.codes import Code
from lightning_zenml.launch.caller import Caller
from lightning_zenml.launch.interruption import Interruption
from lightning_zenml.launch.payload.variables import LAPTOP
from lightning_zenml.launch.watchdog import Watchdog
from lightning_zenml.package.repository import Repository
from lightning_zenml.terminal.live import QUIET, Live

_GRACE = 20.0
"""Seconds that a run has for an orderly end after Ctrl-C, until a second one."""


@dataclass(frozen=True, kw_only=True)
class RunTold:
    """A pipeline run that the command has made.

    Args:
        id: its id in ZenML.
        name: its name.
        url: its page in ZenML.
        status: ZenML's status of it.
    """

    id: str
    name: str
    url: str | None
    status: str | None


@dataclass(frozen=True, kw_only=True)
class Told:
    """How it went, for programs.

    Args:
        launch_id: id of the launch; '' where there was none.
        studio: name of its studio; '' where there was none.
        studio_url: page of the studio; '' where there was none.
        status: as the Action's output: `completed`, `failed`, `stopped`, `paused`, `cancelled`, `running`.
        runs: pipeline runs that it has made.
        cost: US dollars; None where that isn't known.
        archive_sha256: digest of what was packed; '' where nothing was.
        failure: why it did not complete; None where it did.
    """

    launch_id: str
    studio: str
    studio_url: str
    status: str
    runs: tuple[RunTold, ...]
    cost: float | None
    archive_sha256: str
    failure: str | None


def run(
    connection: Connection,
    output: Output,
    *,
    command: Sequence[str],
    given: Mapping[str, Any],
    folder: Path,
    quiet: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Runs a command on Lightning AI as the Action does.

    Args:
        connection: ZenML and the teamspace.
        output: where it is told.
        command: words of the command.
        given: the options, see `flags`.
        folder: current folder.
        quiet: whether only warnings, errors and the end are told.
        environ: environment variables.

    Returns:
        The exit code.

    Raises:
        CliError: if the options or keys won't do, or ZenML's own keys would travel with the repository.
        LaunchError: if Lightning can't be used.
        ZenMLServerError: if the ZenML server can't be asked.
    """
    root = root_of(folder).resolve()
    inputs = _inputs(connection, environ_of(command, given, folder=folder, root=root, environ=environ), root)
    repository = Repository.open(root)
    _refuse_keys(repository, home_of(environ))
    stream = sys.stderr if output.is_json else sys.stdout
    is_quiet = quiet or bool(environ.get(QUIET))
    live = Live(stream, shown=False if is_quiet else None)
    here = folder.resolve().relative_to(root).as_posix()
    shell = Shell(output, stream, live, folder=here, is_quiet=is_quiet)
    event = _event(repository)
    mask_secrets(inputs, event, shell, environ)
    warn(inputs, (connection.login.url, environ.get("LIGHTNING_CLOUD_URL", "")), shell)
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-", ignore_cleanup_errors=True) as scratch:
        try:
            with (
                Interruption(lambda number: Cancelled(128 + number), signal.SIGINT, signal.SIGTERM),
                Watchdog(connection.lightning, Caller(), Path(scratch), leaves=True) as watchdog,
                live,
            ):
                handover = Watched(shell, watchdog)
                starter = _starter(repository, event, given)
                story = Story(
                    inputs, event, shell, None, {}, root, starter=starter, zenml=connection.zenml, handover=handover
                )
                try:
                    code = story.run(Path(scratch))
                finally:
                    if handover.is_open:
                        watchdog.take_over()
                    _tell(output, _told(story, shell))
        except Cancelled as cancelled:
            return cancelled.exit_code
    return _exit_code(story) if story.refusal else code


def _inputs(connection: Connection, environ: dict[str, str], root: Path) -> Inputs:
    login, keys = connection.login, connection.credentials
    given = {
        "stack": connection.stack.id,
        "lightning-user-id": keys.user_id,
        "lightning-api-key": keys.api_key,
        "lightning-teamspace": keys.teamspace,
        "lightning-username": keys.username,
        "lightning-org": keys.organization,
        "zenml-store-url": login.url,
        # Of somebody who has logged in, the token stands in for it.
        "zenml-store-api-key": login.api_key or login.token,
        "comment": "off",
    }
    environ |= {f"INPUT_{name.upper()}": value for name, value in given.items() if value}
    try:
        return Inputs.from_environ(environ, root)
    except InputsError as error:
        raise CliError(*(f"`{shown(name)}` {message}" for name, message in error.problems), code=error.code) from None


def _refuse_keys(repository: Repository, home: Path) -> None:
    if repository.has_of(home):
        raise CliError(
            f"ZenML keeps its keys in {home}, which would travel with the repository {repository.root}. Move it "
            "(ZENML_CONFIG_PATH), or list it in .gitignore.",
            code=Code.PACKAGE,
        )


def _event(repository: Repository) -> Event:
    """What runs, where nothing has happened on GitHub."""
    commit = repository.commit
    return Event(
        name="",
        repository=repository_of(repository.root),
        server_url="https://github.com",
        api_url="https://api.github.com",
        run_id="",
        run_attempt=1,
        workflow="",
        job="",
        actor="",
        ref="",
        branch=commit.branch if commit else "",
        head_sha=commit.sha if commit else "",
        pull_requests=(),
        is_fork=False,
        is_dependabot=False,
        deleted=False,
    )


def _starter(repository: Repository, event: Event, given: Mapping[str, Any]) -> Starter:
    name, user = event.repository or repository.root.name, _user()
    provenance = {
        "repository": event.repository or None,
        "sha": event.head_sha or None,
        "branch": event.branch or None,
        "uncommitted": repository.has_changes(),
        "user": user,
    }
    return Starter(
        name=name.rpartition("/")[2] or "run",
        owner=f"{user}'s `lightning-zenml run` of {name}",
        provenance={LAPTOP: json.dumps(provenance)},
        no_commit=f"All files of {repository.root}, as no commit is checked out there",
        interruption="Interrupted",
        leaving="`--no-stop-on-cancel`",
        attaching="`lightning-zenml attach ID`",
        insisting="A process in the background goes on trying for half an hour.",
        grace=_GRACE,
        hurriers=(signal.SIGINT, signal.SIGTERM),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A user id without a name, as in containers.
        return "somebody"


def _told(story: Story, shell: Shell) -> Told:
    report = story.report
    return Told(
        launch_id=report.launch_id or "",
        studio=report.studio_name or "",
        studio_url=report.studio_url or "",
        status=shell.outputs.get("status", report.status),
        runs=tuple(
            RunTold(id=run_id, name=run.run_name, url=run.run_url, status=run.status)
            for run_id, run in zip(story.run_ids, report.runs, strict=True)
        ),
        cost=report.cost,
        archive_sha256=shell.outputs.get("archive-sha256", ""),
        failure=report.failure.message if report.failure else None,
    )


def _tell(output: Output, told: Told) -> None:
    if output.is_json:
        output.json(told)
        return
    for run in told.runs:
        output.note(f"{run.name}: {run.status}  {run.url or ''}".rstrip())


def _exit_code(story: Story) -> int:
    """Of a launch that was refused; what it may not cost is none of Lightning's refusals."""
    problem = told(story.refusal) if story.refusal else None
    if problem is None or problem.code is Code.COST:
        return ExitCode.FAILED
    return problem.exit_code
