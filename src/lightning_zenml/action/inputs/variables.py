"""The input `env`: variables for commands, run and steps, written as in a dotenv file.

Source: https://saurabh-kumar.com/python-dotenv/#file-format. Nothing is expanded, neither here nor on the studio.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Mapping

from dotenv.parser import Binding, parse_stream

from lightning_zenml.action.github.redactor import has_secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYSTEM_FOLDERS = ("/usr/bin", "/bin")
_ELSEWHERE = "use `export` in a line of `commands` instead, which changes it for the run and its steps only"
_RESERVED: Mapping[str, str] = {
    "HOME": f"the studio's programs find their files by it; {_ELSEWHERE}",
    "LD_LIBRARY_PATH": f"every program on the studio would load its libraries from there; {_ELSEWHERE}",
    "LD_PRELOAD": f"every program on the studio would load it; {_ELSEWHERE}",
    "PYTHONHOME": f"no Python on the studio would find its standard library; {_ELSEWHERE}",
}
"""Variables that break the programs of the studio, ours among them, and what to do instead."""
_SECRET_NAME = re.compile(
    r"KEY(?!WORD|BOARD)|TOKEN(?!I[SZ])|SECRET|PASSWORD|PASSWD|CREDENTIAL|(^|_)(PASS|PWD|AUTH|DSN)(_|$)", re.IGNORECASE
)
_HARMLESS_NAME = re.compile(r"(MAX|MIN|NUM|N)_(\w+_)?TOKENS|(SORT|GROUP|PARTITION|FOREIGN)_KEYS?", re.IGNORECASE)
"""Named like a secret, and none: masked, its value would be missing in the log wherever it is a word."""
_SECRET_VALUE = re.compile(r"\w+://[^\s/@]*:[^\s/@]+@|(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{20,}")
"""A URL that holds a password, or what looks as if it was made by chance: keys, tokens, addresses of webhooks."""
_DIGEST = re.compile(r"(?<![A-Za-z0-9])([0-9a-f]{40}|[0-9a-f]{64})(?![A-Za-z0-9])")
"""Of a commit, an image, a file: made by chance as well, and no secret."""
_SHORTEST_SECRET = 6
_NO_VARIABLE = (
    "not `NAME=value` (names are letters, digits and `_`; a value with several lines, or with quotes in it, needs "
    "quotes around the whole)"
)
_SEVERAL_LINES = "the begin of a value with several lines, such as a PEM key: put the whole value in quotes"
_COMMENT = (
    "ambiguous, a value that holds ` #` or one with a comment behind it: put the value in quotes, or the comment on a "
    "line of its own"
)
"""What may be wrong with a line, behind "line 3 is"."""


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """Reads `NAME=value` lines.

    `export` before the name, quotes around the value and comments are as in a dotenv file; a value in quotes may have
    several lines.

    Args:
        text: the input, its lines ended by a newline alone.

    Returns:
        The variables, and a sentence for each line that is wrong, or that may be meant in two ways. No value is told:
        it may be a secret.
    """
    variables: dict[str, str] = {}
    given: dict[str, int] = {}
    wrong: dict[str, list[int]] = {}
    again: list[str] = []
    in_key = False
    for binding in parse_stream(io.StringIO(text)):
        line, number = binding.original.string, binding.original.line + _blank_lines_before(binding)
        if in_key:
            in_key = "-----END" not in line
        elif problem := _problem(binding):
            wrong.setdefault(problem, []).append(number)
            in_key = problem is _SEVERAL_LINES and "-----END" not in line
        elif binding.key in given:
            again.append(f"gives the variable of line {given[binding.key]} again in line {number}")
        elif binding.key:
            variables[binding.key] = binding.value or ""
            given[binding.key] = number
    return variables, [f"is not allowed: {_listed(numbers)} {problem}" for problem, numbers in wrong.items()] + again


def conflicts(variables: Mapping[str, str], inputs: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Finds variables with which no run could work, or that contradict an input.

    Args:
        variables: as they would be set on the studio.
        inputs: by variable, the input that is meant and its value; '' where it has none.

    Yields:
        A sentence for each, with the input that is meant or another way.
    """
    for name, value in variables.items():
        if name in _RESERVED:
            yield f"sets `{name}`, which is not allowed: {_RESERVED[name]}"
        elif name == "PATH" and not _has_system_folders(value):
            yield (
                "sets `PATH` without the system's folders, so that no program would be found (nothing is expanded "
                "here, `$PATH` neither): put `export PATH=/opt/x:$PATH` into `commands` instead"
            )
        elif name in inputs and value != inputs[name][1]:
            yield f"sets `{name}` to something else than the input `{inputs[name][0]}`: set that input instead"


def is_secret(name: str, value: str) -> bool:
    """Guesses whether a variable's value must be masked, by its name and by what it looks like.

    Args:
        name: the name of the variable.
        value: what it is set to.
    """
    is_named_so = _SECRET_NAME.search(name) and not _HARMLESS_NAME.fullmatch(name)
    looks_so = _SECRET_VALUE.search(_DIGEST.sub("", value)) or has_secret(value)
    return len(value) >= _SHORTEST_SECRET and bool(is_named_so or looks_so)


def _blank_lines_before(binding: Binding) -> int:
    text = binding.original.string
    return text[: len(text) - len(text.lstrip())].count("\n")


def _problem(binding: Binding) -> str | None:
    line = binding.original.string.strip()
    if re.search(r"=\s*-----BEGIN", line.partition("\n")[0]):
        return _SEVERAL_LINES
    if binding.error or (binding.key and (binding.value is None or not _NAME.fullmatch(binding.key))):
        return _NO_VARIABLE
    value = line.partition("=")[2].lstrip()
    if value[:1] not in ("", '"', "'") and re.search(r"\s#", value):
        return _COMMENT
    return None


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
    return f"lines {shown} are" if len(numbers) > 1 else f"line {shown} is"


def _has_system_folders(path: str) -> bool:
    folders = {posixpath.normpath(folder) for folder in path.split(":") if folder}
    return all(folder in folders for folder in _SYSTEM_FOLDERS)
