"""Versions that projects take from git: its history does not travel, and without a version nothing is installed.

A file `.git_archival.txt` stands in for it, as in an archive of GitHub's
(https://setuptools-scm.readthedocs.io/en/latest/usage/#git-archives); hatch-vcs reads it as setuptools-scm does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_ARCHIVAL = ".git_archival.txt"
_UNWRITTEN = "$Format"
"""In the file of a checkout, where git writes something in an archive."""
_TOOL = re.compile(r"\b(?:setuptools[-_.]scm|hatch[-_.]vcs|use_scm_version)\b")
_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_DEEPEST = 3
"""Folders below the root in which a project may lie."""


def stand_in(code: Path) -> None:
    """Writes the file beside each project that needs it, for a commit without a tag; what is there is left alone.

    Args:
        code: root of the repository.
    """
    for folder in _folders(code):
        file = folder / _ARCHIVAL
        if any(_TOOL.search(_text(folder / name)) for name in _FILES) and (
            not file.exists() or _UNWRITTEN in _text(file)
        ):
            # Where it can't be written, the tool says what it misses.
            with contextlib.suppress(OSError):
                file.write_text(f"node: {'0' * 40}\n")


def _folders(code: Path) -> Iterator[Path]:
    for path, inside, _ in os.walk(code):
        folder = Path(path)
        yield folder
        at_last = len(folder.relative_to(code).parts) >= _DEEPEST
        inside[:] = [] if at_last else [name for name in inside if not name.startswith(".") and name != "node_modules"]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
