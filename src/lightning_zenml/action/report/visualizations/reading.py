"""Reads what ZenML gives out of a visualization, whatever a pipeline has put there."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Callable

from lightning_zenml.action.report.visualizations.records import Kind, VisualizationReport
from lightning_zenml.action.report.visualizations.sanitised import texts

_SEPARATORS = (",", ";", "\t")
_PICTURES = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpg": b"\xff\xd8\xff",
    "gif": b"GIF8",
    "webp": b"RIFF",
}
"""How a file begins, by the ending of its name: pictures that browsers show. SVG, which may hold a program, is none."""


def read(artifact: str, kind: Kind, value: str, redact: Callable[[str], str]) -> VisualizationReport:
    """What is told of a visualization that is text.

    Args:
        artifact: name of the artifact.
        kind: what it is.
        value: as ZenML gives it out.
        redact: hides secrets; once text is marked up, they aren't recognised any more.
    """
    report = VisualizationReport(artifact=artifact, kind=kind)
    if not value.strip():
        return _lacking(report, "It is empty.")
    if kind is Kind.CSV:
        try:
            rows = table(value)
        except csv.Error as error:
            return _lacking(report, f"It is no table that can be read: {error}.")
        shown = tuple(tuple(map(redact, row)) for row in rows)
        return VisualizationReport(artifact=artifact, kind=kind, rows=shown) if rows else _lacking(report, "")
    if kind is Kind.JSON:
        return VisualizationReport(artifact=artifact, kind=kind, text=redact(_indented(value)))
    source = redact(value)
    if any(redact(text) != text for text in texts(source)):
        return _lacking(report, "It seems to hold a secret, so it is not shown.")
    return VisualizationReport(artifact=artifact, kind=kind, text=source)


def table(value: str) -> tuple[tuple[str, ...], ...]:
    """Rows of a CSV file, its header first; those without anything in them don't count.

    Args:
        value: content of the file, which separates columns by comma, semicolon or tab.

    Raises:
        csv.Error: if it is none.
    """
    first = value.lstrip("\ufeff\r\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(value.lstrip("\ufeff"), newline=""), delimiter=separator)
    return tuple(tuple(row) for row in reader if any(cell.strip() for cell in row))


def picture(value: str) -> tuple[str, bytes] | None:
    """A picture and the ending of its file's name; None where it is none that browsers show.

    Args:
        value: base64, as ZenML gives it out.
    """
    try:
        content = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    for ending, beginning in _PICTURES.items():
        if content.startswith(beginning) and (ending != "webp" or content[8:12] == b"WEBP"):
            return ending, content
    return None


def page(value: str, redact: Callable[[str], str]) -> bytes | None:
    """An HTML page as a file, secrets hidden; None where one shows all the same.

    Args:
        value: as ZenML gives it out.
        redact: hides secrets.
    """
    hidden = redact(value)
    shown = html.unescape(hidden)
    # To look through some megabytes takes a second.
    is_clean = shown == hidden or redact(shown) == shown
    return hidden.encode(errors="replace") if is_clean else None


def _indented(value: str) -> str:
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return value


def _lacking(report: VisualizationReport, why: str) -> VisualizationReport:
    return VisualizationReport(artifact=report.artifact, kind=report.kind, lacks=why)
