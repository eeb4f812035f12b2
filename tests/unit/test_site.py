"""The site of `make docs` has all pages of docs/, each once; the links between them are held by `make docs` itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def pages(entries: list[Any]) -> list[str]:
    found = []
    for entry in entries:
        (target,) = entry.values()
        found += [target] if isinstance(target, str) else pages(target)
    return found


def test_every_page_has_its_place() -> None:
    # README, which docs/site.py makes the first page.
    start, *others = pages(SITE["nav"])
    assert start == "index.md"
    assert sorted(others) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_it_has_no_font_of_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert SITE["strict"] is True
