"""Pieces of an SVG element. Whatever text comes in is escaped here."""

from __future__ import annotations

import html
import unicodedata

FONT = 13
"""Pixels of a letter's height."""


class NotDrawnError(Exception):
    """A line of a diagram that is not understood here."""


def element(width: float, height: float, label: str, parts: list[str]) -> str:
    """A whole drawing, which shrinks with the page."""
    return (
        f'<svg class="diagram" role="img" aria-label="{html.escape(label)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="width:{width:.0f}px" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def text(
    x: float, y: float, content: str, *, anchor: str = "middle", color: str = "currentColor", css: str = ""
) -> str:
    """A line of text; `anchor` says which part of it is at `x`: `start`, `middle`, `end`."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{html.escape(color)}" class="{html.escape(css)}">'
        f"{html.escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, css: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{html.escape(css)}"/>'


def box(x: float, y: float, width: float, height: float, *, fill: str = "", stroke: str = "", css: str = "") -> str:
    """A box with round corners, coloured by a class or by itself."""
    colors = f' fill="{html.escape(fill)}"' if fill else ""
    colors += f' stroke="{html.escape(stroke)}"' if stroke else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="4"{colors} '
        f'class="{html.escape(css)}"/>'
    )


def width_of(content: str) -> float:
    """About how wide a line of text is, in pixels."""
    return sum(FONT * (1.3 if unicodedata.east_asian_width(one) in "WF" else 0.58) for one in content)


def number(content: str) -> float:
    """Reads a number.

    Raises:
        NotDrawnError: it is none.
    """
    try:
        return float(content)
    except ValueError:
        raise NotDrawnError(content) from None
