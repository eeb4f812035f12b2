"""The list of what is relied on of ZenML is whole, and looked for in the ZenML that is installed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightning_zenml
from lightning_zenml.launch.payload.folder import REFUSAL
from lightning_zenml.orchestrator import orchestrator, zenml_internals
from lightning_zenml.orchestrator.controller import dynamic
from lightning_zenml.orchestrator.flavor import LightningOrchestratorConfig
from lightning_zenml.orchestrator.steps import entrypoint
from lightning_zenml.orchestrator.zenml_internals import OVERRIDDEN, USED

PRODUCT = Path(lightning_zenml.__file__).parent
LISTED = {
    f"{module}.{re.sub(r'[(].*', '', name)}"
    for several in (USED, OVERRIDDEN)
    for module in several
    for name in several[module]
}


def test_the_installed_zenml_has_all_of_it() -> None:
    assert zenml_internals.missing() == ()


@pytest.mark.parametrize("path", sorted(PRODUCT.rglob("*.py")), ids=lambda path: str(path.relative_to(PRODUCT)))
def test_every_import_from_zenml_is_listed(path: Path) -> None:
    known = {".".join(name.split(".")[:parts]) for name in LISTED for parts in range(1, name.count(".") + 2)}

    assert set(_imports(ast.parse(path.read_text()))) - known - set(USED) == set()


@pytest.mark.parametrize(
    "ours",
    [
        orchestrator.LightningOrchestrator,
        LightningOrchestratorConfig,
        dynamic._Runner,
        entrypoint.StepEntrypoint,
        entrypoint.JointStepEntrypoint,
        entrypoint.FollowingStepEntrypoint,
    ],
)
def test_every_member_that_ours_stands_in_for_is_listed(ours: type) -> None:
    listed = {name.rpartition(".")[2] for name in LISTED}
    bases = [base for base in ours.__mro__ if base.__module__.startswith("zenml.")]
    # Those of every Python class, or that pydantic makes.
    overridden = {name for name in vars(ours) if any(name in vars(base) for base in bases)}
    overridden = {name for name in overridden if not re.match(r"__|_abc_|model_", name)}

    assert overridden - listed == set()


CHANGED = """
import zenml, sys
{change}
zenml.__version__ = "{version}"
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorFlavor
LightningOrchestratorFlavor().implementation_class
from types import SimpleNamespace as N
from lightning_zenml.orchestrator.checks import check_stack
store, ours = N(config=N(is_local=False)), N(config=N(api_key="k"))
print("checked", check_stack(N(artifact_store=store, all_components=[], orchestrator=ours)))
"""
WITHOUT_A_MEMBER = """
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
del DynamicPipelineRunner._run_sync_step
"""
WITHOUT_A_PARAMETER = """
from zenml.orchestrators import publish_utils
publish_utils.publish_stopped_step_run = lambda run_id: None
"""
WITHOUT_A_MODULE = "sys.modules['zenml.orchestrators.dag_runner'] = None"


def changed(change: str, version: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Uses the flavor with a ZenML that is changed on purpose."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("ZENML_", "LIGHTNING_"))}
    variables |= {"ZENML_ANALYTICS_OPT_IN": "false", "ZENML_CONFIG_PATH": str(tmp_path)}
    code = CHANGED.format(change=change, version=version)
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("version", "change", "lack"),
    [
        ("0.98.0", WITHOUT_A_MEMBER, "DynamicPipelineRunner._run_sync_step"),
        ("0.99.0", WITHOUT_A_PARAMETER, "publish_stopped_step_run has no parameter `step_run_id`"),
        ("1.0.0rc1", WITHOUT_A_MODULE, "zenml.orchestrators.dag_runner (ModuleNotFoundError"),
    ],
    ids=["member", "parameter", "module"],
)
def test_what_is_missing_is_told_in_one_line(change: str, lack: str, version: str, tmp_path: Path) -> None:
    ended = changed(change, version, tmp_path)

    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"{REFUSAL}ZenML {version} lacks what the Lightning orchestrator relies on: ")
    assert lack in last
    assert "ZenML 0.97.0 to 0.98.0 work" in last
    assert "Traceback" not in ended.stderr
    assert "checked" not in ended.stdout


def test_a_newer_zenml_that_has_all_runs_with_a_notice(tmp_path: Path) -> None:
    ended = changed("", "0.99.0", tmp_path)

    assert ended.returncode == 0
    assert "checked (True, '')" in ended.stdout
    assert "ZenML 0.99.0 isn't tested with this lightning-zenml, but has all that it relies on." in ended.stdout
    assert REFUSAL not in ended.stderr


def test_an_older_zenml_is_refused(tmp_path: Path) -> None:
    ended = changed("", "0.96.4", tmp_path)

    assert ended.returncode == 1
    assert f"{REFUSAL}ZenML 0.96.4 is too old. ZenML 0.97.0 to 0.98.0 work" in ended.stderr
    assert "Traceback" not in ended.stderr


def _imports(tree: ast.AST) -> Iterator[str]:
    """What a module imports from ZenML as it runs, not for the type checker alone."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and (child.module or "").partition(".")[0] == "zenml":
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from _imports(child)
