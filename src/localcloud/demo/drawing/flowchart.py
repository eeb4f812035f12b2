"""The graph of steps: https://mermaid.js.org/syntax/flowchart.html."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from localcloud.demo.drawing import svg

_HEIGHT, _GAP, _BETWEEN, _MARGIN = 38, 18, 56, 10
_PADDING = 28
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" class="head"/></marker></defs>'
)


@dataclass(frozen=True)
class _Node:
    label: str
    kind: str


@dataclass(frozen=True)
class _Place:
    x: float
    y: float
    width: float


def flowchart(source: str) -> str:
    """Draws a graph, layer by layer.

    Args:
        source: Mermaid's text.

    Returns:
        An SVG element.

    Raises:
        NotDrawnError: it has more than boxes, arrows and colours.
    """
    nodes: dict[str, _Node] = {}
    edges: list[tuple[str, str]] = []
    colors: dict[str, tuple[str, str, str]] = {}
    first, *lines = [line for line in map(str.strip, source.splitlines()) if line]
    for line in lines:
        if match := re.fullmatch(r'(\w+)\["(.*)"\](?::::?(\w+))?', line):
            nodes[match[1]] = _Node(match[2], match[3] or "")
        elif match := re.fullmatch(r"(\w+) --> (\w+)", line):
            edges.append((match[1], match[2]))
        elif match := re.fullmatch(r"classDef (\w+) stroke:(#\w+),fill:(#\w+),color:(#\w+)", line):
            colors[match[1]] = (match[2], match[3], match[4])
        else:
            raise svg.NotDrawnError(line)
    edges = [(a, b) for a, b in edges if a in nodes and b in nodes]
    places, width, height = _arranged(nodes, _layers(nodes, edges), sideways=first.endswith(("LR", "RL")))
    sideways = first.endswith(("LR", "RL"))
    parts = [_ARROW, *(_arrow(places[a], places[b], sideways=sideways) for a, b in edges)]
    for name, node in nodes.items():
        stroke, fill, color = colors.get(node.kind, ("#8c959f", "#f6f8fa", "#57606a"))
        place = places[name]
        parts.append(svg.box(place.x, place.y, place.width, _HEIGHT, fill=fill, stroke=stroke, css="node"))
        parts.append(svg.text(place.x + place.width / 2, place.y + 24, node.label, color=color))
    return svg.element(width, height, "Graph of the steps", parts)


def _layers(nodes: dict[str, _Node], edges: list[tuple[str, str]]) -> list[list[str]]:
    """Each node behind all that it waits for; a circle ends the search."""
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        deeper = {b: depth[a] + 1 for a, b in edges if depth[a] + 1 > depth[b]}
        if not deeper:
            break
        depth |= deeper
    layers: defaultdict[int, list[str]] = defaultdict(list)
    for name in nodes:
        layers[depth[name]].append(name)
    return [layers[number] for number in sorted(layers)]


def _arranged(
    nodes: dict[str, _Node], layers: list[list[str]], *, sideways: bool
) -> tuple[dict[str, _Place], float, float]:
    """Where each node is, and the size of all of it."""
    widths = {name: svg.width_of(node.label) + _PADDING for name, node in nodes.items()}
    places: dict[str, _Place] = {}
    if sideways:
        height = max(len(layer) for layer in layers) * (_HEIGHT + _GAP) - _GAP + 2 * _MARGIN
        x = float(_MARGIN)
        for layer in layers:
            broadest = max(widths[name] for name in layer)
            y = (height - len(layer) * (_HEIGHT + _GAP) + _GAP) / 2
            for name in layer:
                places[name] = _Place(x + (broadest - widths[name]) / 2, y, widths[name])
                y += _HEIGHT + _GAP
            x += broadest + _BETWEEN
        return places, x - _BETWEEN + _MARGIN, height
    width = max(sum(widths[name] + _GAP for name in layer) - _GAP for layer in layers) + 2 * _MARGIN
    y = float(_MARGIN)
    for layer in layers:
        x = (width - sum(widths[name] + _GAP for name in layer) + _GAP) / 2
        for name in layer:
            places[name] = _Place(x, y, widths[name])
            x += widths[name] + _GAP
        y += _HEIGHT + _BETWEEN
    return places, width, y - _BETWEEN + _MARGIN


def _arrow(start: _Place, end: _Place, *, sideways: bool) -> str:
    if sideways:
        x1, y1, x2, y2 = start.x + start.width, start.y + _HEIGHT / 2, end.x, end.y + _HEIGHT / 2
        middle = (x1 + x2) / 2
        bends = f"{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f}"
    else:
        x1, y1, x2, y2 = start.x + start.width / 2, start.y + _HEIGHT, end.x + end.width / 2, end.y
        middle = (y1 + y2) / 2
        bends = f"{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f}"
    return f'<path d="M{x1:.1f} {y1:.1f}C{bends} {x2:.1f} {y2:.1f}" class="edge" marker-end="url(#arrow)"/>'
