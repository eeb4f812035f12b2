"""When steps ran: https://mermaid.js.org/syntax/gantt.html."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from localcloud.demo.drawing import svg

_WIDTH, _ROW, _TOP, _BOTTOM, _SIDE = 760, 26, 36, 28, 16
_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
_IGNORED = ("dateFormat x", "axisFormat %H:%M:%S", "gantt")
_MOST_TICKS = 60


@dataclass(frozen=True)
class _Bar:
    name: str
    tags: str
    start: float
    end: float


def gantt(source: str) -> str:
    """Draws a timeline.

    Args:
        source: Mermaid's text, its moments in milliseconds.

    Returns:
        An SVG element.

    Raises:
        NotDrawnError: it has more than bars from one moment to another.
    """
    title, interval, bars = "", 1_000.0, []
    for line in filter(None, map(str.strip, source.splitlines())):
        if line in _IGNORED:
            continue
        if line.startswith("title "):
            title = line.removeprefix("title ")
        elif match := re.fullmatch(r"tickInterval (\d+)(\w+)", line):
            interval = int(match[1]) * _UNITS.get(match[2], 1_000)
        elif match := re.fullmatch(r"(.+?) :(?:([a-z]+), )?(\d+), (\d+)", line):
            bars.append(_Bar(match[1], match[2] or "", svg.number(match[3]), svg.number(match[4])))
        else:
            raise svg.NotDrawnError(line)
    if not bars:
        raise svg.NotDrawnError("no bars")
    return _drawn(title, interval, bars)


def _drawn(title: str, interval: float, bars: list[_Bar]) -> str:
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    height = _TOP + len(bars) * _ROW + _BOTTOM

    def x(moment: float) -> float:
        return _SIDE + (moment - start) / ((end - start) or 1) * (_WIDTH - 2 * _SIDE)

    parts = [svg.text(_WIDTH / 2, 20, title, css="title")]
    first = -(-start // interval)
    for count in range(min(int((end - first * interval) // interval) + 1, _MOST_TICKS)):
        moment = (first + count) * interval
        parts.append(svg.line(x(moment), _TOP, x(moment), height - _BOTTOM, css="grid"))
        shown = time.strftime("%H:%M:%S", time.localtime(moment / 1_000))
        parts.append(svg.text(x(moment), height - 10, shown, css="tick"))
    for place, bar in enumerate(bars):
        y = _TOP + place * _ROW + 3
        parts.append(svg.box(x(bar.start), y, x(bar.end) - x(bar.start), _ROW - 6, css=f"bar {bar.tags}"))
        parts.append(_name(bar.name, x(bar.start), x(bar.end), y + 14))
    return svg.element(_WIDTH, height, title, parts)


def _name(name: str, left: float, right: float, y: float) -> str:
    """In its bar, else behind it, else before it."""
    width = svg.width_of(name) + 8
    if width <= right - left:
        return svg.text((left + right) / 2, y, name, css="inside")
    if right + width <= _WIDTH:
        return svg.text(right + 6, y, name, anchor="start")
    return svg.text(left - 6, y, name, anchor="end")
