"""Where a pipeline begins in a repository: the files that may start one, and the command that does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lightning_zenml.cli.github import asked
from lightning_zenml.launch import own_code
from lightning_zenml.launch.own_code import Imports

USUAL = ("run.py", "main.py", "train.py", "pipeline.py")
"""Names that pipelines are started by, the likeliest first."""
_MAIN = re.compile(r"^if __name__ == ['\"]__main__['\"]:", re.MULTILINE)
_ZENML = re.compile(r"^\s*(?:from|import) zenml\b", re.MULTILINE)
_OF_A_PACKAGE = "__main__.py"
_MOST_FILES = 3_000


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a pipeline is started.

    Args:
        working_directory: folder in which, relative to the root of the repository.
        command: command that does.
    """

    working_directory: str
    command: str


def entries(root: Path, folder: Path) -> list[Path]:
    """Files that start a pipeline, the likeliest first.

    Those in and below the folder come before those in and below the folders around it; then those that lie less deep,
    those with code that knows ZenML beside them, and those of a usual name.

    Args:
        root: root of the repository.
        folder: folder of it that is asked for.
    """
    around = [folder, *folder.parents]
    found: dict[Path, None] = {}
    seen: set[Path] = set()
    for start in around[: around.index(root) + 1]:
        new = [path for path in islice(_files(start), _MOST_FILES) if path not in seen]
        seen.update(new)
        found.update(dict.fromkeys(_starting(start, new)))
    ignored = asked("git", "-c", "core.quotePath=false", "check-ignore", *map(str, found), folder=root) if found else ""
    return [path for path in found if str(path) not in ignored.splitlines()]


def start_of(root: Path, file: Path) -> Start:
    """How a file is started: as a script in its folder, or as a module of the package that it is in.

    Args:
        root: root of the repository.
        file: the file, in the repository.
    """
    base = _base_of_package(root, file)
    if base is None or not all(part.isidentifier() for part in file.relative_to(base).with_suffix("").parts):
        return Start(working_directory=_inside(root, file.parent), command=f"python {shlex.quote(file.name)}")
    parts = file.relative_to(base).with_suffix("").parts
    module = ".".join(parts[:-1] if file.name == _OF_A_PACKAGE else parts)
    package = own_code.package_in(root, base, parts[0])
    return Start(working_directory=package.project or package.folder, command=f"python -m {module}")


def _files(start: Path) -> Iterator[Path]:
    for folder in own_code.folders(start):
        yield from sorted(path for path in folder.glob("*.py") if path.is_file())


def _starting(start: Path, files: list[Path]) -> list[Path]:
    found: list[tuple[int, Path, int]] = []
    of_zenml: set[Path] = set()
    for path in files:
        text = own_code.text_of(path)
        is_of_zenml = bool(_ZENML.search(text))
        if is_of_zenml:
            of_zenml.update(path.parents)
        starts = bool(_MAIN.search(text)) or path.name == _OF_A_PACKAGE
        # A run.py may import its pipelines from modules of its own, and start them without more ado.
        if (starts and (is_of_zenml or path.name in USUAL)) or path.name == USUAL[0]:
            rank = USUAL.index(path.name) if path.name in USUAL else len(USUAL)
            found.append((len(path.relative_to(start).parts), path, rank))
    found.sort(key=lambda one: (one[0], one[1].parent not in of_zenml, one[2], one[1]))
    return [path for _, path, _ in found]


def _base_of_package(root: Path, file: Path) -> Path | None:
    """The folder from which a file's package is imported; None for a script, which imports from beside itself."""
    folder = file.parent
    above = [folder, *folder.parents]
    packages = above[: above.index(root)]
    imports = Imports.of(own_code.text_of(file))
    for package in packages:
        if any(_is_of(package, name) for name in imports.names):
            return package.parent
    tops = {name.partition(".")[0] for name in imports.names}
    if not packages or (not imports.is_relative and any(own_code.holds(folder, name) for name in tops)):
        return None
    source = next((one for one in packages[1:] if own_code.is_source(root, one)), None)
    regular = [one for one in packages if (one / "__init__.py").is_file()]
    if source is not None:
        is_installed = bool(own_code.package_in(root, source, folder.name).project)
        return source if imports.is_relative or is_installed or folder in regular else None
    if not imports.is_relative:
        return None
    outermost = folder
    while outermost.parent in regular:
        outermost = outermost.parent
    return outermost.parent


def _is_of(package: Path, name: str) -> bool:
    """Whether a module's name is that of a package, or of one in it; a folder may only be called like a library."""
    top, _, rest = name.partition(".")
    is_ours = (package / "__init__.py").is_file() or (rest and own_code.holds(package, rest.partition(".")[0]))
    return top == package.name and bool(is_ours)


def _inside(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()
