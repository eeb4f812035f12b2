"""Requirements as an installer is given them: what may hold a secret by its standard input, not in a command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_zenml.launch.payload.requirements.git_keys import expanded, without_keys

_FOR_A_LINE = re.compile(r"://|\$\{")
"""Options with these stand in a file: what has an address may have a password, and variables mean something there."""
_INDEX = re.compile(r"^--(default-)?index(?=[\s=])")
"""Options of uv that files of requirements have by pip's names."""
_THE_INDEX = re.compile(r"(?:-i|--index-url|--default-index)[\s=]+[\"']?(\S+?)[\"']?\s*")


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
            if of_index.setdefault(index, expanded(address[1], environment)) != expanded(address[1], environment):
                lines.append(f"--extra-index-url {address[1]}")
        elif not specifier.startswith("-") or _FOR_A_LINE.search(specifier):
            lines.append(_INDEX.sub(lambda found: "--index-url" if found[1] else "--extra-index-url", specifier))
        elif specifier.startswith("-r "):
            arguments += specifier.split(" ", 1)
        else:
            # As in a file of requirements, an option has its value in the same line.
            arguments += shlex.split(specifier)
    text = "".join(f"{line}\n" for line in lines)
    text, variables = without_keys(text, environment)
    return Given(tuple(arguments), text, of_index | variables)
