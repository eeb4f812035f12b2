"""Installs into the studio's own Python environment, and only what changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.variables import UV_TRAP

_MARKER = Path(sys.prefix) / layout.INSTALLED
_LOCAL = re.compile(
    r"""^\s*
    (?: (?:-e|--editable|-f|--find-links) [\s=]* )?
    (?: [^\s@]+ \s* @ \s* )?  # name @
    (?: file: | \. | [^-\s:;\#\[] [^\s:;\#\[]* (?: / | \.whl | \.zip | \.tar\.gz ) )
    """,
    re.MULTILINE | re.VERBOSE,
)
"""A line of requirements that installs from a path; other URLs have a colon before their first slash."""


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

    Where one of them names a local path, each launch's is another: what is installed from there is that launch's code,
    which is cleared away one day.
    """
    wanted = [*specifiers]
    wanted += [
        content
        for specifier in specifiers
        if specifier.startswith("-r ")
        for content in _contents(code / specifier[3:])
    ]
    parts = [sys.executable, sys.version, wheel.parent.name, *wanted]
    if any(_LOCAL.search(text) for text in wanted):
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
    for specifier in specifiers:
        arguments += specifier.split(" ", 1) if specifier.startswith("-r ") else [specifier]
    return arguments


def install(
    arguments: list[str], *, wanted: str, code: Path, log: IO[bytes], environment: Mapping[str, str], timeout: float
) -> int | None:
    """Runs the install in the repository; returns its exit code, None when the timeout (seconds) came first."""
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
    exit_code = run(*arguments)
    if exit_code == 0:
        _MARKER.write_text(json.dumps({"digest": wanted}))
    return exit_code


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def _contents(requirements: Path) -> list[str]:
    """The file and the files that it includes."""
    if not requirements.is_file():
        return [f"missing {requirements}"]
    text = requirements.read_text(errors="replace")
    included = re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]+(\S+)", text, re.MULTILINE)
    return [text, *(content for name in included for content in _contents(requirements.parent / name))]
