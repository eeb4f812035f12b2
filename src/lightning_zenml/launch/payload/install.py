"""Installs into the studio's own Python environment, and only what changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.requirements.reason import is_for_pip
from lightning_zenml.launch.payload.requirements.wanted import Wanted
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.variables import UV_TRAP

_MARKER = Path(sys.prefix) / layout.INSTALLED


def environment_without_traps(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` and `uv` are the studio's real ones.

    A studio names a folder in UV_LIGHTNING_VIRTUALENV_ROOT that does not exist, and uv fails over it. PYTHONPATH
    holds our wheel, which only this program needs.
    """
    clean = {name: value for name, value in environment.items() if name not in (UV_TRAP, "PYTHONPATH")}
    clean["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), clean.get("PATH", os.defpath)])
    return clean


def digest(wheel: Path, specifiers: list[str], code: Path) -> str:
    """Of everything that the install depends on: interpreter, wheel, specifiers, contents of requirements files.

    Where something may come from elsewhere than an index, each launch's is another: what is installed from a local path
    is that launch's code, which is cleared away one day.
    """
    wanted = Wanted(specifiers, code)
    parts = [sys.executable, sys.version, wheel.parent.name, *specifiers, *wanted.contents]
    if not wanted.certain:
        parts.append(str(code))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_installed(wanted: str) -> bool:
    """Whether this environment has had that install."""
    try:
        return bool(json.loads(_MARKER.read_text())["digest"] == wanted)
    except (OSError, ValueError, KeyError):
        return False


def forget() -> None:
    """From now on nothing counts as installed."""
    _MARKER.unlink(missing_ok=True)


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


def command(specifiers: list[str], wheel: Path | None = None) -> list[str]:
    """The install as one resolution, so that a conflict is found before anything changes.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
    """
    arguments = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    if uv := _uv():
        arguments[:3] = [uv]
    arguments += ["--reinstall-package", "lightning-zenml", str(wheel)] if wheel else []
    return arguments + _arguments(specifiers)


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
    wheel: Path,
    *,
    wanted: str,
    code: Path,
    log: IO[bytes],
    output: Callable[[], str],
    environment: Mapping[str, str],
    timeout: float,
) -> int | None:
    """Runs the install in the repository.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
        wanted: digest of all that it depends on.
        code: root of the repository.
        log: where its output goes.
        output: the end of that, read back.
        environment: variables of the installer.
        timeout: seconds that it may take.

    Returns:
        The exit code; None when the timeout came first.
    """
    deadline = time.monotonic() + timeout

    def run(*command: str) -> int | None:
        process = subprocess.Popen(
            command,
            cwd=code,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            return None
        finally:
            # When the launch is stopped, too: packages are built by processes of their own.
            kill(process.pid)
            process.wait()

    forget()
    if not _uv():
        run(sys.executable, "-m", "pip", "install", "--quiet", "uv")
    exit_code = run(*command(specifiers, wheel))
    if exit_code and is_for_pip(output(), specifiers):
        log.write(b"uv can't read these requirements; pip may\n")
        log.flush()
        for arguments in commands_of_pip(specifiers, wheel):
            if exit_code := run(*arguments):
                break
    if exit_code == 0:
        _MARKER.write_text(json.dumps({"digest": wanted}))
    return exit_code


def _arguments(specifiers: Sequence[str]) -> list[str]:
    arguments = []
    for specifier in specifiers:
        if specifier.startswith("-r "):
            arguments += specifier.split(" ", 1)
        else:
            # As in a file of requirements, an option has its value in the same line.
            arguments += shlex.split(specifier) if specifier.startswith("-") else [specifier]
    return arguments


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")
