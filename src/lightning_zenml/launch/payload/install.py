"""Installs into the studio's own Python environment, and only what changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import IO

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.locks.lock import Lock, Outcome, distributions
from lightning_zenml.launch.payload.protocol import Installer
from lightning_zenml.launch.payload.requirements import git_keys
from lightning_zenml.launch.payload.requirements.installers import ERROR, Installers
from lightning_zenml.launch.payload.requirements.wanted import Wanted, without_credentials
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.variables import UV_TRAP

_MARKER = Path(sys.prefix) / layout.INSTALLED
_REMEMBERED = 20
"""How many installs an environment is known to have had."""


def environment_without_traps(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` and `uv` are the studio's real ones.

    A studio names a folder in UV_LIGHTNING_VIRTUALENV_ROOT that does not exist, and uv fails over it. PYTHONPATH
    holds our wheel, which only this program needs.
    """
    clean = {name: value for name, value in environment.items() if name not in (UV_TRAP, "PYTHONPATH")}
    clean["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), clean.get("PATH", os.defpath)])
    return clean


def digest(wheel: Path | None, specifiers: list[str], code: Path, installer: Installer = Installer.UV) -> str:
    """Of everything that the install depends on: interpreter, wheel, specifiers, contents of requirements files.

    Where something may come from elsewhere than an index, each launch's is another: what is installed from a local path
    is that launch's code, which is cleared away one day.
    """
    wanted = Wanted(specifiers, code)
    parts = [sys.executable, sys.version, wheel.parent.name if wheel else "", *specifiers, *wanted.contents]
    if installer is not Installer.UV:
        parts.append(installer)
    if not wanted.certain:
        parts.append(str(code))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_installed(wanted: str) -> bool:
    """Whether this environment has had that install, and nothing of it was replaced by another one."""
    return wanted in _installs()


def displaced(packages: Sequence[str]) -> str:
    """Tells, behind the command that has failed, that another command has replaced ZenML.

    Args:
        packages: requirement specifiers; of ZenML, the version that the server has.

    Returns:
        The versions, and what to do; '' where ZenML is as it was installed.
    """
    wanted = next((package.removeprefix("zenml==") for package in packages if package.startswith("zenml==")), "")
    with contextlib.suppress(metadata.PackageNotFoundError):
        if wanted and (now := metadata.version("zenml")) != wanted:
            return (
                f" (a command has replaced zenml=={wanted}, which is the server's version, by {now}: let it install "
                f"`zenml=={wanted}`, or leave zenml out)"
            )
    return ""


def install(
    specifiers: list[str],
    wheel: Path | None,
    *,
    code: Path,
    log: IO[bytes],
    environment: Mapping[str, str],
    timeout: float,
    first: Installer = Installer.UV,
    note: Callable[[bool], object] = lambda others_hold: None,
) -> Outcome:
    """Runs the install in the repository.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
        code: root of the repository.
        log: where its output goes.
        environment: variables of the installer.
        timeout: seconds that it may take.
        first: what installs it all.
        note: called once it has succeeded, with whether what was installed before is still whole.

    Returns:
        How the last installer that had a try has ended.
    """
    there, installs = distributions(), _installs()
    _MARKER.unlink(missing_ok=True)
    asked = Wanted(specifiers, code)
    lock = Lock.find(specifiers, asked=[line.text for line in asked.lines], there=there, environment=environment)
    deadline = time.monotonic() + timeout
    if not _uv():
        _Run(code, log, environment, deadline)([sys.executable, "-m", "pip", "install", "--quiet", "uv"])
    uv = _uv()
    with git_keys.hidden(asked.files, environment) as more:
        environment = {**environment, **more}
        run = _Run(code, log, environment, deadline)
        installers = Installers(
            python=sys.executable,
            uv=[uv] if uv else [sys.executable, "-m", "uv"],
            lock=lock,
            code=code,
            environment=environment,
            run=run,
            say=run.say,
        )
        outcome = installers.install(specifiers, wheel, first)
    if outcome.exit_code == 0:
        others_hold = _others(there) <= distributions()
        kept = installs if others_hold else []
        wanted = digest(wheel, specifiers, code, first)
        _MARKER.write_text(json.dumps({"digests": [*(one for one in kept if one != wanted), wanted][-_REMEMBERED:]}))
        note(others_hold)
    return outcome


class _Run:
    """Runs installers in the repository, one after the other, up to a deadline that they share."""

    def __init__(self, code: Path, log: IO[bytes], environment: Mapping[str, str], deadline: float) -> None:
        self._code = code
        self._log = log
        self._environment = environment
        self._deadline = deadline

    def say(self, text: str) -> None:
        """Writes to the log, without passwords in addresses: pip has them in what it tells."""
        self._log.write(without_credentials(text).encode())
        self._log.flush()

    def __call__(
        self, command: Sequence[str], lines: str = "", variables: Mapping[str, str] = MappingProxyType({})
    ) -> Outcome:
        """Runs an installer; its words go to the log, up to an error."""
        # In no folder: it is gone with the last process that has it open.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(lines.encode())
            stdin.seek(0)
            process = subprocess.Popen(
                command,
                cwd=self._code,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**self._environment, **variables},
                start_new_session=True,
            )
        error: list[str] = []
        reader = threading.Thread(target=self._pass_on, args=(process.stdout, error), daemon=True)
        reader.start()
        exit_code = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                exit_code = process.wait(self._deadline - time.monotonic())
        finally:
            # When the launch is stopped, too: packages are built by processes of their own.
            kill(process.pid)
            process.wait()
            # The pipe ends with the session.
            reader.join(timeout=5)
        return Outcome(exit_code, without_credentials("".join(error)))

    def _pass_on(self, output: IO[bytes], error: list[str]) -> None:
        """Passes an installer's output on as it comes, up to an error: there may be another try."""
        for line in output:
            text = line.decode(errors="replace")
            if error or ERROR.match(text):
                error.append(text)
            else:
                self.say(text)


def _installs() -> list[str]:
    """Digests of the installs that this environment has had and that hold beside one another."""
    try:
        return list(map(str, json.loads(_MARKER.read_text())["digests"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _others(there: set[str]) -> set[str]:
    """What an environment has of packages but for our own, which comes with each launch."""
    return {entry for entry in there if not entry.startswith("lightning_zenml-")}


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")
