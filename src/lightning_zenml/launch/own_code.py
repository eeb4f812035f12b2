"""Code that a repository holds itself: its folders, its packages, and which of these have to be installed."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

_SOURCE = "src"
_NOT_OURS = frozenset(
    {
        *("tests", "test", "docs", "examples", "notebooks", "scripts", "build", "dist"),
        *("node_modules", "site-packages", "vendor", "third_party", "__pycache__"),
    }
)
_DEEPEST = 3
_MOST_FOLDERS = 2_000
_MOST_IN_A_FOLDER = 5_000
"""A folder of more holds data."""
_LARGEST = 1_000_000
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(?P<whence>\.*[\w.]*)[ \t]+import\b|import[ \t]+(?P<what>[^\n#;]+))", re.M)
_MODULE = re.compile(r"(?:^|\s)(?:-m|--module)[\s=]+(?P<name>[^\W\d]\w*)")
_SCRIPT = re.compile(r"(?:^|[\s;&|])python[\d.]*\s+(?:-\w+\s+)*(?P<file>[^\s;&|-][^\s;&|]*\.py)\b")
_ELSEWHERE = re.compile(r"PYTHONPATH|\b(?:cd|pushd)\s")
_INSTALLS = re.compile(
    r"\binstall\b.*?(?:\s(?:-e|--editable)\b|(?<!-r)(?<!-c)[\s\"']\.{1,2}(?:[/\[\"'\s]|$))"
    r"|\b(?:uv|poetry|pdm|hatch|rye|pixi|flit|pipenv)\s+(?:sync|install|run)\b"
    r"|\b(?:make|just|nox|tox)\s|\.sh\b|\bsetup\.py\b",
    re.MULTILINE,
)
_LISTED = re.compile(r"^\s*(?:(?:-e|--editable)\b|[\"']?\.{1,2}(?:[/\[\s]|$))|\bfile:", re.MULTILINE)
"""A path in a requirements file."""
_PATHS = re.compile(r"\b(?:path|workspace)\s*=")
"""A path among the dependencies in a pyproject.toml."""
_PACKAGE_DIR = re.compile(r"package_dir\s*=\s*(?:\{\s*(?:\"\"|'')\s*:\s*[\"'](?P<call>[\w./-]+)|=\s*(?P<cfg>[\w./-]+))")


@dataclass(frozen=True, kw_only=True)
class OwnPackage:
    """A package, or a module, that the repository holds.

    Args:
        name: name that it is imported by.
        folder: folder that it lies in, relative to the root of the repository, `.` for the root.
        project: folder of the project file by which it is installed, likewise; '' where there is none.
    """

    name: str
    folder: str
    project: str

    @property
    def path(self) -> str:
        """Path of the package, relative to the root of the repository."""
        return (PurePosixPath(self.folder) / self.name).as_posix()

    @property
    def install(self) -> str:
        """Bash that installs it, run in the root of the repository; '' where nothing does."""
        if not self.project:
            return ""
        return "pip install -e " + ("." if self.project == "." else shlex.quote(f"./{self.project}"))


@dataclass(frozen=True, kw_only=True)
class Imports:
    """What a Python file imports.

    Args:
        names: dotted names of modules; of `from vision import steps`, `vision`.
        is_relative: whether it imports from its own package by a leading dot.
    """

    names: frozenset[str]
    is_relative: bool

    @classmethod
    def of(cls, text: str) -> Imports:
        """Reads a file's text, which may be of any version of Python."""
        names: set[str] = set()
        is_relative = False
        for found in _IMPORT.finditer(text):
            whence = found["whence"]
            if whence is None:
                names.update(part.split()[0] for part in found["what"].split(",") if part.split())
            elif whence.startswith("."):
                is_relative = True
            else:
                names.add(whence)
        return cls(names=frozenset(names), is_relative=is_relative)


def folders(start: Path) -> Iterator[Path]:
    """A folder and those below it that may hold the repository's own code, the nearest first.

    Hidden ones, virtual environments, other repositories, tests, documentation and what is built stay out, and so does
    what lies more than three folders deep; a `src` doesn't count.

    Args:
        start: the folder to begin with.
    """
    waiting = deque([(start, 0)])
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            return
        folder, depth = waiting.popleft()
        yield folder
        for inside in _folders_in(folder):
            deeper = depth if inside.name == _SOURCE else depth + 1
            if deeper <= _DEEPEST:
                waiting.append((inside, deeper))


def find(root: Path, name: str) -> OwnPackage | None:
    """Finds a package that the repository holds; one that is installed by a project file before any other.

    Args:
        root: root of the repository.
        name: name that it is imported by, without a dot.
    """
    found = [package_in(root, folder, name) for folder in folders(root) if holds(folder, name)]
    return next((one for one in found if one.project), found[0] if found else None)


def package_in(root: Path, folder: Path, name: str) -> OwnPackage:
    """The package of that name that lies in a folder.

    Args:
        root: root of the repository.
        folder: the folder, in the repository.
        name: name that the package is imported by.
    """
    above = [folder, *folder.parents]
    projects = [one for one in above[: above.index(root) + 1] if _is_project(one)]
    by = [one for one in projects[:1] if folder in (one, *_sources(one)) and folder / name not in _sources(one)]
    project = by[0].relative_to(root).as_posix() if by else ""
    return OwnPackage(name=name, folder=folder.relative_to(root).as_posix(), project=project)


