"""Keys in the addresses of Git repositories: Git has them by its configuration, as its command line has the address."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

_GIT = re.compile(r"(?<=\bgit\+)(?P<scheme>https?://)(?!git@)(?P<user>[^\s/]+)@(?P<host>[^\s/]+)(?P<path>/[^\s@#;]*)?")
"""A user named `git` is no key: addresses have it that were meant for SSH."""
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
"""As files of requirements have them."""


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """A text with the values of the variables in it; those that aren't set stay as they are."""
    return _VARIABLE.sub(lambda name: environment.get(name[1], name[0]), text)


def without_keys(text: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Takes users and passwords out of Git's addresses.

    Args:
        text: lines of requirements.
        environment: variables of the installer.

    Returns:
        The lines, and the variables by which Git has what was taken out.
    """
    known: dict[str, dict[str, str]] = {}
    for found in _GIT.finditer(text):
        user = expanded(found["user"], environment)
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


@contextlib.contextmanager
def hidden(files: Sequence[Path], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A block in which files of requirements have no keys in Git's addresses; at its end they are as they were.

    Args:
        files: the files, of this launch's own copy of the repository; what is no UTF-8 stays as it is.
        environment: variables of the installer.

    Yields:
        The variables by which Git has the keys.
    """
    variables: dict[str, str] = {}
    with contextlib.ExitStack() as originals:
        for file in files:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                data = file.read_bytes()
                text, more = without_keys(data.decode(), {**environment, **variables})
                if more:
                    originals.callback(file.write_bytes, data)
                    file.write_bytes(text.encode())
                    variables |= more
        yield variables
