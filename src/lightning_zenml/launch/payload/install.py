"""Installs into the studio's own Python environment, and only what changed."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.session import kill
from lightning_zenml.launch.payload.variables import UV_TRAP

_MARKER = Path(sys.prefix) / layout.INSTALLED
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
    r"|--(?:pre|prefer-binary|no-index|require-hashes)|--(?:trusted-host|no-binary|only-binary|use-feature)[\s=].*"
)
_INCLUDE = re.compile(r"(?:--requirements?|--constraints?|-r|-c)[\s=]*(.+)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_CHARACTERS = 700
"""How much of an installer's own words a message has."""


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
        return _normalized(found[0]) if found else ""

    def __str__(self) -> str:
        return f"`{self.text}` ({self.file}, line {self.number})" if self.file else f"`{self.text}`"


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


def environment_without_traps(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` and `uv` are the studio's real ones.

    A studio names a folder in UV_LIGHTNING_VIRTUALENV_ROOT that does not exist, and uv fails over it. PYTHONPATH
    holds our wheel, which only this program needs.
    """
    clean = {name: value for name, value in environment.items() if name not in (UV_TRAP, "PYTHONPATH")}
    clean["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), clean.get("PATH", os.defpath)])
    return clean


def digest(wheel: Path, specifiers: list[str], code: Path) -> str:
    """Of everything that the install depends on: interpreter, wheel, specifiers, contents of requirements files.

    Where something may come from elsewhere than an index, each launch's is another: what is installed from a local path
    is that launch's code, which is cleared away one day.
    """
    wanted = Wanted(specifiers, code)
    parts = [sys.executable, sys.version, wheel.parent.name, *specifiers, *wanted.contents]
    if not wanted.certain:
        parts.append(str(code))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_installed(wanted: str) -> bool:
    """Whether this environment has had that install."""
    try:
        return bool(json.loads(_MARKER.read_text())["digest"] == wanted)
    except (OSError, ValueError, KeyError):
        return False


def forget() -> None:
    """From now on nothing counts as installed."""
    _MARKER.unlink(missing_ok=True)


def command(specifiers: list[str], wheel: Path | None = None) -> list[str]:
    """The install as one resolution, so that a conflict is found before anything changes.

    Args:
        specifiers: and `-r FILE`.
        wheel: ours, to be installed anew.
    """
    arguments = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    if uv := _uv():
        arguments[:3] = [uv]
    arguments += ["--reinstall-package", "lightning-zenml", str(wheel)] if wheel else []
    for specifier in specifiers:
        if specifier.startswith("-r "):
            arguments += specifier.split(" ", 1)
        else:
            # As in a file of requirements, an option has its value in the same line.
            arguments += shlex.split(specifier) if specifier.startswith("-") else [specifier]
    return arguments


def explain(output: str, specifiers: Sequence[str], code: Path) -> str:
    """Tells why an install has failed.

    Args:
        output: last output of the installer.
        specifiers: what was to be installed, see `Wanted`.
        code: root of the repository.

    Returns:
        The installer's own words in one line, where what they name is asked for, and what to do about it as far as that
        is known; '' for output without words.
    """
    words = _last_words(output)
    named = {_normalized(word) for word in re.findall(r"[A-Za-z0-9][\w.-]*[A-Za-z0-9]", words)}
    found = [line for line in Wanted(specifiers, code).lines if line.name in named]
    server = next((line.text.partition("==")[2] for line in found if line.name == "zenml" and not line.file), "")
    pins = [line for line in found if line.name == "zenml" and line.file]
    if server and pins:
        where = ", ".join(map(str, pins[:3]))
        return (
            f"{where} contradicts the ZenML server, which has version {server}: client and server must be of the same. "
            f"Write `zenml=={server}` or just `zenml` there, or use a server of that version. {words}"
        )
    files = ", ".join(str(line) for line in found if line.file and f"{line.file}:" not in words)
    return f"{words} Asked for here: {files}." if files and "No solution" in words else words


def install(
    arguments: list[str], *, wanted: str, code: Path, log: IO[bytes], environment: Mapping[str, str], timeout: float
) -> int | None:
    """Runs the install in the repository; returns its exit code, None when the timeout (seconds) came first."""
    deadline = time.monotonic() + timeout

    def run(*command: str) -> int | None:
        process = subprocess.Popen(
            command,
            cwd=code,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            return None
        finally:
            # When the launch is stopped, too: packages are built by processes of their own.
            kill(process.pid)
            process.wait()

    forget()
    if not _uv():
        run(sys.executable, "-m", "pip", "install", "--quiet", "uv")
    exit_code = run(*arguments)
    if exit_code == 0:
        _MARKER.write_text(json.dumps({"digest": wanted}))
    return exit_code


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def _last_words(output: str) -> str:
    """What uv or pip say last of an error, in one line."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" \t\r│├╰─▶") for line in output.splitlines()]
    lines = [line for line in lines if line]
    begins = [number for number, line in enumerate(lines) if re.match(r"(?i)\u00d7|error:|error ", line)]
    last = [re.sub(r"(?i)^(?:\u00d7|error:|cause:)\s*", "", line) for line in lines[begins[-1] if begins else -1 :]]
    words = ": ".join(filter(None, [last[0].rstrip(":") if last else "", " ".join(last[1:])]))
    words = words if len(words) <= _CHARACTERS else f"{words[:_CHARACTERS]} ..."
    return words if not words or words.endswith((".", "...")) else f"{words}."


def _normalized(name: str) -> str:
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
