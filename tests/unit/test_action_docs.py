"""docs/action.md tells of every input and output, with the default that it has, and README names each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def section(page: str, heading: str) -> str:
    return (ROOT / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of a table of docs/action.md, of those rows that begin with a name."""
    lines = [line for line in section("docs/action.md", heading).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall("`(.+?)`", cell)


@pytest.mark.parametrize("name", ACTION["inputs"])
def test_every_input_has_a_row_with_its_default(name: str) -> None:
    (default,) = [cells[1] for cells in rows("Inputs") if name in named(cells[0])]
    assert default.strip("`") == ACTION["inputs"][name].get("default", "")


@pytest.mark.parametrize(("heading", "kind"), [("Inputs", "inputs"), ("Outputs", "outputs")])
def test_there_is_a_row_for_nothing_else(heading: str, kind: str) -> None:
    told = [name for cells in rows(heading) for name in named(cells[0])]
    assert sorted(told) == sorted(ACTION[kind])


def test_readme_names_every_input_and_output_and_no_other() -> None:
    lines = [line for line in section("README.md", "Inputs and outputs").splitlines() if line.startswith("| ")]
    told = [name for line in lines for name in named(line)]
    assert sorted(told) == sorted([*ACTION["inputs"], *ACTION["outputs"]])
