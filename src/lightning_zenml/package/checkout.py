"""A git checkout, asked through GitPython. Nothing in it is changed.

The git program answers all: GitPython's own readers know neither an index of version 4, nor SHA-256, nor reftable, and
its `Repo` refuses folders that git can read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_zenml.deadline import within
from lightning_zenml.package.errors import CheckoutError, PackageError

if TYPE_CHECKING:
    from git import Git

_OF_A_HOOK = (
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
"""What a git hook sets (`git rev-parse --local-env-vars`): these speak of the hook's repository, not of ours."""
_PATIENCE = 300.0
"""Seconds that git may take for one answer."""
_SUBMODULE = "160000"
"""Mode of a submodule in the index."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit that is checked out.

    Args:
        sha: hex object name.
        branch: name of the branch that is checked out; '' where HEAD is detached, as actions/checkout leaves it.
        author: name of the commit's author; '' where the commit's object is not there.
        subject: first line of the commit's message; '' where the commit's object is not there.
    """

    sha: str
    branch: str = ""
    author: str = ""
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What git tracks in a folder. Bytes of a name that aren't UTF-8 are surrogate escapes (PEP 383).

    Args:
        files: names of files and symlinks relative to the folder; those of an unmerged file more than once.
        submodules: names of submodules relative to the folder, checked out or not.
    """

    files: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()


class Checkout:
    """A git checkout, looked at from one of its folders.

    Every method raises `PackageError` where git is not installed, and `CheckoutError` where it can't read the checkout.

    Args:
        root: folder that holds `.git`.
        folder: the folder whose files are asked for, `root` or below it.
        git_dir: the repository itself; None: what `.git` is or names.
    """

    def __init__(self, root: Path, folder: Path, git_dir: Path | None = None) -> None:
        self._folder = folder
        self._git = _program(root, folder, git_dir or _git_dir(root))

    @classmethod
    @contextmanager
    def of_rules_alone(cls, root: Path, folder: Path) -> Iterator[Checkout]:
        """A checkout in which nothing is tracked: what git would add to an empty repository.

        Args:
            root: folder whose `.gitignore` files hold.
            folder: the folder whose files are asked for, `root` or below it.
        """
        with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as scratch:
            git_dir = Path(scratch) / "git"
            empty = cls(root, folder, git_dir)
            empty._run("init", "--quiet", "--template=")
            yield empty

    def commit(self) -> Commit | None:
        """The commit that is checked out; None before the first one."""
        sha = self._line("rev_parse", "--verify", "--quiet", "HEAD")
        if sha is None:
            return None
        branch = self._line("symbolic_ref", "--quiet", "--short", "HEAD")
        code, told, _ = self._ask("log", "-1", "--no-show-signature", "--format=%an%x00%s")
        author, _, subject = ("" if code else os.fsdecode(told).strip()).partition("\0")
        return Commit(sha=sha, branch=branch or "", author=author, subject=subject)

    def has_changes(self) -> bool | None:
        """Whether the folder holds what is not committed; None where git can't compare.

        It compares contents through filters such as Git LFS, which may not be installed here.
        """
        code, told, _ = self._ask("status", "--porcelain", "--ignore-submodules=dirty", "--", ".")
        return None if code else bool(told)

    def index(self) -> Index:
        """What is tracked in the folder; what HEAD holds, where the index itself is lost."""
        files: list[str] = []
        submodules: list[str] = []
        entries = self._names("ls_files", "--stage")
        if not entries and not (self._folder / (self._line("rev_parse", "--git-path", "index") or "")).exists():
            entries = self._names("ls_tree", "-r", "HEAD") if self.commit() else []
        for entry in entries:
            about, _, name = entry.partition("\t")
            (submodules if about.startswith(_SUBMODULE) else files).append(name)
        return Index(files=tuple(files), submodules=tuple(submodules))

    def untracked(self) -> list[str]:
        """Names of files in the folder that are neither tracked nor ignored; a repository's ends with a slash."""
        return self._names("ls_files", "--others", "--exclude-standard")

    def ignores_folder(self) -> bool:
        """Whether an ignore rule names the folder."""
        return self._line("check_ignore", ".") is not None

    def _names(self, command: str, *arguments: str) -> list[str]:
        return [os.fsdecode(name) for name in self._run(command, "-z", *arguments).split(b"\0") if name]

    def _line(self, command: str, *arguments: str) -> str | None:
        """One line of output; None where git answers a question with no (exit code 1)."""
        return os.fsdecode(self._run(command, *arguments, accept=(0, 1))).strip() or None

    def _run(self, command: str, *arguments: str, accept: tuple[int, ...] = (0,)) -> bytes:
        code, told, reason = self._ask(command, *arguments)
        if code not in accept:
            name = command.replace("_", "-")
            raise CheckoutError(f"git {name} failed in {str(self._folder)!r}: {reason.strip() or f'exit code {code}'}")
        return told

    def _ask(self, command: str, *arguments: str) -> tuple[int, bytes, str]:
        """Exit code, output and errors of git. GitPython's own timeout would outlive a run that is cancelled.

        Raises:
            CheckoutError: if git doesn't answer in time.
        """
        from git import GitCommandNotFound

        how: dict[str, Any] = {"with_extended_output": True, "with_exceptions": False, "stdout_as_string": False}
        with _no_hook():
            try:
                code, told, reason = within(_PATIENCE, lambda: getattr(self._git, command)(*arguments, **how))
            except GitCommandNotFound as error:
                raise _no_git(self._folder) from error
            except TimeoutError:
                raise _no_answer(self._folder) from None
        return code, told, reason


