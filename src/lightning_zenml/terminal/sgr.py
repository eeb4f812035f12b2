"""The colours of a terminal: which of them hold behind a piece of text, however long the way there was."""

from __future__ import annotations

import re
from collections.abc import Iterator

CODE = re.compile(r"\x1b\[([0-9;:]*)m")
"""An SGR sequence, "select graphic rendition" (ECMA-48, 8.3.117)."""
_SLOTS: dict[int, str] = {
    **dict.fromkeys([1], "bold"),
    **dict.fromkeys([2], "faint"),
    **dict.fromkeys([3, 20], "italic"),
    **dict.fromkeys([4, 21], "underline"),
    **dict.fromkeys([5, 6], "blink"),
    **dict.fromkeys([7], "inverse"),
    **dict.fromkeys([8], "conceal"),
    **dict.fromkeys([9], "strike"),
    **dict.fromkeys(range(11, 20), "font"),
    **dict.fromkeys([*range(30, 39), *range(90, 98)], "foreground"),
    **dict.fromkeys([*range(40, 49), *range(100, 108)], "background"),
    **dict.fromkeys([26], "spacing"),
    **dict.fromkeys([51, 52], "frame"),
    **dict.fromkeys([53], "overline"),
    **dict.fromkeys([58], "underline colour"),
    **dict.fromkeys([73, 74], "script"),
}
"""What a code sets: of two that set the same, the later one holds."""
_ENDS: dict[int, tuple[str, ...]] = {
    10: ("font",),
    22: ("bold", "faint"),
    23: ("italic",),
    24: ("underline",),
    25: ("blink",),
    27: ("inverse",),
    28: ("conceal",),
    29: ("strike",),
    39: ("foreground",),
    49: ("background",),
    50: ("spacing",),
    54: ("frame",),
    55: ("overline",),
    59: ("underline colour",),
    75: ("script",),
}
"""What a code resets."""
_EXTENDED = {"38", "48", "58"}
_LONGEST = 40
"""Characters of a code that is kept."""
_ARGUMENTS = {"5": 2, "2": 4}
"""How many parameters follow an extended colour: `5;n` or `2;r;g;b`."""


class Style:
    """The colours and attributes that hold. What it keeps has a bound, since each attribute holds but once."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}

    def __str__(self) -> str:
        """The sequences that make a fresh terminal look like this; '' where nothing is set."""
        return "".join(f"\x1b[{code}m" for code in self._codes.values())

    def __bool__(self) -> bool:
        return bool(self._codes)

    def feed(self, text: str) -> None:
        """Follows the sequences of a text.

        Args:
            text: what a terminal would get next.
        """
        for sequence in CODE.finditer(text):
            for code in _codes(sequence[1]):
                self._apply(code)

    def reset(self) -> None:
        """Back to what a fresh terminal has."""
        self._codes.clear()

    def _apply(self, code: str) -> None:
        first = re.split("[;:]", code)[0]
        # As long a number as somebody likes to print is no code.
        number = int(first) if 0 < len(first) <= 3 else 0 if not first else -1
        if number == 0 or code == "4:0":
            for slot in list(self._codes) if number == 0 else ["underline"]:
                self._codes.pop(slot, None)
        for slot in _ENDS.get(number, ()):
            self._codes.pop(slot, None)
        if number in _SLOTS and code != "4:0" and len(code) <= _LONGEST:
            slot = _SLOTS[number]
            self._codes.pop(slot, None)
            self._codes[slot] = code


def _codes(parameters: str) -> Iterator[str]:
    """The single codes of a sequence, an extended colour with all that belongs to it."""
    parts = parameters.split(";")
    while parts:
        part = parts.pop(0)
        if part in _EXTENDED:
            count = _ARGUMENTS.get(parts[0], 0) if parts else 0
            taken, parts = parts[:count], parts[count:]
            if count and len(taken) == count:
                yield ";".join([part, *taken])
        else:
            yield part
