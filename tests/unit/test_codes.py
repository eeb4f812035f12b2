"""Each kind of message has a code, and each code a section in docs/troubleshooting.md."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from lightning_zenml.codes import PAGE, Code, known, marked, unmarked

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/troubleshooting.md").read_text()
SECTIONS = dict(re.findall(r"^### (LZ-\d{4})\n\n\*\*(.+?)\*\*", TEXT, re.MULTILINE | re.DOTALL))
MESSAGES = [message for message in re.findall(r"^\| (.+?) \|", TEXT, re.MULTILINE) if message not in ("message", "---")]
TREES = {path: ast.parse(path.read_text()) for path in (ROOT / "src/lightning_zenml").glob("**/*.py")}


def test_every_code_has_a_section_under_its_heading_and_every_section_a_code() -> None:
    assert {code: heading.removesuffix(".") for code, heading in SECTIONS.items()} == {
        str(code): code.heading for code in Code
    }
    assert re.findall(r"^### (.+)$", TEXT, re.MULTILINE) == [str(code) for code in Code]


def test_the_link_leads_to_the_page_of_this_repository() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"{project['urls']['Documentation']}/blob/main/docs/troubleshooting.md" == PAGE
    assert Code.MACHINE.url.endswith("troubleshooting.md#lz-3003")


def test_every_error_has_a_code_of_its_kind() -> None:
    kinds = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    of_a_kind = [kind for kind in kinds if "CodedError" in map(ast.unparse, kind.bases)]
    assert len(of_a_kind) > 8
    assert [
        kind.name for kind in of_a_kind if not any(ast.unparse(one).startswith("code = ") for one in kind.body)
    ] == []


@pytest.mark.parametrize("name", ["LaunchError", "Failure", "PipelineSubmissionError", "SettingsResolvingError"])
def test_what_is_of_no_kind_of_its_own_names_one(name: str) -> None:
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        if not names_a_code(node)
    ]
    assert calls == []


def names_a_code(call: ast.Call) -> bool:
    """By `code=`, by what a record holds, or by a text that is marked."""
    of_record = any(keyword.arg in {"code", None} for keyword in call.keywords)
    return of_record or any(isinstance(one, ast.Call) and ast.unparse(one.func) == "marked" for one in call.args)


@pytest.mark.parametrize("text", ["lost", "lost [by whom]\nand when", ""])
def test_a_code_survives_where_only_text_goes_on(text: str) -> None:
    assert unmarked(marked(text, Code.LOST), Code.RUN) == (text, Code.LOST)
    assert unmarked(text, Code.RUN) == (text, Code.RUN)


def test_what_a_newer_version_knows_is_of_the_kind_at_hand() -> None:
    assert unmarked("odd [LZ-0000]", Code.RUN) == ("odd", Code.RUN)
    assert known("", None) is None


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_one_that_users_see(message: str) -> None:
    pattern = re.compile(".*".join(re.escape(part) for part in message.split("...")))
    assert any(pattern.search(told) for told in texts())


def texts() -> list[str]:
    """Every string of our code, with dots where a value goes, and what the composite action's script says."""
    return [(ROOT / "composite/install.sh").read_text()] + [
        "".join(
            str(part.value) if isinstance(part, ast.Constant) else "..." for part in getattr(node, "values", [node])
        )
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
