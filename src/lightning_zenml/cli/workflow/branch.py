"""The default branch of a repository, as far as it can be known: what the remote says, else what is likely."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.cli.github import asked

_REMOTE_HEAD = "refs/remotes/origin/HEAD"
_USUAL = ("main", "master")
_TOLD = re.compile(r"^ref: refs/heads/(\S+)\tHEAD$", re.MULTILINE)
_PATIENCE = 5.0
"""Seconds for the remote to answer."""


@dataclass(frozen=True, kw_only=True)
class DefaultBranch:
    """The branch that pushes are trained of.

    Args:
        name: its name.
        why: what says so, in words.
        is_guess: whether it may be another.
    """

    name: str
    why: str
    is_guess: bool

    @classmethod
    def of(cls, root: Path) -> DefaultBranch:
        """Asks git, and by it the remote `origin`, which has a few seconds to answer.

        Args:
            root: root of the repository.
        """
        if known := asked("git", "symbolic-ref", "--quiet", "--short", _REMOTE_HEAD, folder=root):
            return cls(name=known.removeprefix("origin/"), why="the default branch of `origin`", is_guess=False)
        has_remote = bool(asked("git", "remote", "get-url", "origin", folder=root))
        if has_remote and (told := _TOLD.search(_of_remote(root))):
            return cls(name=told[1], why="the default branch of `origin`", is_guess=False)
        silent = "`origin` doesn't tell its default branch" if has_remote else "there is no remote `origin` to ask"
        refs = [f"refs/{where}/{name}" for where in ("remotes/origin", "heads") for name in _USUAL]
        there = asked("git", "for-each-ref", "--format=%(refname)", *refs, folder=root).splitlines()
        if found := next((ref for ref in refs if ref in there), ""):
            return cls(name=found.rpartition("/")[2], why=silent, is_guess=True)
        checked_out = asked("git", "symbolic-ref", "--quiet", "--short", "HEAD", folder=root)
        return cls(name=checked_out or _USUAL[0], why=silent, is_guess=True)


def _of_remote(root: Path) -> str:
    """What the remote tells of its HEAD; '' where it refuses, would have to ask for a password, or takes too long."""
    command = ["git", "ls-remote", "--symref", "origin", "HEAD"]
    try:
        # In a session of its own, no program of git's finds a terminal to ask at, and all of them can be ended.
        with subprocess.Popen(
            command,
            cwd=root,
            env=_without_questions(os.environ, root),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as git:
            try:
                return git.communicate(timeout=_PATIENCE)[0]
            except subprocess.TimeoutExpired:
                return ""
            finally:
                if git.poll() is None:
                    os.killpg(git.pid, signal.SIGKILL)
    except OSError:
        return ""


def _without_questions(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """Variables with which git, and ssh as the user has set it, ask for nothing."""
    ssh = environ.get("GIT_SSH_COMMAND") or asked("git", "config", "core.sshCommand", folder=root)
    ssh = ssh or shlex.quote(environ.get("GIT_SSH") or "ssh")
    return {
        **environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GCM_INTERACTIVE": "never",
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout={_PATIENCE:g}",
    }
