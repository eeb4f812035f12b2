"""Paths that inputs name: relative to the root of the repository, and never out of it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path


def from_root(value: str, mount: str) -> str:
    """A path relative to the repository's root; absolute, or beginning with `..`, where it lies outside.

    Args:
        value: the path as given. `${{ github.workspace }}/...` is fine: the same, written out.
        mount: where the Action sees the repository's root; '' where that is not known.
    """
    if mount and posixpath.isabs(value):
        value = posixpath.relpath(posixpath.normpath(value), posixpath.normpath("/" + mount))
    return posixpath.normpath(value)


def is_outside(path: str) -> bool:
    """Whether a path of `from_root` lies outside of the repository."""
    return posixpath.isabs(path) or path.split("/")[0] == ".."


def leads_to(workspace: Path, path: str, exists: Callable[[Path], bool]) -> bool:
    """Whether a path exists, and no link on the way leads out of the workspace.

    Args:
        workspace: root of the repository.
        path: the path, relative to it.
        exists: whether what is wanted is at a path.
    """
    try:
        target = (workspace / path).resolve()
        return target.is_relative_to(workspace.resolve()) and exists(target)
    except (OSError, RuntimeError, ValueError):
        # Too long a name, or links in a circle.
        return False


def in_folder(workspace: Path, folder: str, path: str, exists: Callable[[Path], bool]) -> str:
    """What was meant by a path that is not there, where it was written as seen from a folder; '' for nothing.

    Args:
        workspace: root of the repository.
        folder: that folder, relative to the root.
        path: the path that is not there.
        exists: whether what is wanted is at a path.
    """
    meant = posixpath.normpath(posixpath.join(folder, path))
    return meant if not is_outside(meant) and meant != path and leads_to(workspace, meant, exists) else ""
