"""docs/troubleshooting.md tells of messages that users see."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
MESSAGES = re.findall(r"^\| (.+?) \|", PAGE, re.MULTILINE)[2:]


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
