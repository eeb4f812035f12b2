"""`init`: writes the workflow, and says which secrets and variables it needs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import metadata, version
from pathlib import Path

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.errors import CliError, ExitCode
from lightning_zenml.cli.output import Output
from lightning_zenml.cli.workflow.check import FOLDER, check, workflows
from lightning_zenml.cli.workflow.finding import Checked, Finding, Severity
from lightning_zenml.cli.workflow.project import Project, root_of
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.zenml_api.rest import ZenMLServerError

_SECRETS = ("LIGHTNING_USER_ID", "LIGHTNING_API_KEY", "ZENML_STORE_API_KEY")
_SHOWN = 5
"""Other files that are named."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What is known of the services that the workflow will use; '' for what isn't.

    Args:
        zenml_url: address of the ZenML server.
        stack: name of the ZenML stack, where it has to be named.
        teamspace: Lightning teamspace, `owner/name`.
        unknown: why something could not be found out.
    """

    zenml_url: str = ""
    stack: str = ""
    teamspace: str = ""
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, connection: Connection, environ: Mapping[str, str]) -> Services:
        """Asks ZenML and Lightning; whatever they don't tell, the user fills in."""
        url, named = connection.login.url, environ.get("LIGHTNING_TEAMSPACE", "")
        unknown: list[str] = []
        stack = teamspace = ""
        try:
            found = connection.stack
            # The Action finds the only one itself.
            stack = found.name if _has_others(connection) else ""
            teamspace = found.teamspace.name or ""
            lightning = connection.lightning
            teamspace = f"{lightning.owner}/{lightning.teamspace}"
        except CliError as error:
            unknown += error.problems
        except (LaunchError, ZenMLServerError) as error:
            unknown.append(str(error))
        return cls(zenml_url=url, stack=stack, teamspace=teamspace or named, unknown=tuple(unknown))


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was done.

    Args:
        workflow: path of the workflow, relative to the repository.
        command: command that starts the pipeline.
        branch: branch whose pushes start it.
        is_branch_guessed: whether the default branch may be another.
        repository: name on GitHub; '' where that can't be told.
        commands: shell commands that set what the workflow needs.
        to_do: what the user has to see to besides.
    """

    workflow: str
    command: str
    branch: str
    is_branch_guessed: bool
    repository: str
    commands: tuple[str, ...]
    to_do: tuple[str, ...]


def init(
    connection: Connection, output: Output, *, folder: Path, run: str, file: str, force: bool, machine: str
) -> ExitCode:
    """Writes a workflow for the repository around a folder.

    Args:
        connection: ZenML and the teamspace, as far as they can be asked.
        output: where it is told.
        folder: the folder.
        run: command that starts the pipeline in that folder; '': it is looked for.
        file: path of the workflow, relative to the root of the repository.
        force: whether one that is there is written over.
        machine: names of machines in order of preference.

    Raises:
        CliError: if no command is found, or the file is there.
    """
    project = Project.of(folder, run)
    path = project.root / file
    if path.exists() and not force:
        raise CliError(
            f"{file} is there already. `lightning-zenml init --check` says what to change in it, `--force` writes it "
            "anew."
        )
    services = Services.of(connection, os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(workflow(project, services, machine), encoding="utf-8")
    written = Written(
        workflow=file,
        command=project.command,
        branch=project.default_branch.name,
        is_branch_guessed=project.default_branch.is_guess,
        repository=project.repository,
        commands=tuple(_commands(project, services, os.environ)),
        to_do=tuple(_to_do(project, services, file)),
    )
    if output.is_json:
        output.json(written)
    else:
        _tell(output, written, check(project.root, path).findings, os.path.relpath(path, folder.resolve()))
    return ExitCode.OK


def check_all(output: Output, *, folder: Path) -> ExitCode:
    """Looks at all workflows of the repository around a folder that use the Action.

    Args:
        output: where it is told.
        folder: the folder.

    Returns:
        `FAILED` where one can't work as it is.

    Raises:
        CliError: if no workflow uses the Action.
    """
    root = root_of(folder)
    files = workflows(root)
    if not files:
        raise CliError(
            f"No workflow in {root / FOLDER} uses the Action. `lightning-zenml init` writes one.",
            exit_code=ExitCode.FAILED,
        )
    checked = [check(root, file) for file in files]
    findings = [finding for one in checked for finding in one.findings]
    if output.is_json:
        output.json(findings)
    else:
        for finding in findings:
            output.line(_line(finding))
        if not findings:
            output.line(f"Nothing to change in {', '.join(str(file.relative_to(root)) for file in files)}.")
        for line in _looked_at(checked):
            output.note(line)
    return ExitCode.FAILED if any(one.severity is Severity.ERROR for one in findings) else ExitCode.OK


def workflow(project: Project, services: Services, machine: str) -> str:
    """The text of a workflow.

    Args:
        project: the repository.
        services: what is known of ZenML and Lightning.
        machine: names of machines in order of preference.
    """
    checkout = {"submodules": "recursive" if project.has_submodules else "", "lfs": "true" if project.has_lfs else ""}
    inputs = {
        "run": _scalar(project.command),
        "working-directory": "" if project.working_directory == "." else _scalar(project.working_directory),
        "commands": _scalar(project.commands) if project.commands else "",
        "requirements": _scalar(project.requirements) if project.requirements else "",
        "machine-type": f"{machine} # several in order of preference: L4, T4",
        "stack": _scalar(services.stack) if services.stack else "",
        "lightning-user-id": "${{ secrets.LIGHTNING_USER_ID }}",
        "lightning-api-key": "${{ secrets.LIGHTNING_API_KEY }}",
        "lightning-teamspace": "${{ vars.LIGHTNING_TEAMSPACE }}",
        "zenml-store-url": "${{ vars.ZENML_STORE_URL }}",
        "zenml-store-api-key": "${{ secrets.ZENML_STORE_API_KEY }}",
    }
    lines = [
        "# Made by `lightning-zenml init`; `lightning-zenml init --check` looks at it when it has changed.",
        "name: Train",
        "on:",
        "  push:",
        f"    branches: [{_scalar(project.default_branch.name)}]",
        "  pull_request:",
        "  workflow_dispatch:",
        "concurrency: # a newer commit of a pull request takes the place of the one before",
        "  group: ${{ github.workflow }}-${{ github.ref }}",
        "  cancel-in-progress: ${{ github.event_name == 'pull_request' }}",
        "jobs:",
        "  train:",
        "    runs-on: ubuntu-latest",
        "    permissions:",
        "      contents: read",
        "      pull-requests: write # for the comment",
        "      statuses: write # for the commit status",
        "    steps:",
        "      - uses: actions/checkout@v5",
        *_block(checkout),
        f"      - uses: {_action()}",
        *_block(inputs),
    ]
    return "\n".join(lines) + "\n"


def _block(given: Mapping[str, str]) -> Iterator[str]:
    there = {name: value for name, value in given.items() if value}
    if there:
        yield "        with:"
        yield from (f"          {name}: {value}" for name, value in there.items())


def _scalar(text: str) -> str:
    """A text in YAML: as it is where it means itself, else in quotes."""
    plain = text.replace("_", "").replace("-", "").replace(".", "").replace("/", "").replace(" ", "")
    is_plain = (
        plain.isalnum()
        and text[0].isalpha()
        and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    )
    return text if is_plain else "'" + text.replace("'", "''") + "'"


def _action() -> str:
    """The Action as `uses` names it."""
    urls = metadata("lightning-zenml").get_all("Project-URL") or []
    url = next(url.partition(", ")[2] for url in urls if "github.com/" in url)
    return f"{url.partition('github.com/')[2].rstrip('/')}@v{version('lightning-zenml').split('.')[0]}"


def _has_others(connection: Connection) -> bool:
    try:
        connection.zenml.stack()
    except ZenMLServerError:
        return True
    return connection.zenml.stack().id != connection.stack.id


def _commands(project: Project, services: Services, environ: Mapping[str, str]) -> Iterator[str]:
    """What sets secrets and variables by GitHub's own program; no secret is in a command line."""
    repository = f" --repo {project.repository}" if project.repository else ""
    for name in _SECRETS:
        # Without a value, gh asks for it.
        given = f'printf %s "${name}" | ' if environ.get(name) else ""
        yield f"{given}gh secret set {name}{repository}"
    for name, value in (("LIGHTNING_TEAMSPACE", services.teamspace), ("ZENML_STORE_URL", services.zenml_url)):
        body = f" --body {shlex.quote(value)}" if value else ""
        yield f"gh variable set {name}{body}{repository}"


