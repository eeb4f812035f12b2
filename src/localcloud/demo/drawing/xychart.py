"""Curves: https://mermaid.js.org/syntax/xyChart.html."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from localcloud.demo.drawing import svg

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 44
_TICKS = 6


def xychart(source: str) -> str:
    """Draws a chart of lines.

    Args:
        source: Mermaid's text.

    Returns:
        An SVG element.

    Raises:
        NotDrawnError: it has more than lines over a range.
    """
    palette, title, label = _palette(source), "", ""
    x_range = y_range = (0.0, 1.0)
    curves: list[list[float]] = []
    for line in _lines(source):
        if match := re.fullmatch(r'title "(.*)"', line):
            title = match[1]
        elif match := re.fullmatch(r'x-axis "(.*)" (\S+) --> (\S+)', line):
            label, x_range = match[1], (svg.number(match[2]), svg.number(match[3]))
        elif match := re.fullmatch(r"y-axis (\S+) --> (\S+)", line):
            y_range = (svg.number(match[1]), svg.number(match[2]))
        elif match := re.fullmatch(r"line \[(.*)\]", line):
            curves.append([svg.number(value) for value in match[1].split(",")])
        else:
            raise svg.NotDrawnError(line)
    parts = [svg.text(_WIDTH / 2, 20, title, css="title"), *_axes(x_range, y_range)]
    parts.append(svg.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, label))
    for place, values in enumerate(curves):
        parts.append(_curve(values, y_range, palette[place % len(palette)] if palette else "#218bff"))
    return svg.element(_WIDTH, _HEIGHT, f"{title} by {label}", parts)


def _lines(source: str) -> Iterator[str]:
    for line in source.splitlines():
        if line.strip() not in ("", "xychart-beta") and not line.lstrip().startswith("%%"):
            yield line.strip()


def _palette(source: str) -> list[str]:
    """The colours of the curves, from the first line's settings."""
    match = re.match(r"%%\{init: (.*)\}%%", source)
    try:
        settings = json.loads(match[1]) if match else {}
        told = str(settings.get("themeVariables", {}).get("xyChart", {}).get("plotColorPalette", ""))
    except (ValueError, AttributeError):
        return []
    return [color.strip() for color in told.split(",") if re.fullmatch(r"\s*#[0-9a-fA-F]{3,8}\s*", color)]


def _axes(x_range: tuple[float, float], y_range: tuple[float, float]) -> Iterator[str]:
    bottom = _HEIGHT - _BOTTOM
    for value in _ticks(*y_range):
        y = _on(value, y_range, bottom, _TOP)
        yield svg.line(_LEFT, y, _WIDTH - _RIGHT, y, css="grid")
        yield svg.text(_LEFT - 8, y + 4, f"{value:g}", anchor="end", css="tick")
    for value in _ticks(*x_range):
        yield svg.text(_on(value, x_range, _LEFT, _WIDTH - _RIGHT), bottom + 18, f"{value:g}", css="tick")
    yield svg.line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, css="axis")


def _curve(values: list[float], y_range: tuple[float, float], color: str) -> str:
    last = max(len(values) - 1, 1)
    points = [
        f"{_on(place, (0, last), _LEFT, _WIDTH - _RIGHT):.1f},{_on(value, y_range, _HEIGHT - _BOTTOM, _TOP):.1f}"
        for place, value in enumerate(values)
    ]
    return f'<polyline points="{" ".join(points)}" class="curve" stroke="{color}"/>'


def _on(value: float, interval: tuple[float, float], start: float, end: float) -> float:
    low, high = interval
    return start + (value - low) / ((high - low) or 1) * (end - start)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in an interval, some six of them."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return [low]
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    # By counting: adding up would collect what each sum is off.
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(count * step, 12) for count in range(first, last + 1)]
