"""docs/orchestrator.md says what is proved by which test: the tests must be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/orchestrator.md").read_text()
TABLE = DOCS.partition("## Beside others")[2]


def known_tests() -> set[str]:
    modules = [ast.parse(path.read_text()) for path in ROOT.glob("tests/*/test_*.py")]
    return {node.name for module in modules for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_test_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", TABLE))

    assert len(named) > 40
    assert named - known_tests() == set()


def test_every_row_names_a_test_or_says_why_there_is_nothing_to_test() -> None:
    ours = [row.split(" | ")[1] for row in TABLE.splitlines() if row.startswith("| ") and not row.startswith("| **")]
    unproved = [cell for cell in ours if "`test_" not in cell]

    assert [cell for cell in unproved if cell not in ("ours", "---") and not cell.startswith("no: ")] == [
        str(len(LightningOrchestratorSettings.model_fields))
    ]


def test_every_row_has_all_columns() -> None:
    rows = [row for row in TABLE.splitlines() if row.startswith("| ")]

    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


@pytest.mark.parametrize("name", LightningOrchestratorSettings.model_fields)
def test_every_setting_is_explained(name: str) -> None:
    assert f"`{name}`" in DOCS.partition("## Settings")[2].partition("##")[0]
