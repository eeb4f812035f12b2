"""A scenario as one page without scripts or anything from elsewhere: it can be kept, sent and printed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from localcloud.demo.drawing import svg
from localcloud.demo.log import log_as_html
from localcloud.demo.markdown import as_html
from localcloud.demo.play import BRANCH, REPOSITORY, Told
from localcloud.lightning.ledger import Interval

_FOLDER = Path(__file__).parent
_MOST_MOMENTS = 12
_WIDTH, _ROW, _TOP, _BOTTOM, _NAMES = 760, 28, 8, 28, 230
_TICKS = 6


@dataclass(frozen=True)
class _Moment:
    headline: Markup
    body: Markup


def page_of(told: Told) -> str:
    """Makes the page.

    Args:
        told: the scenario as it went.

    Returns:
        HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )

    def markdown(text: str) -> Markup:
        return Markup(as_html(text, told.pictures))

    # What these give is clean, whatever they are given.
    environment.filters["markdown"] = markdown
    environment.filters["log"] = lambda text: Markup(log_as_html(text))
    return environment.get_template("page.html.j2").render(
        told=told,
        repository=REPOSITORY,
        branch=BRANCH,
        css=Markup((_FOLDER / "page.css").read_text()),
        histories=[_moments(comment, markdown) for comment in told.comments],
        bill=Markup(_bill(told.intervals)) if told.intervals else "",
        now=time.strftime("%Y-%m-%d %H:%M"),
    )


def _moments(comment: tuple[str, ...], markdown: Callable[[str], Markup]) -> list[_Moment]:
    """What a comment has said one after the other, each thing once, the first and the last ones of many."""
    told: list[_Moment] = []
    for body in comment:
        headline = _headline(body)
        if told and told[-1].headline == headline:
            told.pop()
        told.append(_Moment(headline, markdown(body)))
    return told if len(told) <= _MOST_MOMENTS else [*told[: _MOST_MOMENTS // 2], *told[-_MOST_MOMENTS // 2 :]]


def _headline(body: str) -> Markup:
    """The first line that is no marker, without its links."""
    lines = (line for line in body.splitlines() if line.strip() and not line.startswith("<!--"))
    cleaned = as_html(next(lines, "").partition(" · [")[0])
    return Markup(re.sub(r"</?(p|a|h\d)\b[^>]*>", "", cleaned).strip())


def _bill(intervals: tuple[Interval, ...]) -> str:
    """When each machine ran."""
    start = min(interval.start for interval in intervals)
    end = max(interval.start + interval.seconds for interval in intervals)
    height = _TOP + len(intervals) * _ROW + _BOTTOM

    def x(moment: float) -> float:
        return _NAMES + (moment - start) / ((end - start) or 1) * (_WIDTH - _NAMES - 16)

    seconds = end - start
    step = next((one for one in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if seconds / one <= _TICKS), 3600)
    parts = []
    for count in range(int(seconds // step) + 1):
        at = x(start + count * step)
        parts.append(svg.line(at, _TOP, at, height - _BOTTOM, css="grid"))
        parts.append(svg.text(at, height - 10, f"{count * step} s", css="tick"))
    for place, interval in enumerate(intervals):
        y = _TOP + place * _ROW + 4
        kind = "cpu" if interval.machine.startswith(("CPU", "DATA_PREP")) else "gpu"
        parts.append(svg.text(_NAMES - 10, y + 14, _short(interval.name), anchor="end"))
        width = x(interval.start + interval.seconds) - x(interval.start)
        parts.append(svg.box(x(interval.start), y, width, _ROW - 8, css=f"machine {kind}"))
    return svg.element(_WIDTH, height, "When each machine ran", parts)


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:16]}…{name[-11:]}"
