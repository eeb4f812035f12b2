"""The input `command-parameters`: what `/train` may set, and to what. Nothing but `machine`, where it is not given.

A parameter becomes an environment variable, whose name begins so that it replaces none that anything else reads; and
no value may hold a character that means something to a shell, a path or an option, should a command use it unquoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lightning_zenml.action.commands.command import CommandError, shown

MACHINE = "machine"
"""The parameter that stands for the input `machine-type`, and becomes no variable."""
_PREFIX = "COMMAND_"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NUMBER = r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?"
_WORD = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"


class Kind(StrEnum):
    """What a value must be."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    WORD = "word"


_VALUES: Mapping[Kind, tuple[re.Pattern[str], str]] = {
    Kind.NUMBER: (re.compile(_NUMBER), "a number, e.g. `0.1` or `1e-3`"),
    Kind.INTEGER: (re.compile(r"-?[0-9]{1,18}"), "a whole number"),
    Kind.BOOLEAN: (re.compile(r"true|false"), "`true` or `false`"),
    Kind.WORD: (
        re.compile(_WORD),
        "a word of letters, digits and `._+-`, at most 64, that begins with a letter or digit",
    ),
}
_CHOICE = re.compile(f"{_NUMBER}|{_WORD}")
_ALLOWED = (
    "`name: kind` with a kind of `number`, `integer`, `boolean` or `word`, or `name: [a, b]` with all that it may be"
)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter that a comment may set.

    Args:
        name: name in the comment.
        kind: what its value must be; None: one of `choices`.
        choices: all that it may be.
    """

    name: str
    kind: Kind | None = None
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Name of the environment variable that it becomes."""
        return f"{_PREFIX}{self.name.upper()}"

    def checked(self, value: str) -> str:
        """The value as it may be used.

        Args:
            value: what the comment says.

        Raises:
            CommandError: if the parameter may not be that.
        """
        if self.kind:
            pattern, allowed = _VALUES[self.kind]
            if pattern.fullmatch(value):
                return value
        else:
            allowed = "one of " + ", ".join(f"`{choice}`" for choice in self.choices)
            if same := [choice for choice in self.choices if choice.lower() == value.lower()]:
                return value if value in same else same[0]
        raise CommandError(f"`{self.name}` can't be `{shown(value)}`: it must be {allowed}.")


def read(given: Mapping[str, Any]) -> tuple[tuple[Parameter, ...], list[str]]:
    """Reads the input.

    Args:
        given: the input, as YAML has it.

    Returns:
        The parameters, and a sentence for each that can't be used.
    """
    parameters, problems = [], []
    for name, said in given.items():
        choices = tuple(map(_text, said)) if isinstance(said, list) else ()
        kind = Kind(said) if isinstance(said, str) and said in tuple(Kind) else None
        if not _NAME.fullmatch(name):
            problems.append(f"has the name `{shown(name)}`: names are small letters, digits and `_`, 40 at most")
        elif not (kind or choices) or not all(map(_CHOICE.fullmatch, choices)):
            problems.append(f"says nothing of use for `{name}`: must be {_ALLOWED}")
        elif name == MACHINE and kind not in (None, Kind.WORD):
            problems.append(f"makes `{MACHINE}` a {kind}: it is a `word`, or a list of machines")
        else:
            parameters.append(Parameter(name=name, kind=kind, choices=choices))
    return tuple(parameters), problems


def settled(
    given: tuple[tuple[str, str], ...], allowed: tuple[Parameter, ...], machines: tuple[str, ...]
) -> tuple[str | None, dict[str, str]]:
    """What a command sets.

    Args:
        given: names and values of the comment.
        allowed: the parameters that the workflow's author allows.
        machines: those that the input `machine-type` names, one of which may be chosen in any case.

    Returns:
        The machine, None where the comment names none, and environment variables.

    Raises:
        CommandError: if a name or a value isn't allowed.
    """
    known = {parameter.name: parameter for parameter in allowed}
    if machines:
        known.setdefault(MACHINE, Parameter(name=MACHINE, choices=machines))
    machine, variables = None, {}
    for name, value in given:
        if name not in known:
            those = ", ".join(f"`{one}`" for one in known)
            there_are = f"may set {those}" if those else "may set nothing"
            raise CommandError(
                f"`{name}` can't be set from a comment: this workflow says that one {there_are}. Its author may allow "
                "more by the input `command-parameters`."
            )
        if name == MACHINE:
            machine = known[name].checked(value)
        else:
            variables[known[name].variable] = known[name].checked(value)
    return machine, variables


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
