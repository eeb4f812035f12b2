"""Which files of a folder belong to a repository: what git would commit, as it is on disk now."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lightning_zenml.package.checkout import Checkout, Commit, Index
from lightning_zenml.package.errors import CheckoutError, PackageError
from lightning_zenml.package.listing import Listing, is_checkout
from lightning_zenml.package.missing import warnings

_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a pointer of Git LFS begins."""
_POINTER_LIMIT = 1024
"""Bytes that a pointer has less than."""


class File(NamedTuple):
    """A file or symlink as the file system knows it: one that is written to has another time afterwards.

    Args:
        mode: type and permissions.
        size: size in bytes.
        modified: nanoseconds since 1970 at which its content was last changed, as programs may pretend.
        changed: nanoseconds since 1970 at which content or permissions were last changed.
        inode: number in its file system.
        device: number of the file system.
    """

    mode: int
    size: int
    modified: int
    changed: int
    inode: int
    device: int

    @classmethod
    def of(cls, about: os.stat_result) -> File:
        """What `os.stat` and its like tell."""
        return cls(about.st_mode, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev)

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symlink."""
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What of a repository travels.

    Args:
        files: the files and symlinks by their names relative to the repository's root, sorted by the names' bytes.
            Bytes that aren't UTF-8 are surrogate escapes (PEP 383).
        warnings: sentences for the user, each on something that doesn't travel though the run may need it.
    """

    files: Mapping[str, File]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A folder whose files travel together: a git checkout, a subfolder of one, or any other folder.

    Args:
        root: absolute path, symlinks resolved.
        checkout: root of the git checkout that `root` belongs to; None outside of git.
        commit: the commit that is checked out; None outside of git, before the first one, and where git can't read it.
    """

    root: Path
    checkout: Path | None = None
    commit: Commit | None = None

    @classmethod
    def open(cls, path: Path) -> Repository:
        """Look at a folder.

        Args:
            path: path of an existing folder.

        Raises:
            PackageError: when there is no such folder, or git is needed but not installed.
        """
        root = path.resolve()
        if not root.is_dir():
            raise PackageError(f"There is no folder {str(path)!r} to package.")
        checkout = _checkout_around(root)
        if checkout is None:
            return cls(root=root)
        commit = None
        # What git can't read is told of with what is missing.
        with contextlib.suppress(CheckoutError):
            commit = Checkout(checkout, root).commit()
        return cls(root=root, checkout=checkout, commit=commit)

    def has_changes(self) -> bool | None:
        """Whether there is what the commit doesn't hold; None where that is not known, as outside of git."""
        return Checkout(self.checkout, self.root).has_changes() if self.checkout else None

    def contents(self) -> Contents:
        """List what belongs, as it is on disk now.

        In a checkout: tracked files and untracked ones that no ignore rule names, also those of submodules
        and of repositories cloned into the checkout, each by its own rules. Elsewhere: all but `CACHES`.
        A checkout that git can't read is listed by its ignore rules alone. Symlinks are listed as such, those that lead
        out of `root` are not, and no virtual environment is that isn't tracked.

        Raises:
            PackageError: when there are no files, a folder can't be read, or git is needed but not installed.
        """
        try:
            listing = Listing(self.root, self.checkout)
            files = _on_disk(self.root, sorted(listing.names, key=os.fsencode))
            links = (name for name, file in files.items() if file.is_symlink)
            out = {name: str((self.root / name).readlink()) for name in links if _leads_out(self.root, name)}
            files = {name: file for name, file in files.items() if name not in out}
            pointers = [name for name, file in files.items() if _is_pointer(self.root, name, file)]
        except OSError as error:
            raise PackageError(f"The files of {str(self.root)!r} can't be listed: {error}.") from error
        if not files:
            raise PackageError(
                f"There are no files to package in {str(self.root)!r}. Check out the repository first "
                "(actions/checkout), and see that .gitignore doesn't name all of it."
            )
        missing = warnings(
            unreadable=listing.unreadable,
            absent_submodules=sorted(listing.absent_submodules),
            pointers=pointers,
            symlinks_out=out,
        )
        return Contents(files=files, warnings=tuple(missing))

    def has_of(self, folder: Path) -> bool:
        """Whether files of a folder are among those that travel.

        Args:
            folder: path of the folder, somewhere in the repository or elsewhere.

        Raises:
            PackageError: see `contents`.
        """
        folder = folder.resolve()
        return folder.is_relative_to(self.root) and any(
            (self.root / name).resolve().is_relative_to(folder) for name in self.contents().files
        )


def commit_of(workspace: Path, folder: Path) -> Commit | None:
    """The commit that is checked out in a workspace, or in a folder of it where the workspace is no checkout itself.

    So `path:` of actions/checkout leaves one.

    Args:
        workspace: path of the workspace.
        folder: path of the folder in which the command runs, the workspace or below it.

    Raises:
        PackageError: when there is no such folder, or git is needed but not installed.
    """
    repository = Repository.open(workspace)
    return (repository if repository.checkout else Repository.open(folder)).commit


def _checkout_around(root: Path) -> Path | None:
    for folder in (root, *root.parents):
        if is_checkout(folder):
            return None if _ignored(root, folder) else folder
    return None


def _ignored(root: Path, checkout: Path) -> bool:
    """Whether the folder is no part of the checkout around it: a project in a home folder kept in git."""
    if root == checkout:
        return False
    git = Checkout(checkout, root)
    try:
        return git.index() == Index() and git.ignores_folder()
    except CheckoutError:
        return False


def _on_disk(root: Path, names: Iterable[str]) -> dict[str, File]:
    """The files and symlinks among the names that lie in folders of the root, not behind a symlink to a folder.

    git lists tracked files that were deleted, or whose folder was replaced by a symlink.
    """
    folders = {"": True}

    def is_folder(name: str) -> bool:
        if name not in folders:
            about = _about(root, name) if is_folder(name.rpartition("/")[0]) else None
            folders[name] = about is not None and stat.S_ISDIR(about.mode)
        return folders[name]

    there = ((name, _about(root, name)) for name in names if is_folder(name.rpartition("/")[0]))
    return {name: file for name, file in there if file and stat.S_IFMT(file.mode) in {stat.S_IFREG, stat.S_IFLNK}}


def _about(root: Path, name: str) -> File | None:
    try:
        # A Path would cost more than the look itself, which each of the files gets.
        return File.of(os.lstat(f"{root}/{name}"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_pointer(root: Path, name: str, file: File) -> bool:
    """Whether a file is what Git LFS leaves in place of one (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    if file.is_symlink or not len(_POINTER) < file.size < _POINTER_LIMIT:
        return False
    with (root / name).open("rb") as content:
        return content.read(len(_POINTER)) == _POINTER


def _leads_out(root: Path, name: str) -> bool:
    """Whether a symlink leads out of the root, or names a place of this machine."""
    path = root / name
    return path.readlink().is_absolute() or not Path(os.path.realpath(path)).is_relative_to(root)
