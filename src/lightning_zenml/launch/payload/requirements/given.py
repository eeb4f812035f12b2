"""Requirements as an installer is given them: what may hold a secret by its standard input, not in a command line."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

_FOR_A_LINE = re.compile(r"://|\$\{")
"""Options with these stand in a file: what has an address may have a password, and variables mean something there."""
_INDEX = re.compile(r"^--(default-)?index(?=[\s=])")
"""Options of uv that files of requirements have by pip's names."""
_THE_INDEX = re.compile(r"(?:-i|--index-url|--default-index)[\s=]+[\"']?(\S+?)[\"']?\s*")
_GIT = re.compile(r"(?<=\bgit\+)(?P<scheme>https?://)(?P<user>[^\s/]+)@(?P<host>[^\s/]+)(?P<path>/[^\s@#;]*)?")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
"""As files of requirements have them."""


@dataclass(frozen=True)
class Given:
    """Requirements, as one run of an installer gets them.

    Args:
        arguments: options without a secret, and files.
        lines: lines of a file of requirements that is the installer's standard input; '' for none.
        variables: uv's index, which one in a file would contradict; and for Git, which has the address that it is
            called with in its command line, what it says to servers.
    """

    arguments: tuple[str, ...]
    lines: str
    variables: Mapping[str, str] = field(repr=False)


def given(specifiers: Sequence[str], environment: Mapping[str, str], *, index: str | None = None) -> Given:
    """Parts requirements by how an installer gets them.

    Args:
        specifiers: requirement specifiers, options as files of requirements have them, and `-r FILE`.
        environment: variables of the installer.
        index: name of a variable for the index, whose other names stay lines; None: there is none.
    """
    arguments: list[str] = []
    lines: list[str] = []
    of_index: dict[str, str] = {}
    for specifier in specifiers:
        if index and (address := _THE_INDEX.fullmatch(specifier)):
            if of_index.setdefault(index, _expanded(address[1], environment)) != _expanded(address[1], environment):
                lines.append(f"--extra-index-url {address[1]}")
        elif not specifier.startswith("-") or _FOR_A_LINE.search(specifier):
            lines.append(_INDEX.sub(lambda found: "--index-url" if found[1] else "--extra-index-url", specifier))
        elif specifier.startswith("-r "):
            arguments += specifier.split(" ", 1)
        else:
            # As in a file of requirements, an option has its value in the same line.
            arguments += shlex.split(specifier)
    text = "".join(f"{line}\n" for line in lines)
    text, variables = _without_keys_of_git(text, environment)
    return Given(tuple(arguments), text, of_index | variables)


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda name: environment.get(name[1], name[0]), text)


def _without_keys_of_git(text: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Lines without the user and password of Git's addresses, and the variables that have those instead."""
    known: dict[str, dict[str, str]] = {}
    for found in _GIT.finditer(text):
        user = _expanded(found["user"], environment)
        login = unquote(user if ":" in user else f"{user}:")
        known.setdefault(found["scheme"] + found["host"], {})[found["path"] or ""] = login
    configuration = []
    for host, logins in known.items():
        # Submodules are often of the same host, with the same key.
        places = {f"{host}/": next(iter(logins.values()))} if len(set(logins.values())) == 1 else logins
        for place, login in places.items():
            address = place if place.startswith(host) else host + place
            key = base64.b64encode(login.encode()).decode()
            configuration.append((f"http.{address}.extraHeader", f"Authorization: Basic {key}"))
    count = int(environment.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(count + len(configuration))} if configuration else {}
    for number, (name, value) in enumerate(configuration, count):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return _GIT.sub(lambda found: found["scheme"] + found["host"] + (found["path"] or ""), text), variables
