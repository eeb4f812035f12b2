"""The names of the files that belong to a folder: by git's rules in a checkout, else all but caches."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lightning_zenml.package.checkout import Checkout, Index
from lightning_zenml.package.errors import CheckoutError

_CREDENTIALS = re.compile(r"(^|/)gha-creds-[0-9a-f]+\.json$")
"""What google-github-actions/auth writes into the checkout, for this machine alone."""
CACHES = frozenset(
    {
        ".cache",
        ".eggs",
        ".git",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
"""Folders left out outside of git, as are virtual environments of any name, `*.pyc` and `.DS_Store`."""
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
"""What lies in a virtual environment of any name (https://docs.python.org/3/library/venv.html)."""


class Listing:
    """Lists a folder and the checkouts in it.

    Args:
        folder: the folder to list.
        checkout: root of the checkout that the folder belongs to; None outside of git.

    Attributes:
        names: names of what belongs, relative to the folder; also of tracked files that are not on disk.
        absent_submodules: names of submodules that are not checked out, relative to the folder.
        unreadable: git's reason by the name of each checkout that git can't read, relative to the folder.

    Raises:
        OSError: when a folder can't be read.
        PackageError: when git is needed but not installed.
    """

    def __init__(self, folder: Path, checkout: Path | None) -> None:
        self._root = folder
        self.absent_submodules: list[str] = []
        self.unreadable: dict[str, str] = {}
        self.names = set(self._walk(folder) if checkout is None else self._by_git(checkout, folder))

    def _by_git(self, root: Path, folder: Path) -> Iterator[str]:
        checkout = Checkout(root, folder)
        try:
            index, untracked = checkout.index(), checkout.untracked()
        except CheckoutError as error:
            self.unreadable[folder.relative_to(self._root).as_posix()] = str(error)
            with Checkout.of_rules_alone(root, folder) as rules:
                index, untracked = Index(), rules.untracked()
        yield from index.files
        for name in index.submodules:
            if is_checkout(folder / name):
                yield from self._nested(folder, name)
            elif (folder / name).is_dir() and any((folder / name).iterdir()):
                # Somebody has put the files there by other means, or taken `.git` away.
                with Checkout.of_rules_alone(folder / name, folder / name) as rules:
                    yield from (f"{name}/{one}" for one in rules.untracked() if not one.endswith("/"))
            else:
                self.absent_submodules.append((folder / name).relative_to(self._root).as_posix())
        is_installed = _in_virtual_environment(folder)
        for name in untracked:
            # git lists a repository within the checkout that is no submodule as a folder.
            if name.endswith("/"):
                yield from self._nested(folder, name.rstrip("/"))
            elif not _CREDENTIALS.search(name) and not is_installed(os.path.dirname(name)):  # noqa: PTH120
                yield name

    def _nested(self, folder: Path, name: str) -> Iterator[str]:
        within = self._by_git(folder / name, folder / name) if is_checkout(folder / name) else ()
        return (f"{name}/{one}" for one in within)

    def _walk(self, folder: Path) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = Path(entry)
                if not entry.is_dir(follow_symlinks=False):
                    if entry.name not in {".DS_Store", ".git"} and path.suffix != ".pyc":
                        yield entry.name
                elif entry.name not in CACHES and not (path / _VIRTUAL_ENVIRONMENT).exists():
                    within = self._by_git(path, path) if is_checkout(path) else self._walk(path)
                    yield from (f"{entry.name}/{name}" for name in within)


def _in_virtual_environment(folder: Path) -> Callable[[str], bool]:
    """Whether a folder, named relative to the given one, is or lies in a virtual environment below that one."""

    @functools.cache
    def is_in(name: str) -> bool:
        return bool(name) and (
            (folder / name / _VIRTUAL_ENVIRONMENT).exists() or is_in(os.path.dirname(name))  # noqa: PTH120
        )

    return is_in


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the root of a git checkout, and no symlink to one."""
    return (folder / ".git").exists() and not folder.is_symlink()
