"""Diagrams of a run in Mermaid, which GitHub draws: the graph of its steps, a timeline, curves.

Mermaid has no escaping that holds in all of its versions, so names keep only characters that mean nothing to it; the
icon before each also keeps it from being read as one of Mermaid's words. Syntax: https://mermaid.js.org.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from lightning_zenml.action.report.markdown import plain
from lightning_zenml.action.report.model import RunReport, StepReport
from lightning_zenml.action.report.numbers import CurveReport

_MOST_STEPS = 100
_MOST_EDGES = 400
"""Mermaid draws no more than 500 edges and 50,000 characters, and nobody reads such a graph."""
_LONGEST_NAME = 60
_TICKS = {
    **{f"{number}second": number for number in (1, 2, 5, 10, 15, 30)},
    **{f"{number}minute": number * 60 for number in (1, 2, 5, 10, 15, 30)},
    **{f"{number}hour": number * 3600 for number in (1, 2, 3, 6, 12)},
    "1day": 86_400,
}
"""Mermaid's intervals between the ticks of an axis, in seconds."""
_MOST_TICKS = 8
"""Their labels, times of day, still stand beside each other."""
_COLORS = {
    "completed": ("#1a7f37", "#dafbe1", "#0f5323"),
    "cached": ("#0969da", "#ddf4ff", "#0a3069"),
    "running": ("#9a6700", "#fff8c5", "#4d2d00"),
    "failed": ("#cf222e", "#ffebe9", "#82071e"),
    "stopped": ("#6e7781", "#eaeef2", "#24292f"),
    "waiting": ("#8c959f", "#f6f8fa", "#57606a"),
}
"""Border, background and text, by kind of status: GitHub's own colours for these, legible in its dark theme too."""
_BLUE, _GREY = "#218bff", "#8c959f"
_KINDS = {
    **{kind: kind for kind in _COLORS},
    "initializing": "running",
    "provisioning": "running",
    "retrying": "running",
    "stopping": "running",
    "cancelled": "stopped",
    "retried": "stopped",
}
_TAGS = {"completed": "done", "cached": "done", "running": "active", "failed": "crit"}


def graph(run: RunReport, icon: Callable[[str], str]) -> str | None:
    """The steps of a run, coloured by status, and what each waits for.

    Args:
        run: run with its steps and edges.
        icon: function that gives the icon of a status.

    Returns:
        A Mermaid flowchart; None where there is nothing to see, or too much.
    """
    if len(run.steps) < 2 or len(run.steps) > _MOST_STEPS or len(run.edges) > _MOST_EDGES:
        return None
    nodes = {step.name: f"s{number}" for number, step in enumerate(run.steps)}
    # Side by side as long as it fits the page.
    lines = ["flowchart LR" if _depth(run.edges) <= 5 else "flowchart TD"]
    lines += [
        f'  {nodes[step.name]}["{icon(step.status)} {_name(step.name)}"]:::{_kind(step.status)}' for step in run.steps
    ]
    lines += [f"  {nodes[a]} --> {nodes[b]}" for a, b in run.edges if a in nodes and b in nodes]
    used = dict.fromkeys(_kind(step.status) for step in run.steps)
    for kind in used:
        border, background, color = _COLORS[kind]
        lines.append(f"  classDef {kind} stroke:{border},fill:{background},color:{color}")
    return "\n".join(lines)


def timeline(run: RunReport, icon: Callable[[str], str]) -> str | None:
    """When the steps of a run ran, in the reader's time zone.

    Args:
        run: run with start and duration of its steps.
        icon: function that gives the icon of a status.

    Returns:
        A Mermaid gantt chart; None where there is nothing to see, or too much.
    """
    bars = [step for step in run.steps if step.start is not None and step.duration is not None]
    if len(bars) < 2 or len(bars) > _MOST_STEPS:
        return None
    lines = ["gantt", "  title Timeline, in your time zone", "  dateFormat x", "  axisFormat %H:%M:%S"]
    seconds = (max(_start(step) + _length(step) for step in bars) - min(map(_start, bars))) / 1000
    # Mermaid's own choice may be parts of a second, and its labels may overlap.
    ticks = next((name for name, interval in _TICKS.items() if seconds <= interval * _MOST_TICKS), "1week")
    lines.append(f"  tickInterval {ticks}")
    lines += [_bar(step, icon) for step in sorted(bars, key=_start)]
    return "\n".join(lines)


def chart(curve: CurveReport) -> str | None:
    """A curve, and that of the base branch.

    Args:
        curve: curve with values to be drawn.

    Returns:
        A Mermaid xychart, with this run's in blue and the base branch's in grey; None where there is nothing to see.
    """
    own, base = curve.own.values, curve.base.values if curve.base else ()
    if len(own) < 2:
        return None
    low, high = min(own + base), max(own + base)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1
    last = curve.start + curve.step * (len(own) - 1)
    # What is drawn last is on top.
    look = {"backgroundColor": "transparent", "plotColorPalette": f"{_GREY}, {_BLUE}" if base else _BLUE}
    lines = [
        f"%%{{init: {json.dumps({'themeVariables': {'xyChart': look}})}}}%%",
        "xychart-beta",
        f'  title "{_name(curve.name)}"',
        f'  x-axis "{_name(curve.axis or "time")}" {_decimal(curve.start)} --> {_decimal(last)}',
        f"  y-axis {_decimal(low - margin)} --> {_decimal(high + margin)}",
    ]
    lines += [f"  line [{', '.join(map(_decimal, values))}]" for values in (base, own) if values]
    return "\n".join(lines)


def _decimal(value: float) -> str:
    """A number of five digits without an exponent, which Mermaid doesn't read."""
    return f"{Decimal(f'{value:.5g}'):f}"


def _bar(step: StepReport, icon: Callable[[str], str]) -> str:
    tag = _TAGS.get(_kind(step.status))
    start = _start(step)
    return f"  {icon(step.status)} {_name(step.name)} :{f'{tag}, ' if tag else ''}{start}, {start + _length(step)}"


def _start(step: StepReport) -> int:
    """Milliseconds, as Mermaid takes them."""
    return int(step.start.timestamp() * 1000) if step.start else 0


def _length(step: StepReport) -> int:
    return max(int((step.duration or 0) * 1000), 1)


def _name(name: str) -> str:
    safe = re.sub(r"[^\w .+-]", "-", plain(name, _LONGEST_NAME))
    return safe.strip() or "-"


def _kind(status: str) -> str:
    return _KINDS.get(status, "waiting")


def _depth(edges: Sequence[tuple[str, str]]) -> int:
    """Steps on the longest way through the graph; a circle, which ZenML would refuse, ends the count."""
    depth = {name: 1 for edge in edges for name in edge}
    for _ in depth:
        deeper = {after: depth[before] + 1 for before, after in edges if depth[before] + 1 > depth[after]}
        if not deeper:
            break
        depth |= deeper
    return max(depth.values(), default=1)
