"""A throw-away Python environment on the runner, in which the pipeline is compiled and submitted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from lightning_zenml.codes import Code
from lightning_zenml.launch import wheel
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.locks.lock import Lock, Outcome
from lightning_zenml.launch.payload.protocol import minutes
from lightning_zenml.launch.payload.requirements.installers import ERROR, Installers
from lightning_zenml.launch.payload.requirements.reason import explain
from lightning_zenml.launch.payload.requirements.wanted import Wanted, without_credentials
from lightning_zenml.launch.payload.session import kill

_PASSED_ON = re.compile(
    r"(?i)(PATH|LANG|LC_\w+|TZ|CI|RUNNER_DEBUG|(https?|no|all)_proxy|(SSL_CERT|REQUESTS_CA|CURL_CA)_\w+"
    r"|LIGHTNING_(CLOUD_URL|DISABLE_VERSION_CHECK|KEEPALIVE_FREQUENCY|ZENML_\w+_TIMEOUT))"
)
"""What the user's process gets of the step's variables: none of GitHub's tokens and none of the inputs."""
_OF_INSTALLERS = re.compile(r"(PIP|UV)_\w+")
"""What only the installation gets: the address of an index may hold a password."""
_LAST_WORDS = 2000
_PATIENCE = 2 * 3600.0
"""Seconds that installing may take where the launch has no timeout."""


class InstallError(LaunchError):
    """The requirements can't be installed on the runner."""

    code = Code.INSTALL


class _ProgramError(InstallError):
    """One of the programs that make the environment has failed."""

    def __init__(self, exit_code: int, output: str) -> None:
        super().__init__(
            f"The environment on the runner can't be made (exit code {exit_code}): {output.strip()[-_LAST_WORDS:]}"
        )
        self.exit_code = exit_code
        self.output = output


class Throwaway:
    """The environment.

    Args:
        folder: folder of the environment, removed by whoever made it.
        environ: variables of the step, and those of the input `env`.
        say: callback for the output of the installation, in pieces.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._home, self._temp = folder / "home", folder / "temp"
        self._bin = folder / "environment" / "bin"
        self._passed_on = {name: value for name, value in environ.items() if _PASSED_ON.fullmatch(name)}
        self._of_installers = {name: value for name, value in environ.items() if _OF_INSTALLERS.fullmatch(name)}
        self._timeout = self._deadline = 0.0

    def variables(self) -> dict[str, str]:
        """What a program in the environment needs, without any secret."""
        path = f"{self._bin}:{self._passed_on.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
        return {
            **self._passed_on,
            "HOME": str(self._home),
            "TMPDIR": str(self._temp),
            "PATH": path,
            "VIRTUAL_ENV": str(self._bin.parent),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ZENML_CONFIG_PATH": str(self._home / "zenml"),
            "ZENML_ANALYTICS_OPT_IN": "false",
        }

    def install(
        self, packages: Sequence[str], requirements: Sequence[str], repository: Path, *, timeout: float | None = None
    ) -> None:
        """Makes the environment, as one resolution, by the lock that fits as on a studio.

        Args:
            packages: requirement specifiers of what is installed.
            requirements: paths of requirements files, relative to the repository.
            repository: root folder of the repository.
            timeout: seconds that the launch may take, this included; None: no limit, but two hours for this.

        Raises:
            InstallError: if the environment can't be made, with the last words of what failed; or not in time.
        """
        self._timeout = _PATIENCE if timeout is None else timeout
        self._deadline = time.monotonic() + self._timeout
        for own in (self._home, self._temp):
            own.mkdir(parents=True)
        uv, python = self._uv(), str(self._bin / "python")
        self._run([uv, "venv", "--quiet", "--seed", "--python", _base_python(), str(self._bin.parent)], repository)
        wanted = [*packages, *(f"-r {file}" for file in requirements)]
        asked = [line.text for line in Wanted(wanted, repository).lines]
        outcome = Installers(
            python=python,
            uv=[uv],
            lock=Lock.find(wanted, asked=asked, there=(), environment=self._of_installers),
            code=repository,
            environment=self._of_installers,
            run=lambda command, lines, variables: self._tried(command, repository, lines, variables),
            say=self._say,
        ).install(wanted, wheel.repack(self._folder))
        if outcome.exit_code:
            reason = explain(outcome.error, wanted, repository) or outcome.error.strip()[-_LAST_WORDS:]
            raise InstallError(
                f"The requirements can't be installed on the runner (exit code {outcome.exit_code}). {reason}"
            )

    def _tried(self, command: Sequence[str], repository: Path, lines: str, variables: Mapping[str, str]) -> Outcome:
        """How an installer has ended; its words are passed on up to an error: there may be another try."""
        error = list[str]()

        def say(line: str) -> None:
            if error or ERROR.match(line):
                error.append(line)
            else:
                self._say(line)

        try:
            self._run(command, repository, say, lines, variables)
        except _ProgramError as failure:
            return Outcome(failure.exit_code, "".join(error) or failure.output)
        return Outcome(0, "")

    def _uv(self) -> str:
        """The uv at hand, or one that pip brings: the image does without, since most runs never need it."""
        beside = Path(sys.executable).with_name("uv")
        found = str(beside) if beside.exists() else shutil.which("uv", path=self._passed_on.get("PATH"))
        if found is None:
            tools = self._folder / "tools"
            self._run([_base_python(), "-m", "venv", str(tools)], self._folder)
            self._run([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], self._folder)
            found = str(tools / "bin" / "uv")
        return found

    def _run(
        self,
        command: Sequence[str],
        folder: Path,
        say: Callable[[str], None] | None = None,
        lines: str = "",
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        # Inside of the folder unless told otherwise, so that nothing is left behind.
        environment = {"UV_CACHE_DIR": str(self._folder / "cache"), **self._passed_on, **self._of_installers}
        words = ""
        # In no folder: it is gone with the last process that has it open.
        with tempfile.TemporaryFile(dir=self._temp) as stdin:
            stdin.write(lines.encode())
            stdin.seek(0)
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, **variables, "HOME": str(self._home), "TMPDIR": str(self._temp)},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        with process:
            # Packages are built by processes of their own.
            end = threading.Timer(max(0.0, self._deadline - time.monotonic()), kill, [process.pid])
            end.start()
            try:
                for told in process.stdout or ():
                    # An index's address may hold a password.
                    line = without_credentials(told)
                    words = (words + line)[-2 * _LAST_WORDS :]
                    (say or self._say)(line)
            except BaseException:
                kill(process.pid)
                raise
            finally:
                end.cancel()
        if time.monotonic() >= self._deadline:
            raise InstallError(f"Stopped: it ran longer than its timeout of {minutes(self._timeout)}.")
        if process.returncode != 0:
            raise _ProgramError(process.returncode, words)


def _base_python() -> str:
    """The Python below the one that we run on, which is a virtual environment in the image."""
    return str(getattr(sys, "_base_executable", sys.executable))
