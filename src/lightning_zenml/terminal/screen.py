"""A program's output as lines for a log, though it moves the cursor and writes over what was there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from lightning_zenml.terminal.sgr import CODE, Style

_OTHER_CODE = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-ln-~]"  # moves the cursor, clears the line
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of windows, links
    r"|[()][0-9A-Za-z]|[=>78cDEHM])"
)
_BROKEN_CODE = re.compile(r"\x1b(?!\[[0-9;:]*m)")
_MOVE = re.compile(r"(\n|\x1b\[[0-9]{0,3}[ABEF]|\x1bM)")
"""To another line: as several bars do that stand below one another (ECMA-48, 8.3.22 and others)."""
_BAR_INTERVAL = 10.0
"""Seconds between two looks at what a program writes over and over; its last state is always shown."""
_LONGEST_BAR = 4_000
"""Characters of a line that is written over which are kept, as each piece that comes has them looked at again."""
_LONGEST_LINE = 100_000
"""Characters of a line without an end that are kept until they are shown."""
_REMEMBERED = 200
"""How many lines above the last one are known as they were shown."""


class Screen:
    """Turns output, as it comes, into lines whose colours are whole.

    Args:
        clock: function that tells seconds, from any start on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._style = Style()
        self._rest = ""
        self._row = 0
        self._bottom = 0
        self._held: dict[int, str] = {}
        """What lines that were written over show now, and nobody has been told yet."""
        self._shown: dict[int, str] = {}
        self._looked_at = float("-inf")

    def feed(self, text: str) -> Iterator[str]:
        """Follows the next piece of output.

        Args:
            text: the piece, '' where there is none now.

        Yields:
            Lines that are done, and now and then how far one has come that is written over and over.
        """
        *parts, self._rest = _MOVE.split(self._rest + text)
        for written, move in zip(parts[::2], parts[1::2], strict=True):
            yield from self._leave(written, move)
        if len(self._rest) > _LONGEST_BAR and "\r" in self._rest:
            self._rest = self._newest(self._rest)
        if len(self._rest) > _LONGEST_LINE:
            rest, self._rest = self._rest, ""
            yield self._readable(rest)
        yield from self._look()

    def end(self) -> Iterator[str]:
        """Yields what was not shown yet, as nothing more comes."""
        if self._rest:
            rest, self._rest = self._rest, ""
            yield from self._leave(rest, "\n")
        yield from self._tell_held()
        self._style.reset()
        self._row = self._bottom = 0
        self._shown.clear()

    def _leave(self, written: str, move: str) -> Iterator[str]:
        """Goes to another line, away from one on which something was written."""
        line = self._readable(written)
        if self._row == self._bottom and move == "\n":
            # The cursor alone takes nothing away.
            is_passed = self._row in (self._held.keys() | self._shown.keys()) and not _plain(line)
            if not is_passed:
                self._held.pop(self._row, None)
            yield from self._tell_held()
            if not is_passed and line != self._shown.get(self._row):
                yield self._told(self._row, line)
            self._row = self._bottom = self._row + 1
            return
        if _plain(line).strip():
            self._held[self._row] = line
        if move == "\n":
            self._row += 1
        else:
            count = int(move[2:-1] or 1)
            self._row = min(self._row + count, self._bottom) if move[-1] in "BE" else max(self._row - count, 0)

    def _look(self) -> Iterator[str]:
        """Shows now and then how far it is what is written over."""
        is_bar = self._row == self._bottom and "\r" in self._rest.rstrip("\r")
        if not (is_bar or self._held) or self._clock() - self._looked_at < _BAR_INTERVAL:
            return
        before = self._looked_at
        told = list(self._tell_held())
        if is_bar:
            self._rest = self._newest(self._rest)
            style = str(self._style)
            line = self._readable(self._rest)
            # The line goes on: so do the colours with which it began.
            self._style.reset()
            self._style.feed(style)
            if line != self._shown.get(self._row) and _plain(line).strip():
                told.append(self._told(self._row, line))
        self._looked_at = self._clock() if told else before
        yield from told

    def _tell_held(self) -> Iterator[str]:
        held, self._held = self._held, {}
        yield from (self._told(row, line) for row, line in sorted(held.items()) if line != self._shown.get(row))

    def _told(self, row: int, line: str) -> str:
        self._shown[row] = line
        while len(self._shown) > _REMEMBERED:
            del self._shown[next(iter(self._shown))]
        return line

    def _newest(self, line: str) -> str:
        """What a terminal shows of a line that is written over, behind a carriage return as more may come."""
        before, shown = _last_of_the_overwritten(line)
        self._style.feed(before if shown else line)
        return f"\r{shown}" if before or not shown else shown

    def _readable(self, line: str) -> str:
        """A line as a terminal would show it at last, with the colours that hold as it begins, and none left open."""
        before, shown = _last_of_the_overwritten(line)
        self._style.feed(before)
        colour = str(self._style)
        self._style.feed(line[len(before) :])
        shown = _BROKEN_CODE.sub("", _OTHER_CODE.sub("", shown))
        return f"{colour}{shown}\x1b[0m" if self._style else f"{colour}{shown}"


def _last_of_the_overwritten(line: str) -> tuple[str, str]:
    """Of a line that writes over itself, as a progress bar does: the last text that shows, behind what came before."""
    end = len(line)
    while end >= 0:
        start = line.rfind("\r", 0, end) + 1
        part = line[start:end]
        if _plain(part).strip():
            return line[:start], part
        end = start - 1
    return "", ""


def _plain(text: str) -> str:
    return CODE.sub("", _BROKEN_CODE.sub("", _OTHER_CODE.sub("", text)))
