"""docs/architecture.md names modules, tests and members of ZenML: all of them must be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "src/lightning_zenml"
PAGE = (ROOT / "docs/architecture.md").read_text()
WORDS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))


@pytest.mark.parametrize(
    "path", sorted({word for word in WORDS if re.fullmatch(r"[\w./]+/[\w.]*|\w+\.(py|yml|toml)", word)})
)
def test_every_file_and_folder_named_is_there(path: str) -> None:
    assert any((folder / path).exists() for folder in (PRODUCT, ROOT))


def test_every_test_named_is_there() -> None:
    modules = [ast.parse(path.read_text()) for path in ROOT.glob("tests/*/test_*.py")]
    known = {node.name for module in modules for node in module.body if isinstance(node, ast.FunctionDef)}
    named = set(re.findall(r"`(test_\w+)`", PAGE))

    assert len(named) > 20
    assert named - known == set()


def test_every_use_of_zenmls_dynamic_runner_is_named() -> None:
    """What is ZenML's own of the private members that our runner uses."""
    tree = ast.parse((PRODUCT / "orchestrator/controller/dynamic.py").read_text())
    runner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Runner")
    inner = {node.attr for node in ast.walk(runner) if isinstance(node, ast.Attribute)}
    inner |= {node.name for node in runner.body if isinstance(node, ast.FunctionDef)}
    of_zenml = set(DynamicPipelineRunner.__init__.__code__.co_names) | set(vars(DynamicPipelineRunner))
    relied_on = {name for name in inner & of_zenml if name.startswith("_") and not name.startswith("__")}

    assert len(relied_on) > 10
    assert relied_on - set(WORDS) == set()
