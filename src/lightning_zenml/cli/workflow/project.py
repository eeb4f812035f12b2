"""What a repository shows of itself: where its pipeline begins, what it installs, its branch, its name on GitHub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lightning_zenml.cli.errors import CliError
from lightning_zenml.cli.github import asked, repository_of
from lightning_zenml.launch import requirements

_USUAL = ("run.py", "main.py", "train.py", "pipeline.py")
"""Names that pipelines are started by, the likeliest first."""
_NOT_OURS = frozenset({"tests", "test", "docs", "examples", "notebooks", "node_modules", "build", "dist", "scripts"})
_MAIN = re.compile(r"^if __name__ == ['\"]__main__['\"]:", re.MULTILINE)
_ZENML = re.compile(r"^\s*(?:from|import) zenml\b", re.MULTILINE)
_LARGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Project:
    """A repository.

    Args:
        root: root of the repository.
        repository: name on GitHub, `owner/name`; '' where that can't be told.
        default_branch: name of the default branch.
        working_directory: folder in which the pipeline is started, relative to the root.
        command: command that starts it there.
        others: other files that may start a pipeline, relative to the root.
        requirements: file that lists what it installs, relative to the root; '' for none.
        to_do: what the user has to do about requirements, in words; '' for nothing.
        has_submodules: whether there are git submodules.
        has_lfs: whether there are Git LFS files.
    """

    root: Path
    repository: str
    default_branch: str
    working_directory: str
    command: str
    others: tuple[str, ...]
    requirements: str
    to_do: str
    has_submodules: bool
    has_lfs: bool

    @classmethod
    def of(cls, folder: Path, command: str = "") -> Project:
        """Looks at the repository around a folder.

        Args:
            folder: the folder.
            command: command that starts the pipeline in the root, where the user says so; '': it is looked for.

        Raises:
            CliError: if no file looks like one that starts a pipeline.
        """
        root = root_of(folder)
        entries = [] if command else _entries(root)
        if not command and not entries:
            raise CliError(
                f"No Python file in {root} looks like one that starts a ZenML pipeline ({', '.join(_USUAL)}, or one "
                'with `if __name__ == "__main__":` that imports zenml). Name the command: '
                "`lightning-zenml init --run 'python my_script.py'`."
            )
        entry = PurePosixPath(entries[0]) if entries else PurePosixPath()
        directory = str(entry.parent)
        command = command or f"python {entry.name}"
        file = requirements.overlooked(root, directory, [command])
        to_do = requirements.refusal(root / file) if file else ""
        return cls(
            root=root,
            repository=repository_of(root),
            default_branch=_default_branch(root),
            working_directory=directory,
            command=command,
            others=tuple(entries[1:]),
            requirements="" if to_do else file,
            to_do=f"{file}: {to_do}." if to_do else "",
            has_submodules=(root / ".gitmodules").is_file(),
            has_lfs="filter=lfs" in _text(root / ".gitattributes"),
        )


def root_of(folder: Path) -> Path:
    """Root of the repository that a folder is in; the folder itself outside of any."""
    top = asked("git", "rev-parse", "--show-toplevel", folder=folder)
    return Path(top) if top else folder.resolve()


def _entries(root: Path) -> list[str]:
    """Files that start a pipeline: the usual names first, those in the root before those in a folder of it."""
    found = []
    for path in [*root.glob("*.py"), *root.glob("*/*.py")]:
        inside = path.relative_to(root)
        if (
            inside.parts[0] in _NOT_OURS
            or inside.parts[0].startswith(".")
            or (root / inside.parts[0] / "pyvenv.cfg").exists()
        ):
            continue
        text = _text(path)
        starts = bool(_MAIN.search(text))
        # A run.py may import its pipelines from modules of its own, and start them without more ado.
        if (starts and (_ZENML.search(text) or path.name in _USUAL)) or path.name == _USUAL[0]:
            rank = _USUAL.index(path.name) if path.name in _USUAL else len(_USUAL)
            found.append((len(inside.parts), rank, inside.as_posix()))
    return [name for _, _, name in sorted(found)]


def _default_branch(root: Path) -> str:
    """As the remote has it, else the branch that is checked out."""
    head = asked("git", "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", folder=root)
    return (
        head.removeprefix("origin/")
        or asked("git", "symbolic-ref", "--quiet", "--short", "HEAD", folder=root)
        or "main"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < _LARGEST else ""
    except OSError:
        return ""
