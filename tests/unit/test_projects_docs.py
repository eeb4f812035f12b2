"""docs/projects.md promises nothing that no test proves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs/projects.md").read_text().splitlines() if re.match(r"\| (?!shape|---)", line)]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *def (test_\w+)", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("row", ROWS)
def test_each_shape_has_a_test(row: str) -> None:
    named = re.findall(r"`(test_\w+)`", row.split(" | ")[-1])
    assert named
    assert set(named) <= TESTS