def is_source(root: Path, folder: Path) -> bool:
    """Whether packages lie in a folder as in `src`: nothing is found there that is not installed.

    Args:
        root: root of the repository.
        folder: the folder, in the repository.
    """
    above = [folder, *folder.parents]
    projects = (one for one in above[: above.index(root) + 1] if _is_project(one))
    return folder != root and (folder.name == _SOURCE or any(folder in _sources(project) for project in projects))


def lacking(root: Path, working_directory: str, run: str, pipeline: str = "") -> OwnPackage | None:
    """Finds a package that a command imports, and that Python doesn't find as long as nobody installs it.

    Args:
        root: root of the repository.
        working_directory: folder in which the command runs, relative to the root.
        run: bash that runs the pipeline.
        pipeline: dotted path of a pipeline in Python, instead of a command; '' for none.

    Returns:
        The package, which lies in a `src` or in what the project file has for one; None where all is found.
    """
    if _ELSEWHERE.search(run):
        return None
    started = root / working_directory
    wanted = [(started, found["name"]) for found in _MODULE.finditer(run)]
    if pipeline:
        wanted.append((started, pipeline.partition(".")[0]))
    for found in _SCRIPT.finditer(run):
        script = started / found["file"]
        text = text_of(script)
        if "sys.path" not in text:
            wanted += [(script.parent, name) for name in sorted(_tops(text))]
    missing = dict.fromkeys(name for folder, name in wanted if name and not holds(folder, name))
    sources = list(dict.fromkeys(_all_sources(root))) if missing else []
    found_in = ((folder, name) for name in missing for folder in sources if holds(folder, name))
    return next((package_in(root, folder, name) for folder, name in found_in), None)


def may_install(commands: Iterable[str], requirements: Sequence[Path], name: str) -> bool:
    """Whether something installs a package of the repository, or may well do so.

    Args:
        commands: bash that runs before and as the pipeline.
        requirements: requirements files that are installed.
        name: name of the package.
    """
    by_name = re.compile(rf"\binstall\b.*[\s\"'/]{re.escape(name)}\b")
    return any(
        _INSTALLS.search(command) or "PYTHONPATH" in command or by_name.search(command) for command in commands
    ) or any((_PATHS if file.suffix == ".toml" else _LISTED).search(text_of(file)) for file in requirements)


def holds(folder: Path, name: str) -> bool:
    """Whether a module or a package of that name lies in a folder.

    Args:
        folder: the folder.
        name: name that it would be imported by.
    """
    package = folder / name
    try:
        return package.with_name(f"{name}.py").is_file() or (
            package.is_dir() and any(next(package.glob(pattern), None) for pattern in ("*.py", "*/*.py"))
        )
    except (OSError, ValueError):
        return False


def text_of(path: Path) -> str:
    """A file's text; '' for one that isn't there, or is too large to be written by hand."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < _LARGEST else ""
    except (OSError, ValueError):
        return ""


def _tops(text: str) -> set[str]:
    return {name.partition(".")[0] for name in Imports.of(text).names}


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in islice(entries, _MOST_IN_A_FOLDER) if one.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [
        folder / name
        for name in names
        if name not in _NOT_OURS
        and not name.startswith(".")
        and not any((folder / name / sign).exists() for sign in ("pyvenv.cfg", "conda-meta", ".git"))
    ]


def _is_project(folder: Path) -> bool:
    """Whether pip can install what is in a folder."""
    told = _told(folder)
    if _at(told, "tool", "poetry", "package-mode") is False:
        return False
    is_listed = bool(_at(told, "project") or _at(told, "tool", "poetry") or _at(told, "build-system"))
    return is_listed or (folder / "setup.py").is_file()


def _sources(project: Path) -> Iterator[Path]:
    """The folders in which a project has its packages: `src`, which all tools know, and those that its files name."""
    told = _told(project)
    setuptools = _at(told, "tool", "setuptools")
    package_dir = _at(setuptools, "package-dir")
    of_setup = _PACKAGE_DIR.search(text_of(project / "setup.py")) or _PACKAGE_DIR.search(text_of(project / "setup.cfg"))
    poetry = _at(told, "tool", "poetry", "packages")
    of_hatch = _at(told, "tool", "hatch", "build", "targets", "wheel", "packages")
    named = [
        _SOURCE,
        *_texts(_at(setuptools, "packages", "find", "where")),
        *_texts([_at(package_dir, "")]),
        *(str(PurePosixPath(path).parent) for path in _texts(of_hatch)),
        *_texts([_at(one, "from") for one in poetry] if isinstance(poetry, list) else None),
        *_texts([_at(told, "tool", "pdm", "build", "package-dir")]),
        *_texts([_at(told, "tool", "uv", "build-backend", "module-root")]),
        *_texts([_at(told, "tool", "maturin", "python-source")]),
        *_texts([of_setup["call"] or of_setup["cfg"]] if of_setup else None),
    ]
    inside = (PurePosixPath(name) for name in dict.fromkeys(named))
    yield from (project / name for name in inside if name.parts and not name.is_absolute() and ".." not in name.parts)


def _all_sources(root: Path) -> Iterator[Path]:
    for folder in folders(root):
        if folder.name == _SOURCE and folder != root:
            yield folder
        if _is_project(folder):
            yield from _sources(folder)


def _told(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text_of(folder / "pyproject.toml"))
    except ValueError:
        return {}


def _at(told: Any, *names: str) -> Any:
    """What is at a place in a file that anybody may have written; None for nothing."""
    for name in names:
        told = told.get(name) if isinstance(told, dict) else None
    return told


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []
