"""Which files of a folder belong to a repository: what git would commit, as it is on disk now."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lightning_zenml.package.errors import PackageError

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


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A folder whose files travel together: a git checkout, a subfolder of one, or any other folder.

    Args:
        root: absolute path, symlinks resolved. Names of files are relative to it.
        checkout: root of the git checkout that `root` belongs to; None outside of git.
        commit: hex object name of HEAD; None outside of git and before the first commit.
    """

    root: Path
    checkout: Path | None = None
    commit: str | None = None

    @classmethod
    def open(cls, path: Path) -> Repository:
        """Look at a folder.

        Args:
            path: of an existing folder.

        Raises:
            PackageError: no such folder, git is needed but not installed, or git refuses the checkout.
        """
        root = path.resolve()
        if not root.is_dir():
            raise PackageError(f"There is no folder {str(path)!r} to package.")
        checkout = _checkout_around(root)
        if checkout is None:
            return cls(root=root)
        git = _Git(root, checkout)
        # Nothing that compares contents, as `git status` does: it would run filters (Git LFS) that are not installed.
        return cls(root=root, checkout=checkout, commit=git.line("rev-parse", "--verify", "--quiet", "HEAD"))

    def files(self) -> tuple[PurePosixPath, ...]:
        """List the files that belong, as they are on disk now, sorted by the bytes of their names.

        In a checkout: tracked files and untracked ones that no ignore rule names, also those of submodules
        and of repositories cloned into the checkout, each by its own rules. Elsewhere: all but `CACHES`.
        Symlinks are listed as such. Bytes of a name that aren't UTF-8 are surrogate escapes (PEP 383).

        Raises:
            PackageError: no files, a symlink that leads out of `root`, an unreadable folder, or git fails.
        """
        try:
            names = map(PurePosixPath, self._names())
            files = tuple(sorted(filter(_on_disk(self.root), set(names)), key=os.fsencode))
        except OSError as error:
            raise PackageError(f"The files of {str(self.root)!r} can't be listed: {error}.") from error
        if not files:
            raise PackageError(
                f"There are no files to package in {str(self.root)!r}. Check out the repository first "
                "(actions/checkout), and see that .gitignore doesn't name all of it."
            )
        _refuse_symlinks_out(self.root, files)
        return files

    def absent_submodules(self) -> tuple[PurePosixPath, ...]:
        """List submodules that aren't checked out, so can't travel (see `submodules` of actions/checkout)."""
        if self.checkout is None:
            return ()
        submodules = map(PurePosixPath, _Git(self.root, self.checkout).submodules())
        return tuple(name for name in submodules if not _is_checkout(self.root / name))

    def _names(self) -> Iterator[str]:
        return _walk(self.root) if self.checkout is None else _tracked_and_untracked(self.root, self.checkout)


class _Git:
    """The git program, in one folder of one checkout. Reads only."""

    _FOREIGN = (
        # A git hook sets these (`git rev-parse --local-env-vars`): they speak of its repository, not of ours.
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_DIR",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_WORK_TREE",
    )

    def __init__(self, folder: Path, checkout: Path) -> None:
        self._folder = folder
        # In a Docker action the workspace belongs to another user, which git refuses unless told otherwise.
        # Told per call, no configuration changes. By fsmonitor a checkout could start programs of its own.
        self._command = ("git", "-c", f"safe.directory={checkout}", "-c", "core.fsmonitor=false")

    def run(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> bytes:
        env = {name: value for name, value in os.environ.items() if name not in self._FOREIGN}
        env |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run((*self._command, *arguments), cwd=self._folder, env=env, capture_output=True)
        except FileNotFoundError as error:
            raise PackageError(
                f"{str(self._folder)!r} is a git checkout, but there is no git on the PATH to tell which "
                "files belong to it. Install git."
            ) from error
        if done.returncode not in accept:
            reason = os.fsdecode(done.stderr).strip() or f"exit code {done.returncode}"
            raise PackageError(f"git {arguments[0]} failed in {str(self._folder)!r}: {reason}")
        return done.stdout

    def line(self, *arguments: str) -> str | None:
        """One line of output; None where git answers a question with no (exit code 1)."""
        return os.fsdecode(self.run(*arguments, accept=(0, 1))).strip() or None

    def names(self, *arguments: str) -> list[str]:
        return [os.fsdecode(name) for name in self.run("ls-files", "-z", *arguments).split(b"\0") if name]

    def tracked(self) -> list[tuple[str, str]]:
        """Mode and name of each index entry; those of an unmerged file more than once."""
        entries = (entry.split("\t", 1) for entry in self.names("--stage"))
        return [(about.split(" ", 1)[0], name) for about, name in entries]

    def submodules(self) -> list[str]:
        return [name for mode, name in self.tracked() if mode == "160000"]


def _checkout_around(root: Path) -> Path | None:
    for folder in (root, *root.parents):
        if _is_checkout(folder):
            return None if _ignored(root, folder) else folder
    return None


def _ignored(root: Path, checkout: Path) -> bool:
    """Whether the folder is no part of the checkout around it: a project in a home folder kept in git."""
    git = _Git(root, checkout)
    return root != checkout and not git.names() and git.line("check-ignore", ".") is not None


def _is_checkout(folder: Path) -> bool:
    return (folder / ".git").exists() and not folder.is_symlink()


def _tracked_and_untracked(folder: Path, checkout: Path) -> Iterator[str]:
    git = _Git(folder, checkout)
    submodules = []
    for mode, name in git.tracked():
        if mode == "160000":
            submodules.append(name)
        else:
            yield name
    for name in git.names("--others", "--exclude-standard"):
        # git lists a repository within the checkout that is no submodule as a folder.
        if name.endswith("/"):
            submodules.append(name.rstrip("/"))
        elif not _CREDENTIALS.search(name):
            yield name
    for submodule in filter(lambda name: _is_checkout(folder / name), submodules):
        for name in _tracked_and_untracked(folder / submodule, folder / submodule):
            yield f"{submodule}/{name}"


def _walk(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry)
            if not entry.is_dir(follow_symlinks=False):
                if entry.name not in {".DS_Store", ".git"} and path.suffix != ".pyc":
                    yield entry.name
            elif entry.name not in CACHES and not (path / "pyvenv.cfg").exists():
                within = _tracked_and_untracked(path, path) if _is_checkout(path) else _walk(path)
                yield from (f"{entry.name}/{name}" for name in within)


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


def _refuse_symlinks_out(root: Path, names: Iterable[PurePosixPath]) -> None:
    symlinks = (name for name in names if (root / name).is_symlink())
    out = [name for name in symlinks if _leads_out(root, root / name)]
    if out:
        shown = ", ".join(f"{str(name)!r} -> {str((root / name).readlink())!r}" for name in out[:10])
        more = f" and {len(out) - 10} more" if len(out) > 10 else ""
        raise PackageError(
            f"Symlinks lead out of {str(root)!r}, to where nothing is on the studio: {shown}{more}. "
            "Make them relative and point into the repository, remove them, or name them in .gitignore."
        )


def _leads_out(root: Path, symlink: Path) -> bool:
    return symlink.readlink().is_absolute() or not Path(os.path.realpath(symlink)).is_relative_to(root)
