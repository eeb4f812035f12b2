"""The log of a step as GitHub shows it: groups folded, annotations coloured, colours of a terminal left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COMMAND = re.compile(r"::(\w[\w-]*)(?: [^:]*)?::(.*)", re.DOTALL)
"""A colon among its properties is escaped."""
_LEVELS = {"error", "warning", "notice", "debug"}


def log_as_html(log: str) -> str:
    """Renders a log.

    Args:
        log: as a runner has kept it, masked.
    """
    return "".join(_lines(log))


def _lines(log: str) -> Iterator[str]:
    is_in_group = False
    for line in log.splitlines():
        command = _COMMAND.fullmatch(line)
        name, text = (command[1], _unescaped(command[2])) if command else ("", line)
        shown = html.escape(_TERMINAL.sub("", text))
        if name in {"group", "endgroup"} and is_in_group:
            is_in_group = False
            yield "</pre></details>"
        if name == "group":
            is_in_group = True
            yield f"<details><summary>{shown}</summary><pre>"
        elif name in _LEVELS:
            yield _whole(f'<span class="{name}">{name.capitalize()}: {shown}</span>\n', is_in_group=is_in_group)
        elif name != "endgroup":
            yield _whole(f"{shown}\n", is_in_group=is_in_group)
    if is_in_group:
        yield "</pre></details>"


def _whole(line: str, *, is_in_group: bool) -> str:
    return line if is_in_group else f"<pre>{line}</pre>"


def _unescaped(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
