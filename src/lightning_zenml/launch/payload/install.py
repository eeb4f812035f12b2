"""Installs into the studio's own Python environment, and only what changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.locks.lock import Lock, Outcome, distributions
from lightning_zenml.launch.payload.requirements.reason import is_for_pip
from lightning_zenml.launch.payload.requirements.wanted import Wanted
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.variables import UV_TRAP

_MARKER = Path(sys.prefix) / layout.INSTALLED
_REMEMBERED = 20
"""How many installs an environment is known to have had."""
ERROR = re.compile(r"(?i)\s*(?:\x1b\[[0-9;]*m)*(?:error\b|\xd7)")
"""Begins a line in which an installer tells of an error."""
_WITH_HASHES = re.compile(r"--require-hashes\W{1,3}mode")
"""How uv and pip say that nothing may be without a hash, as something has one: uv, where the file demands it."""

_Installer = Callable[[list[str], Path | None], Outcome]


def environment_without_traps(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` and `uv` are the studio's real ones.

    A studio names a folder in UV_LIGHTNING_VIRTUALENV_ROOT that does not exist, and uv fails over it. PYTHONPATH
    holds our wheel, which only this program needs.
    """
    clean = {name: value for name, value in environment.items() if name not in (UV_TRAP, "PYTHONPATH")}
    clean["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), clean.get("PATH", os.defpath)])
    return clean


def digest(wheel: Path | None, specifiers: list[str], code: Path) -> str:
    """Of everything that the install depends on: interpreter, wheel, specifiers, contents of requirements files.

    Where something may come from elsewhere than an index, each launch's is another: what is installed from a local path
    is that launch's code, which is cleared away one day.
    """
    wanted = Wanted(specifiers, code)
    parts = [sys.executable, sys.version, wheel.parent.name if wheel else "", *specifiers, *wanted.contents]
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


def command(specifiers: list[str], wheel: Path | None = None, options: Sequence[str] = ()) -> list[str]:
    """The install as one resolution, so that a conflict is found before anything changes.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
        options: of uv, besides.
    """
    arguments = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    if uv := _uv():
        arguments[:3] = [uv]
    arguments += ["--reinstall-package", "lightning-zenml", str(wheel)] if wheel else []
    return [*arguments, *options, *_arguments(specifiers)]


def commands_of_pip(specifiers: list[str], wheel: Path | None = None, python: str = sys.executable) -> list[list[str]]:
    """The install by pip, which is slower.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
        python: the environment's Python.
    """
    own = [str(wheel)] if wheel else []
    first = [python, "-m", "pip", "install", "--disable-pip-version-check", *own, *_arguments(specifiers)]
    # pip keeps what has the same version, and would install everything anew if told not to.
    return [first, command([], wheel)] if wheel else [first]


def install(
    specifiers: list[str],
    wheel: Path | None,
    *,
    code: Path,
    log: IO[bytes],
    environment: Mapping[str, str],
    timeout: float,
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
        note: called once it has succeeded, with whether what was installed before is still whole.

    Returns:
        How the last installer that had a try has ended.
    """
    there, installs = distributions(), _installs()
    _MARKER.unlink(missing_ok=True)
    asked = [line.text for line in Wanted(specifiers, code).lines]
    lock = Lock.find(specifiers, asked=asked, there=there, environment=environment)
    installers = _Installers(code, log, environment, time.monotonic() + timeout, lock)
    if not _uv():
        installers.run(sys.executable, "-m", "pip", "install", "--quiet", "uv")
    outcome = installers.tried(installers.uv, specifiers, wheel)
    if outcome.exit_code and is_for_pip(outcome.error, specifiers):
        installers.say("uv can't read these requirements; pip may\n")
        outcome = installers.tried(installers.pip, specifiers, wheel)
    if outcome.exit_code == 0:
        others_hold = _others(there) <= distributions()
        kept = installs if others_hold else []
        wanted = digest(wheel, specifiers, code)
        _MARKER.write_text(json.dumps({"digests": [*(one for one in kept if one != wanted), wanted][-_REMEMBERED:]}))
        note(others_hold)
    return outcome


class _Installers:
    """Runs installers in the repository, one after the other, up to a deadline that they share."""

    def __init__(self, code: Path, log: IO[bytes], environment: Mapping[str, str], deadline: float, lock: Lock) -> None:
        self._code = code
        self._log = log
        self._environment = environment
        self._deadline = deadline
        self._lock = lock

    def tried(self, installer: _Installer, specifiers: list[str], wheel: Path | None) -> Outcome:
        """Installs all at once; files with hashes first, where nothing without one may stand beside them."""
        outcome = installer(specifiers, wheel)
        self.say(outcome.error)
        if outcome.exit_code and _WITH_HASHES.search(outcome.error):
            self.say("Requirements with hashes are installed first, by themselves\n")
            files = [one for one in specifiers if one.startswith("-r ")]
            outcome = installer(files, None)
            self.say(outcome.error)
            if outcome.exit_code == 0:
                outcome = installer([one for one in specifiers if one not in files], wheel)
                self.say(outcome.error)
        return outcome

    def uv(self, specifiers: list[str], wheel: Path | None) -> Outcome:
        """Installs by uv, with what the lock says."""
        return self._lock.tried(lambda options: self.run(*command(specifiers, wheel, options)))

    def pip(self, specifiers: list[str], wheel: Path | None) -> Outcome:
        """Installs by pip."""
        first, *more = commands_of_pip(specifiers, wheel)
        outcome = self.run(*first)
        for arguments in more if outcome.exit_code == 0 else ():
            outcome = self.run(*arguments)
        return outcome

    def say(self, text: str) -> None:
        """Writes to the log."""
        self._log.write(text.encode())
        self._log.flush()

    def run(self, *command: str) -> Outcome:
        """Runs an installer; its words go to the log, up to an error."""
        process = subprocess.Popen(
            command,
            cwd=self._code,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )
        error: list[bytes] = []
        reader = threading.Thread(target=_pass_on, args=(process.stdout, self._log, error), daemon=True)
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
        return Outcome(exit_code, b"".join(error).decode(errors="replace"))


def _arguments(specifiers: Sequence[str]) -> list[str]:
    arguments = []
    for specifier in specifiers:
        if specifier.startswith("-r "):
            arguments += specifier.split(" ", 1)
        else:
            # As in a file of requirements, an option has its value in the same line.
            arguments += shlex.split(specifier) if specifier.startswith("-") else [specifier]
    return arguments


def _installs() -> list[str]:
    """Digests of the installs that this environment has had and that hold beside one another."""
    try:
        return list(map(str, json.loads(_MARKER.read_text())["digests"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _others(there: set[str]) -> set[str]:
    """What an environment has of packages but for our own, which comes with each launch."""
    return {entry for entry in there if not entry.startswith("lightning_zenml-")}


def _pass_on(output: IO[bytes], log: IO[bytes], error: list[bytes]) -> None:
    """Passes an installer's output on as it comes, up to an error: there may be another try."""
    for line in output:
        if error or ERROR.match(line.decode(errors="replace")):
            error.append(line)
        else:
            log.write(line)
            log.flush()


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")