def _to_do(project: Project, services: Services, file: str) -> Iterator[str]:
    if (branch := project.default_branch).is_guess:
        yield (
            f"Branch `{branch.name}` is a guess, as {branch.why}. If another is the default branch, change `branches` "
            f"under `on: push` in {file}."
        )
    if project.to_do:
        yield f"Nothing is installed for the pipeline. {project.to_do}"
    elif not project.requirements and not project.commands:
        yield "No file lists what the pipeline installs. If it needs more than ZenML, name one in `requirements`."
    if project.others:
        more = f" and {len(project.others) - _SHOWN} more" if len(project.others) > _SHOWN else ""
        yield f"{', '.join(project.others[:_SHOWN])}{more} may start a pipeline, too: change `run` if that is meant."
    if not project.repository:
        yield "The repository has no remote `origin` on GitHub yet: push it there first."
    yield from services.unknown


def _tell(output: Output, written: Written, findings: Iterable[Finding], path: str) -> None:
    branch = f"{'what seems to be ' if written.is_branch_guessed else ''}the default branch, `{written.branch}`"
    output.line(f"Wrote {written.workflow}, which runs `{written.command}` for pull requests and pushes to {branch}.")
    for finding in findings:
        output.line(_line(finding))
    output.line("\nSecrets and variables that it needs, once for the repository:\n")
    for command in written.commands:
        output.line(f"  {command}")
    output.line(
        "\nThe Lightning key is on lightning.ai under Global Settings > Keys. A ZenML key is made by\n"
        "`zenml service-account create github`, which shows it once."
    )
    for text in written.to_do:
        output.line(f"\n- {text}")
    output.line(f"\nThen: git add {path}, commit and push. `lightning-zenml doctor` checks keys and servers.")


def _looked_at(checked: Sequence[Checked]) -> Iterator[str]:
    """What the answer is worth."""
    files, machines, unread = (
        ", ".join(dict.fromkeys(name for one in checked for name in getattr(one, field)))
        for field in ("files", "machines", "unread")
    )
    yield (
        "Looked at: inputs, events, permissions, runner, checkout and version"
        + (f"; in the repository, {files}" if files else "")
        + (f"; names of machines, {machines}" if machines else "")
        + "."
    )
    yield (
        "Not looked at: keys, stack, teamspace and what it sells, which `lightning-zenml doctor` asks"
        + (f"; what the expressions stand for in {unread}" if unread else "")
        + "; whatever only the run itself shows."
    )


def _line(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}: {finding.severity}: {finding.message}"
