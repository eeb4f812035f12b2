"""Reads single inputs out of `INPUT_*` variables, and notes what is wrong with them."""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lightning_zenml.action.inputs import paths, variables

_OF_EVERY_DOCKER_ACTION = frozenset({"entrypoint", "args"})
"""Inputs that GitHub gives every Docker action."""
_IF_UNSET = ". A secret that the repository does not have is empty: see its settings, Secrets and variables > Actions"
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class Reader:
    """Reads single inputs. A problem is noted, and a harmless value returned, so that all get noted.

    Args:
        environ: variables of the step.
        defaults: value of each input that is not given, or empty.
        variables: names of variables that stand in for inputs which are not given.
        workspace: folder of the checked-out repository, in which paths must exist; None: paths are only read.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        defaults: Mapping[str, str],
        variables: Mapping[str, str],
        workspace: Path | None,
    ) -> None:
        self._environ = environ
        self._defaults = defaults
        self._variables = variables
        self._mount = environ.get("GITHUB_WORKSPACE", "")
        self.workspace = workspace
        self.problems: list[tuple[str, str]] = []

    def unknown(self) -> list[tuple[str, str]]:
        """Names that are given and that no input has, each with what becomes of it."""
        given = (name.removeprefix("INPUT_").lower() for name in self._environ if name.startswith("INPUT_"))
        known = {*self._defaults, *_OF_EVERY_DOCKER_ACTION}
        unknown = sorted(name for name in given if name.replace("_", "-") not in known)
        return [(name, f"is no input of this action and is ignored{self._nearest(name)}") for name in unknown]

    def _nearest(self, name: str) -> str:
        nearest = difflib.get_close_matches(name.replace("_", "-"), self._defaults, n=1)
        return f"; did you mean `{nearest[0]}`?" if nearest else "."

    def text(self, name: str) -> str:
        """What is given, without white space around it; else the default."""
        upper = name.upper()
        names = [f"INPUT_{upper}", f"INPUT_{upper.replace('-', '_')}", self._variables.get(name, "")]
        # A workflow file that was written on Windows has its line ends in every input.
        given = (self._environ.get(variable, "").replace("\r\n", "\n").strip() for variable in names)
        value = next(filter(None, given), self._defaults[name])
        if "\0" in value or value != value.encode(errors="replace").decode():
            self.note(name, "is not valid UTF-8, or holds a NUL character")
            return self._defaults[name]
        return value

    def optional(self, name: str) -> str | None:
        """Text of any kind, or None."""
        return self.text(name) or None

    def line(self, name: str, limit: int = 1_000) -> str | None:
        """Text of one line, or None."""
        value = self.text(name)
        if len(value.splitlines()) > 1 or len(value) > limit:
            self.refuse(name, value, f"one line of at most {limit} characters")
            return None
        return value or None

    def name(self, name: str) -> str | None:
        """A name, which folders and addresses are made of, or None."""
        value = self.line(name, 100)
        if value and "/" in value:
            self.refuse(name, value, "a name without `/`")
        return value

    def secret(self, name: str, meaning: str = "") -> str:
        """A key or token, which is never shown; one that no HTTP header could carry is refused.

        Args:
            name: name of the input.
            meaning: what the input is, in words, where it must be given; else ''.
        """
        value = self.required(name, meaning, _IF_UNSET) if meaning else self.text(name)
        if not re.fullmatch(r"[!-~]*", value):
            self.note(name, "must be one line of ASCII characters without white space: was it copied whole, and alone?")
            return ""
        return value

    def required(self, name: str, meaning: str, more: str = "") -> str:
        """Text that must be given."""
        value = self.text(name)
        if not value:
            variable = self._variables.get(name)
            self.note(name, f"is required: {meaning}{f' (or set {variable})' if variable else ''}{more}")
        return value

    def launch_id(self, name: str) -> str | None:
        """The id of a launch, or None."""
        value = self.optional(name)
        if value and not re.fullmatch(r"[^/\x00-\x1f]+-[0-9a-f]{8}", value):
            self.refuse(name, value, "the output `launch-id` of an earlier step")
        return value

    def source(self, name: str) -> str | None:
        """A ZenML source path, `module.attribute`, or None."""
        value = self.optional(name)
        if value and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value):
            self.refuse(name, value, "the path of a pipeline in Python, e.g. `training.pipelines.train`")
        return value

    def boolean(self, name: str) -> bool:
        """A boolean as in YAML 1.2's core schema."""
        return _BOOLEANS[self.choice(name, tuple(_BOOLEANS), "`true` or `false`")]

    def choice(self, name: str, allowed: tuple[str, ...], description: str = "") -> str:
        """One of several words."""
        value = self.text(name)
        if value in allowed:
            return value
        self.refuse(name, value, description or "one of " + ", ".join(f"`{item}`" for item in allowed))
        return allowed[0]

    def number(self, name: str, most: float = sys.float_info.max) -> float | None:
        """A finite number above 0, at most so much, or None."""
        value = self.text(name)
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number <= most:
            limit = "" if most == sys.float_info.max else f", at most {most:g}"
            self.refuse(name, value, f"a number above 0{limit}")
            return None
        return number

    def whole_number(self, name: str, most: int) -> int | None:
        """A whole number from 1 to so many, or None."""
        value = self.text(name)
        if not value:
            return None
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else 0
        if not 1 <= number <= most:
            self.refuse(name, value, f"a whole number from 1 to {most}")
            return None
        return number

    def context(self, name: str) -> dict[str, Any]:
        """A context of GitHub's that is a mapping, as JSON; `null` where there is none."""
        value = self.text(name)
        try:
            context = json.loads(value or "null") or {}
        except (ValueError, RecursionError):
            context = None
        if isinstance(context, dict):
            return context
        self.refuse(name, value, f"left alone: it is GitHub's own `${{{{ toJSON({name}) }}}}`")
        return {}

    def url(self, name: str, meaning: str) -> str:
        """The address of a server, without a slash at the end."""
        value = self.required(name, meaning)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", value)
        except ValueError:
            usable = False
        if value and not usable:
            # Not shown: it may hold a password.
            self.note(name, "must be an address that begins with `https://`")
            return ""
        return value.rstrip("/")

    def folder(self, name: str) -> str:
        """A folder in the repository."""
        return self._path(name, self.text(name), Path.is_dir, "folder")

    def file(self, name: str) -> str | None:
        """A file in the repository, or None."""
        value = self.text(name)
        return self._path(name, value, Path.is_file, "file") if value else None

    def files(self, name: str) -> tuple[str, ...]:
        """Files in the repository, separated by commas, lines or spaces; a name may hold spaces where it's a file's."""
        parts = self.words(name, separator=r"[,\r\n]+")
        values = [value for part in parts for value in ([part] if self._is_file(part) else part.split())]
        return tuple(self._path(name, value, Path.is_file, "file") for value in values)

    def _is_file(self, path: str) -> bool:
        try:
            return self.workspace is not None and (self.workspace / path).is_file()
        except (OSError, ValueError):
            return False

    def words(self, name: str, *, separator: str = ",") -> tuple[str, ...]:
        """Several texts."""
        return tuple(part for part in (part.strip() for part in re.split(separator, self.text(name))) if part)

    def commands(self, name: str) -> tuple[str, ...]:
        """One command per line (a backslash at the end continues it), or a YAML list."""
        value = self.text(name)
        # `[ -f x ] && y` is bash: a list in brackets counts as one only if it begins with a quoted string.
        if not re.match(r"-\s|\[\s*[\"']", value):
            # As in bash, a line goes on behind a backslash that no other one escapes.
            lines = re.findall(r"(?:[^\\\n]|\\.|\\\n|\\$)+", value)
            return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        parsed = self._yaml(name, value, _is_list_of_texts, "one command per line, or a YAML list of strings")
        return tuple(command.strip() for command in parsed or ())

    def env(self, name: str) -> dict[str, str]:
        """Variables as a dotenv file has them. Of a line that is wrong only the number is told: it may be a secret."""
        found, problems = variables.parse(self.text(name))
        for problem in problems:
            self.note(name, problem)
        self.check_variables(name, found)
        return found

    def check_variables(self, name: str, given: Mapping[str, str]) -> None:
        """Notes variables with which nothing could run, or that contradict an input.

        Args:
            name: the input that gives them.
            given: the variables.
        """
        meant = {variable: (other, self.text(other)) for other, variable in self._variables.items() if self.text(other)}
        for problem in variables.conflicts(given, meant):
            self.note(name, problem)

    def mapping(self, name: str, allowed: str) -> dict[str, Any]:
        """A YAML mapping of plain values.

        Args:
            name: name of the input.
            allowed: what the input must be, in words.
        """
        value = self.text(name)
        parsed = self._yaml(name, value, _is_mapping, allowed) if value else {}
        try:
            plain: dict[str, Any] = json.loads(json.dumps(parsed or {}, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            self.note(name, "may hold only texts, numbers, booleans, lists and mappings (put dates in quotes)")
            return {}
        return plain

    def refuse(self, name: str, value: str, allowed: str) -> None:
        """Notes a value that is not allowed.

        Args:
            name: name of the input.
            value: text of the input as given.
            allowed: what the input must be, in words.
        """
        shown = f"`{value if len(value) <= 100 else value[:99] + '…'}`"
        if len(value.splitlines()) > 1:
            # Not shown: it may be a key that was put into the wrong place.
            shown = "Text of several lines"
        self.note(name, f"{shown} is not allowed: must be {allowed}")

    def note(self, name: str, message: str) -> None:
        """Notes a problem with an input, once."""
        if (name, message) not in self.problems:
            self.problems.append((name, message))

    def _path(self, name: str, value: str, exists: Callable[[Path], bool], kind: str) -> str:
        """A path relative to the repository."""
        normal = paths.from_root(value, self._mount)
        is_outside = paths.is_outside(normal)
        if not is_outside and (self.workspace is None or paths.leads_to(self.workspace, normal, exists)):
            return normal
        folder = paths.from_root(self.text("working-directory"), self._mount)
        meant = paths.in_folder(self.workspace, folder, normal, exists) if self.workspace is not None else ""
        hint = f"paths are relative to the repository's root: `{meant}`?" if meant else ""
        if is_outside:
            self.refuse(
                name, value, f"a path inside the repository, relative to its root{f' ({hint})' if hint else ''}"
            )
        else:
            where = f"in the repository ({hint or 'is it checked out?'})"
            self.note(name, f"`{normal}` is not allowed: there is no such {kind} {where}")
        return normal

    def _yaml(self, name: str, value: str, usable: Callable[[Any], bool], allowed: str) -> Any:
        try:
            parsed = yaml.load(value, _CoreLoader)  # noqa: S506 - derived from SafeLoader
        except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "a value that can't be read"
            self.note(name, f"is not valid YAML{where} ({problem}): must be {allowed}")
            return None
        if not usable(parsed):
            self.note(name, f"must be {allowed}")
            return None
        return parsed


class _CoreLoader(yaml.SafeLoader):
    """Takes for booleans what GitHub takes for them, those of YAML 1.2: `on` and `no` are texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(rf"(?:{'|'.join(_BOOLEANS)})$"), [word[0] for word in _BOOLEANS]
)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)
