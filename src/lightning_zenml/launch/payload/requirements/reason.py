"""Why an installer has failed, in its own words and the user's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lightning_zenml.launch.payload.requirements.wanted import Wanted, normalized

_UNREAD = re.compile(
    r"(?im)^\s*(?:error:|\u00d7) (?:.*(?:parse|parsing|must be followed by)|Expected|Unexpected|Invalid URL|Unsupported"
    r"|Distribution not found at: file:)"
)
"""How uv says that it can't read a file of requirements, or what a line of it names."""
_CHARACTERS = 700
"""How much of an installer's own words a message has."""


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
    named = {normalized(word) for word in re.findall(r"[A-Za-z0-9][\w.-]*[A-Za-z0-9]", words)}
    found = [line for line in Wanted(specifiers, code).lines if line.name in named]
    server = next((line.text.partition("==")[2] for line in found if line.name == "zenml" and not line.file), "")
    pins = [line for line in found if line.name == "zenml" and line.file]
    if server and pins:
        where = ", ".join(map(str, pins[:3]))
        return (
            f"{where} contradicts the ZenML server, which has version {server}: client and server must be of the same. "
            f"Write `zenml=={server}` or just `zenml` there, or use a server of that version. {words}"
        )
    if not re.search("No solution|conflict", words):
        return words
    files = ", ".join(str(line) for line in found if line.file and f"{line.file}:" not in words)
    asked = f" Asked for here: {files}." if files else ""
    server_too = f" The ZenML server has version {server}, and its client must have the same." if server else ""
    return f"{words}{asked}{server_too}"


def is_for_pip(output: str) -> bool:
    """Whether uv has failed over lines that pip may read: `-rbase.txt`, quotes, lines that go on in the next.

    Args:
        output: last output of uv.
    """
    return bool(_UNREAD.search(_plain(output)))


def _last_words(output: str) -> str:
    """What uv or pip say last of an error, in one line."""
    lines = [line.strip(" \t\r│├╰─▶") for line in _plain(output).splitlines()]
    # pip says this last, below what could not be resolved.
    lines = [line for line in lines if line and not line.startswith("ERROR: ResolutionImpossible")]
    begins = [number for number, line in enumerate(lines) if re.match(r"(?i)\u00d7|error:|error ", line)]
    last = [re.sub(r"(?i)^(?:\u00d7|error:|cause:)\s*", "", line) for line in lines[begins[-1] if begins else -1 :]]
    words = ": ".join(filter(None, [last[0].rstrip(":") if last else "", " ".join(last[1:])]))
    words = words if len(words) <= _CHARACTERS else f"{words[:_CHARACTERS]} ..."
    # What stands in no file reaches uv and pip so.
    words = re.sub(r"`-`|/dev/stdin|(?<= )-(?=:\d+:\d+)", "the list of requirements", words)
    return words if not words or words.endswith((".", "...")) else f"{words}."


def _plain(output: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", output)