def _git_dir(root: Path) -> Path:
    """What `.git` names, also where that is the path of another machine, and lies here in a checkout around it.

    In a Docker action the workspace is another folder than on the runner, where a submodule may have noted that.
    """
    dot_git = root / ".git"
    # What is no text and no path is told by git itself.
    with suppress(OSError, ValueError):
        noted = dot_git.read_text(errors="surrogateescape").strip().removeprefix("gitdir: ")
        _, found, below = noted.partition("/.git/")
        if found and not (root / noted).exists():
            moved = (folder / ".git" / below for folder in root.parents)
            return next((path for path in moved if (path / "HEAD").exists()), dot_git)
    return dot_git


def _program(root: Path, folder: Path, git_dir: Path) -> Git:
    try:
        git = within(_PATIENCE, _gitpython)
    except ImportError as error:
        raise _no_git(folder) from error
    except TimeoutError:
        raise _no_answer(folder) from None
    git.set_persistent_git_options(
        # As GitPython's working folder, one that can't be entered would be replaced by that of this process.
        C=str(folder),
        # By this a checkout could start programs of its own.
        c="core.fsmonitor=false",
        # Said outright, it is never a repository further up, never one that a hook or `core.worktree` names, and never
        # one that git refuses because another user owns it, as in a Docker action.
        git_dir=str(git_dir),
        work_tree=str(root),
    )
    # Nothing is written, asked or fetched.
    git.update_environment(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_NO_LAZY_FETCH="1")
    return git


def _gitpython() -> Git:
    # Asks git for its version, which costs a quarter of a second: only a checkout needs it.
    from git import Git

    return Git()


def _no_answer(folder: Path) -> CheckoutError:
    return CheckoutError(
        f"git has not answered in {str(folder)!r} for {_PATIENCE / 60:g} minutes. Can its disk be read, and is no "
        "other git at work there?"
    )


def _no_git(folder: Path) -> PackageError:
    return PackageError(
        f"{str(folder)!r} is a git checkout, but there is no git on the PATH to tell which files belong to it. "
        "Install git."
    )


@contextmanager
def _no_hook() -> Iterator[None]:
    """Hides a hook's variables meanwhile: GitPython hands on what this process has, and can only add to it."""
    hidden = {name: os.environ.pop(name) for name in _OF_A_HOOK if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
