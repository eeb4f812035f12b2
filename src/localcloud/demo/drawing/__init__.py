"""Mermaid drawn as SVG without Mermaid: the three diagrams that a report has, as far as it uses them.

A page that needs no network and no script can't ask Mermaid. What is none of these is not drawn, and shown as its text.
"""

from __future__ import annotations

from localcloud.demo.drawing.flowchart import flowchart
from localcloud.demo.drawing.gantt import gantt
from localcloud.demo.drawing.svg import NotDrawnError
from localcloud.demo.drawing.xychart import xychart

_DIAGRAMS = {"flowchart": flowchart, "gantt": gantt, "xychart-beta": xychart}


def draw(source: str) -> str | None:
    """Draws a diagram.

    Args:
        source: Mermaid's text.

    Returns:
        An SVG element; None where it is none of the diagrams known here.
    """
    lines = [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("%%")]
    diagram = _DIAGRAMS.get(lines[0].split()[0]) if lines else None
    try:
        return diagram(source) if diagram else None
    except NotDrawnError:
        return None
