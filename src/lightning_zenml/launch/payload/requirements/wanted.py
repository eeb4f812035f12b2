"""Reads what a project needs: specifiers, and the files of requirements behind them."""

from __future__ import annotations

import codecs
import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".bz2", ".xz", ".tgz", ".tbz", ".txz")
_FROM_INDEX = re.compile(
    r"""([A-Za-z0-9][\w.-]*) \s* (?:\[[\w\s,.-]*\])?  # name and extras
    [\s(]* (?: [=<>!~]{1,3} \s* [\w.*+!-]+ [\s,)]* )*  # versions
    (?: ;[^@]* )? (?: \s--hash[\s=].* )?""",
    re.VERBOSE,
)
_REMOTE = re.compile(
    r"""(?: (?:-e|--editable) [\s=]* )? ["']? (?: [\w.-]+ \s* (?:\[[^\]]*\])? \s* @ \s* )?
    (?: (?:git|hg|svn|bzr) \+ )? (?:https?|ssh|git) ://.*""",
    re.VERBOSE,
)
_OPTION = re.compile(
    r"(?:-i|--(?:extra-)?index-url|--(?:default-)?index)[\s=]+[\"']?https?://.*"
    r"|--(?:pre|prefer-binary|no-index|require-hashes|no-deps|no-build-isolation|no-cache(?:-dir)?|use-pep517)"
    r"|--(?:trusted-host|no-binary|only-binary|use-feature|index-strategy|prerelease|resolution|timeout)[\s=].*"
)
_INCLUDE = re.compile(r"(?:--requirements?|--constraints?|-r|-c)[\s=]*(.+)")
_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(frozen=True)
class Line:
    """One requirement, as somebody has written it.

    Args:
        text: requirement or option, without comment.
        file: file that it stands in, relative to the repository; '': none.
        number: number of its line in the file, from 1.
    """

    text: str
    file: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """Normalized name of the package; '' where it has none."""
        found = re.match(r"[A-Za-z0-9][\w.-]*", self.text)
        return normalized(found[0]) if found else ""

    def __str__(self) -> str:
        text = without_credentials(self.text)
        return f"`{text}` ({self.file}, line {self.number})" if self.file else f"`{text}`"


class Wanted:
    """What specifiers and the files behind them ask for.

    Only what is certain to come from an index is told from the rest. A mistake costs an install that changes nothing.

    Args:
        specifiers: requirement specifiers, and `-r FILE` relative to the repository.
        code: root of the repository.
    """

    def __init__(self, specifiers: Sequence[str], code: Path) -> None:
        self.lines: list[Line] = []
        self.contents: list[str] = []
        """Digests of the files."""
        self.certain = True
        """Whether all comes from an index, and all files are known."""
        self.files: list[Path] = []
        """The files, whole paths."""
        self._code = code
        self._read: set[Path] = set()
        for specifier in specifiers:
            self._take(Line(specifier), code)

    def _take(self, line: Line, folder: Path) -> None:
        if not line.text or _OPTION.fullmatch(line.text):
            return
        if included := _INCLUDE.fullmatch(line.text):
            name = included[1].strip()
            self._open(folder / (name if (folder / name).is_file() else name.strip("\"'")))
            return
        self.lines.append(line)
        plain = _FROM_INDEX.fullmatch(line.text)
        if not (plain and not plain[1].lower().endswith(_ARCHIVES)) and not _REMOTE.fullmatch(line.text):
            self.certain = False

    def _open(self, path: Path) -> None:
        try:
            path = path.resolve()
            if path in self._read:
                return
            self._read.add(path)
            data = path.read_bytes()
        except (OSError, ValueError):
            self.contents.append(f"unread {path}")
            self.certain = False
            return
        self.files.append(path)
        self.contents.append(hashlib.sha256(data).hexdigest())
        text = _decoded(data)
        name = str(path.relative_to(self._code.resolve())) if path.is_relative_to(self._code.resolve()) else str(path)
        if path.suffix in (".txt", ".in", ".pip", ""):
            lines = _logical_lines(text, name)
        else:
            lines, certain = _of_project(text, name) if path.suffix == ".toml" else ([], False)
            self.certain &= certain
        for line in lines:
            self._take(line, path.parent)


def without_credentials(text: str) -> str:
    """A text whose URLs tell neither user nor password, as those of private indexes have them."""
    return re.sub(r"(?<=://)[^\s/]+@", "***@", text)


def normalized(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _decoded(data: bytes) -> str:
    """As pip does: by its byte order mark, else UTF-8."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    return data.decode(errors="replace")


def _logical_lines(text: str, file: str) -> list[Line]:
    """Lines of a requirements file, continued ones as one, without comments."""
    lines, begun, pending = [], 0, ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        begun = begun or number
        # Before the backslash is looked for: a comment isn't continued.
        told = _COMMENT.sub("", line)
        if told.endswith("\\"):
            pending += told[:-1]
            continue
        lines.append(Line((pending + told).strip(), file, begun))
        begun, pending = 0, ""
    return [*lines, Line(pending.strip(), file, begun)]


def _of_project(text: str, file: str) -> tuple[list[Line], bool]:
    """Dependencies of a pyproject.toml, and whether they are all that uv reads of it."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return [], False
    project = told.get("project", {})
    dependencies = [str(one) for one in project.get("dependencies", [])]
    numbers = [text[: max(0, text.find(one))].count("\n") + 1 for one in dependencies]
    elsewhere = "project" not in told or "dependencies" in project.get("dynamic", []) or told.get("tool", {}).get("uv")
    return [Line(one, file, number) for one, number in zip(dependencies, numbers, strict=True)], not elsewhere
