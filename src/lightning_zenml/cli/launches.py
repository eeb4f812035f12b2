"""Which launch is meant: by its id, by the name or id of a pipeline run, or by a pull request."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.action.github.rest import GitHubError
from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.errors import CliError, ExitCode
from lightning_zenml.cli.github import connect, repository_of, token_of
from lightning_zenml.launch.errors import StudioLostError, UnknownLaunchError
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning.pipeline import ID_PREFIX
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.studio.names import is_launch_id, studio_name_of
from lightning_zenml.zenml_api.models import Run

_PULL_REQUEST = re.compile(
    r"(?:(?:https?://[^/]+/)?(?P<repository>[\w.-]+/[\w.-]+)(?:/pull/|#)|#?)(?P<number>\d+)(?:[/?#].*)?"
)


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A launch, as ZenML knows it.

    Args:
        id: id of the launch.
        runs: pipeline runs that it has made so far, the oldest first.
    """

    id: str
    runs: tuple[Run, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether ZenML says that all its runs have ended or wait for something outside; a run is needed to say so."""
        return bool(self.runs) and all(run.is_over for run in self.runs)

    @property
    def is_execution(self) -> bool:
        """Whether a schedule has started it: then there is no studio that could be asked."""
        return self.id.startswith(ID_PREFIX)


def launches(connection: Connection, target: str, environ: Mapping[str, str]) -> list[Launched]:
    """Finds the launches that a user means.

    Args:
        connection: ZenML.
        target: id of a launch, name or UUID of a run, or a pull request: `12`, `#12`, `owner/name#12` or its address.
        environ: environment variables, `GITHUB_REPOSITORY` among them.

    Returns:
        One launch; those of a pull request, the newest first.

    Raises:
        CliError: if there is none, or several runs have that name.
    """
    if pull_request := _PULL_REQUEST.fullmatch(target):
        repository = pull_request["repository"] or environ.get("GITHUB_REPOSITORY") or repository_of(Path.cwd())
        if not repository:
            raise CliError(
                f"Pull request {target} of which repository? Go into its checkout, or name it: `owner/name#{target}`."
            )
        return _of_pull_request(connection, repository, int(pull_request["number"]), environ)
    if is_launch_id(target) or target.startswith(ID_PREFIX):
        return [_with_id(connection, target)]
    found = connection.finder.named(target)
    if not found:
        raise CliError(
            f"There is no launch `{target}`, and no pipeline run of that name that a launch has made. "
            "`lightning-zenml status --ended 20` lists the newest.",
            exit_code=ExitCode.NOT_FOUND,
        )
    if len(found) > 1:
        named = ", ".join(f"{run.id} ({run.url})" for run in found)
        raise CliError(f"Several pipeline runs are named `{target}`: say which one by its id: {named}.")
    return [_with_id(connection, found[0].launch_id)]


def one_launch(connection: Connection, target: str, environ: Mapping[str, str]) -> Launched:
    """Finds the launch that a user means; of those of a pull request the newest, or the newest that goes on.

    Args:
        connection: ZenML.
        target: see `launches`, as for all else.
        environ: see `launches`.
    """
    found = launches(connection, target, environ)
    return next((launched for launched in found if not launched.is_over), found[0])


def attached(connection: Connection, launched: Launched, *, follow: bool = False) -> Launch | None:
    """The launch on its studio; None where it has ended and its studio is gone, or knows nothing of it any more.

    Args:
        connection: the teamspace.
        launched: the launch.
        follow: whether it is followed from now on, see `Launcher.attach`.

    Raises:
        CliError: if neither ZenML nor Lightning knows of such a launch, or it is in another teamspace.
        LaunchError: if Lightning can't be asked.
    """
    lightning = connection.lightning
    check_teamspace(connection, launched)
    # Where the witness says that it is over, one look is enough.
    if launched.is_over and Studio.find(lightning, studio_name_of(launched.id)) is None:
        return None
    try:
        return Launcher(lightning).attach(launched.id, follow=follow)
    except (StudioLostError, UnknownLaunchError) as error:
        if launched.runs:
            return None
        raise CliError(
            f"{error} No pipeline run of it is known to ZenML either, so how it ended can't be told.",
            exit_code=ExitCode.NOT_FOUND,
        ) from None


def check_teamspace(connection: Connection, launched: Launched) -> None:
    """Refuses a launch in another teamspace: in this one, it would look as if it had ended.

    Args:
        connection: the teamspace.
        launched: the launch.

    Raises:
        CliError: if ZenML says that it is elsewhere.
    """
    lightning = connection.lightning
    for run in launched.runs:
        if run.orchestrator_url and not run.orchestrator_url.startswith(f"{lightning.page}/"):
            raise CliError(
                f"The launch {launched.id} is at {run.orchestrator_url}, and the teamspace here is "
                f"{lightning.owner}/{lightning.teamspace}. Name the other with `--teamspace owner/name`."
            )


def _with_id(connection: Connection, launch_id: str) -> Launched:
    """A launch, or the one in which its run goes on: a run that is resumed has several."""
    runs = connection.zenml.runs_of_launch(launch_id)
    return Launched(id=next(filter(None, (run.goes_on_in for run in runs)), launch_id), runs=tuple(runs))


def _of_pull_request(
    connection: Connection, repository: str, number: int, environ: Mapping[str, str]
) -> list[Launched]:
    """The launches of a pull request: by its number, or where a push has started them, by its branch."""
    branch, unknown = _branch_of(repository, number, environ)
    runs = connection.finder.of_pull_request(repository, number, branch)
    if not runs:
        raise CliError(
            f"ZenML knows no pipeline run that the Action has started for {repository}#{number}.{unknown} A launch "
            "whose run has not begun yet is found by its id, which the Action's log and its comment tell.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return list(_by_launch(runs))


def _branch_of(repository: str, number: int, environ: Mapping[str, str]) -> tuple[str, str]:
    """Branch of a pull request, if it is none of a fork's, and why it isn't known."""
    pushed = "Runs that a push has started are found by the branch of the pull request, which GitHub"
    if not (token := token_of(environ)):
        return "", f" {pushed} tells with a token: set GITHUB_TOKEN, or `gh auth login`."
    try:
        found = connect(environ, token, sleep=time.sleep).pull_request(repository, number)
    except GitHubError as error:
        return "", f" {pushed} does not tell: {error}"
    return "" if found.is_fork else found.head_ref, ""


def _by_launch(newest_first: Iterable[Run]) -> Iterable[Launched]:
    grouped: dict[str, list[Run]] = {}
    for run in newest_first:
        grouped.setdefault(run.launch_id, []).insert(0, run)
    return (Launched(id=launch_id, runs=tuple(runs)) for launch_id, runs in grouped.items())
