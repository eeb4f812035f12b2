"""README tells of every input and output, with the default that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
README = (ROOT / "README.md").read_text()
CELLS = [[cell.strip() for cell in line.split("|")] for line in README.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", ACTION["inputs"])
def test_every_input_has_a_row_with_its_default(name: str) -> None:
    (default,) = [cells[2] for cells in CELLS if f"`{name}`" in cells[1].split(", ")]
    declared = ACTION["inputs"][name].get("default", "")
    assert default.strip("`") == declared


@pytest.mark.parametrize("name", ACTION["outputs"])
def test_every_output_is_named(name: str) -> None:
    assert f"`{name}`" in README.partition("## Outputs")[2].partition("##")[0]


def test_no_input_is_told_of_that_there_is_none_of() -> None:
    table = README.partition("## Inputs")[2].partition("##")[0]
    told = {
        name for names in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in re.findall("`(.+?)`", names)
    }
    assert told == set(ACTION["inputs"])
