"""What a report tells of a visualization: a plain record, a part of `model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """ZenML's types of visualizations (`VisualizationType`)."""

    MARKDOWN = "markdown"
    IMAGE = "image"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


@dataclass(frozen=True, kw_only=True)
class VisualizationFile:
    """A visualization as a file: a picture, or a page.

    Args:
        run: name of the run.
        artifact: name of the artifact.
        name: name of the file, without its ending.
        ending: ending of the name, without the dot.
        content: content of the file.
    """

    run: str
    artifact: str
    name: str
    ending: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where such a file is.

    Args:
        url: address of the file, or of the ZIP file that has it.
        path: path in that ZIP file; '' where the address is the file's own.
    """

    url: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class VisualizationReport:
    """A visualization of an artifact; one with neither text, rows nor picture is only linked.

    Args:
        artifact: name of the artifact.
        kind: what it is.
        url: page that shows the artifact.
        text: Markdown as it was written, or JSON.
        rows: cells of a table, its header first.
        picture: address of the picture in the repository.
        zip_url: address of the ZIP file that has it, an artifact of the workflow run.
        zip_path: its path in there.
        lacks: why it is only linked, in words; '' where it can't be shown in any case.
    """

    artifact: str
    kind: Kind
    url: str | None = None
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    picture: str | None = None
    zip_url: str | None = None
    zip_path: str = ""
    lacks: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to see here."""
        return bool(self.text.strip() or self.rows or self.picture)
