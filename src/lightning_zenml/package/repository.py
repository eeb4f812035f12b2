"""Which files of a folder belong to a repository: what git would commit, as it is on disk now."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lightning_zenml.package.checkout import Checkout, Commit
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.listing import Listing, is_checkout

_MOST_SHOWN = 10
"""How many names a message holds."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What of a repository travels.

    Args:
        files: names of files and symlinks relative to the repository's root, sorted by their bytes. Bytes that
            aren't UTF-8 are surrogate escapes (PEP 383).
        warnings: sentences for the user, each on something that doesn't travel though the run may need it.
    """

    files: tuple[PurePosixPath, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A folder whose files travel together: a git checkout, a subfolder of one, or any other folder.

    Args:
        root: absolute path, symlinks resolved.
        checkout: root of the git checkout that `root` belongs to; None outside of git.
        commit: the commit that is checked out; None outside of git and before the first commit.
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
            PackageError: when there is no such folder, git is needed but not installed, or git can't read the
                checkout.
        """
        root = path.resolve()
        if not root.is_dir():
            raise PackageError(f"There is no folder {str(path)!r} to package.")
        checkout = _checkout_around(root)
        if checkout is None:
            return cls(root=root)
        return cls(root=root, checkout=checkout, commit=Checkout(checkout, root).commit())

    def has_changes(self) -> bool | None:
        """Whether there is what the commit doesn't hold; None where that is not known, as outside of git."""
        return Checkout(self.checkout, self.root).has_changes() if self.checkout else None

    def contents(self) -> Contents:
        """List what belongs, as it is on disk now.

        In a checkout: tracked files and untracked ones that no ignore rule names, also those of submodules
        and of repositories cloned into the checkout, each by its own rules. Elsewhere: all but `CACHES`.
        Symlinks are listed as such.

        Raises:
            PackageError: when there are no files, a symlink leads out of `root`, a folder can't be read, or git
                fails.
        """
        try:
            listing = Listing(self.root, self.checkout)
            names = map(PurePosixPath, listing.names)
            files = tuple(sorted(filter(_on_disk(self.root), names), key=os.fsencode))
        except OSError as error:
            raise PackageError(f"The files of {str(self.root)!r} can't be listed: {error}.") from error
        if not files:
            raise PackageError(
                f"There are no files to package in {str(self.root)!r}. Check out the repository first "
                "(actions/checkout), and see that .gitignore doesn't name all of it."
            )
        _refuse_symlinks_out(self.root, files)
        return Contents(files=files, warnings=tuple(_of_submodules(sorted(map(repr, listing.absent_submodules)))))


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
    index = git.index()
    return not (index.files or index.submodules) and git.ignores_folder()


def _on_disk(root: Path) -> Callable[[PurePosixPath], bool]:
    """Whether a name is a file or symlink that lies in folders of the root, not behind a symlink to a folder.

    git lists tracked files that were deleted, or whose folder was replaced by a symlink.
    """
    folders = {PurePosixPath(): True}

    def is_folder(name: PurePosixPath) -> bool:
        if name not in folders:
            folders[name] = is_folder(name.parent) and stat.S_ISDIR(_mode(root / name))
        return folders[name]

    def is_file(name: PurePosixPath) -> bool:
        return is_folder(name.parent) and stat.S_IFMT(_mode(root / name)) in {stat.S_IFREG, stat.S_IFLNK}

    return is_file


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _of_submodules(absent: Sequence[str]) -> Iterator[str]:
    if absent:
        yield (
            f"Submodules are not checked out, so their files don't travel: {_shown(absent)}. In a workflow, set "
            "`submodules: true` of actions/checkout (`recursive` for submodules of submodules); elsewhere, run "
            "`git submodule update --init --recursive`."
        )


def _refuse_symlinks_out(root: Path, names: Iterable[PurePosixPath]) -> None:
    symlinks = (name for name in names if (root / name).is_symlink())
    out = [name for name in symlinks if _leads_out(root, root / name)]
    if out:
        shown = _shown([f"{str(name)!r} -> {str((root / name).readlink())!r}" for name in out])
        raise PackageError(
            f"Symlinks lead out of {str(root)!r}, to where nothing is on the studio: {shown}. "
            "Make them relative and point into the repository, remove them, or name them in .gitignore."
        )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more


def _leads_out(root: Path, symlink: Path) -> bool:
    return symlink.readlink().is_absolute() or not Path(os.path.realpath(symlink)).is_relative_to(root)
