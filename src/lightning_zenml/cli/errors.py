"""What a command ends with: its exit codes, and errors that are told without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from lightning_zenml.action.github.rest import GitHubError
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.launch.errors import CredentialsError, LaunchError, TeamspaceError
from lightning_zenml.package.errors import PackageError
from lightning_zenml.zenml_api.rest import ZenMLServerError


class ExitCode(IntEnum):
    """What a command's exit code means. docs/cli.md tells users the same."""

    OK = 0
    FAILED = 1
    """The command did its work, and the answer is no: a run failed, a check found something, something is left."""
    USAGE = 2
    """The command line, the settings or the keys are wrong or missing."""
    NOT_FOUND = 3
    """There is no such launch, run or pull request."""
    REFUSED = 4
    """Lightning AI, ZenML or GitHub refuses or can't be reached."""
    FAULT = 70
    """A fault of this program (`EX_SOFTWARE` of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


class CliError(CodedError):
    """A command can't go on. Each problem is told to the user as it is; none holds a secret.

    Args:
        problems: what is wrong and what to do next, all at once.
        exit_code: what the command ends with.
        code: kind of the problems; None: what the exit code says.
    """

    code = Code.USAGE

    def __init__(self, *problems: str, exit_code: ExitCode = ExitCode.USAGE, code: Code | None = None) -> None:
        code = code or (Code.NOT_FOUND if exit_code is ExitCode.NOT_FOUND else None)
        super().__init__("\n".join(problems), code=code)
        self.problems: Sequence[str] = problems
        self.exit_code = exit_code


def told(error: Exception) -> CliError | None:
    """An error as the user is told of it; None for one that is a fault of this program.

    Args:
        error: what a command ended with.
    """
    if isinstance(error, CliError):
        return error
    if isinstance(error, CredentialsError | TeamspaceError):
        return CliError(str(error), exit_code=ExitCode.USAGE, code=error.code)
    if isinstance(error, ZenMLServerError) and error.status == 404:
        return CliError(str(error), exit_code=ExitCode.NOT_FOUND, code=error.code)
    if isinstance(error, LaunchError | ZenMLServerError | GitHubError):
        return CliError(str(error), exit_code=ExitCode.REFUSED, code=error.code)
    if isinstance(error, PackageError):
        return CliError(str(error), exit_code=ExitCode.FAILED, code=error.code)
    return None
