"""README tells of every input and output, with the default that it has; what it and its neighbours name is there."""

from __future__ import annotations

import ast
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


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("**/README.md")]),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?://", link)]
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target.read_text()))


def anchors(text: str) -> list[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("example", sorted(path.parent.name for path in (ROOT / "examples").glob("*/run.py")))
def test_every_example_is_told_of(example: str) -> None:
    assert f"]({example})" in (ROOT / "examples/README.md").read_text()


MESSAGES = re.findall(r"^\| (.+?) \|", README.partition("## Troubleshooting")[2].partition("## ")[0], re.MULTILINE)[2:]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_one_that_users_see(message: str) -> None:
    pattern = re.compile(".*".join(re.escape(part) for part in message.split("...")))
    assert any(pattern.search(told) for told in texts())


def texts() -> list[str]:
    """Every string of our code, with dots where a value goes."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "src/lightning_zenml").glob("**/*.py")]
    return [
        "".join(
            str(part.value) if isinstance(part, ast.Constant) else "..." for part in getattr(node, "values", [node])
        )
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
