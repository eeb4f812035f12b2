"""What a command shows: tables and words for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 1000
"""Columns where nobody looks at a terminal: a line is never broken for whoever reads it with a program."""
_STYLES = {
    **dict.fromkeys(["completed", "ok", "ended"], "green"),
    **dict.fromkeys(["failed", "left", "wrong"], "red"),
    **dict.fromkeys(["stopped", "stopping", "paused", "unsure", "warning"], "yellow"),
    **dict.fromkeys(["running", "in use"], "cyan"),
}
"""Colours of words that stand alone in a cell."""


class Output:
    """Results on standard output, everything else on standard error.

    Colours are left out where there is no terminal, and where `NO_COLOR` is set.

    Args:
        is_json: whether results are wanted as JSON.
    """

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        width = None if sys.stdout.isatty() else _UNBOUNDED
        self._console = Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Shows a table for people.

        Args:
            columns: heads of the columns.
            rows: texts of the cells, one for each column.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        self._console.print(table)

    def line(self, text: str = "", *, style: str = "") -> None:
        """Shows a line for people, which breaks nowhere by itself."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def row(self, word: str, text: str) -> None:
        """Shows a line for people that begins with a word in its colour."""
        self._console.print(Text.assemble((f"{word:<9}", _STYLES.get(word, "")), text), soft_wrap=True)

    def write(self, text: str) -> None:
        """Shows what another program has written, as it is."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def json(self, value: object) -> None:
        """Shows a record, or a list of them, as JSON."""
        print(json.dumps(value, indent=2, default=_plain))

    def note(self, text: str) -> None:
        """Tells something beside the result."""
        self._errors.print(Text(text))

    def warning(self, text: str) -> None:
        """Tells what may be wrong."""
        self._errors.print(Text.assemble(("Warning: ", "bold yellow"), text))

    def error(self, text: str) -> None:
        """Tells what is wrong."""
        self._errors.print(Text.assemble(("Error: ", "bold red"), text))


def duration(seconds: float) -> str:
    """A time in words, e.g. `3 h 12 min`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def dollars(cost: float | None) -> str:
    """A cost, or `?` where it isn't known."""
    return "?" if cost is None else f"${cost:.2f}" if cost >= 1 else f"${cost:.4f}"


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
