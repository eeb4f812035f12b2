"""GitHub as this machine knows it: the repository of a folder, and whose token there is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from lightning_zenml.action.github.client import GitHub

_REMOTE = re.compile(r"[/:](?P<repository>[\w.-]+/[\w.-]+?)(?:\.git)?/?$")
_API = "https://api.github.com"
_PATIENCE = 30.0
"""Seconds for a program on this machine to answer."""


def repository_of(folder: Path) -> str:
    """Name of the repository on GitHub, `owner/name`, that a folder was cloned from; '' where that can't be told."""
    found = _REMOTE.search(asked("git", "remote", "get-url", "origin", folder=folder))
    return found["repository"] if found else ""


def token_of(environ: Mapping[str, str]) -> str:
    """The token for GitHub: that of a variable, else that of GitHub's own program; '' for none.

    Args:
        environ: environment variables, `GITHUB_TOKEN` and `GH_TOKEN` among them.
    """
    return environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or asked("gh", "auth", "token")


def connect(environ: Mapping[str, str], token: str, *, sleep: Callable[[float], None]) -> GitHub:
    """GitHub, or the server that `GITHUB_API_URL` names.

    Args:
        environ: environment variables.
        token: token that authorises the requests.
        sleep: function that waits for so many seconds.
    """
    return GitHub(environ.get("GITHUB_API_URL") or _API, token, sleep=sleep)


def asked(*command: str, folder: Path | None = None) -> str:
    """What a program says on standard output; '' where it is not there, refuses or takes too long.

    Args:
        command: program and arguments.
        folder: folder to run it in; None: this process's.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
