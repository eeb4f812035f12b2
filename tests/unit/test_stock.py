from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lightning_zenml
from lightning_zenml.zenml_api.versions import NEWEST_TESTED, OLDEST, is_tested, is_too_old, requirement

PINNED = re.findall(r"zenml\S*==([\d.]+)", (Path(__file__).parents[2] / "requirements/dev.in").read_text())
SOURCE = str(Path(lightning_zenml.__file__).parents[1])
ACTIVATE = "from lightning_zenml.orchestrator import stock; stock.activate()\n"
STOCK_MODULE = "zenml.integrations.lightning.flavors.lightning_orchestrator_flavor"


def run(code: str, **environment: str) -> str:
    """Runs code in an interpreter in which nothing is activated yet."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "LIGHTNING_"))}
    variables |= {"PYTHONPATH": SOURCE, "ZENML_ANALYTICS_OPT_IN": "false", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=True, timeout=300
    ).stdout.strip()


@pytest.mark.parametrize(
    ("environment", "module"),
    [({}, "lightning_zenml.orchestrator.settings"), ({"LIGHTNING_ZENML_STOCK": "1"}, STOCK_MODULE)],
)
def test_documented_import(environment: dict[str, str], module: str, tmp_path: Path) -> None:
    code = ACTIVATE + f"from {STOCK_MODULE} import LightningOrchestratorSettings as S; print(S.__module__)"

    assert run(code, ZENML_CONFIG_PATH=str(tmp_path), **environment) == module


def test_stock_flavor_has_our_classes_and_stays_itself(tmp_path: Path) -> None:
    code = (
        ACTIVATE
        + "import json\n"
        + "from zenml.integrations.lightning import LightningIntegration\n"
        + "from zenml.integrations.lightning.flavors import LightningOrchestratorConfig\n"
        + "flavor = LightningIntegration.flavors()[0]\n"
        + "print(json.dumps([flavor.__module__, flavor().name, flavor().config_class.__module__,"
        + " flavor().implementation_class.__module__, LightningOrchestratorConfig.__module__,"
        + " LightningIntegration.check_installation()]))"
    )

    assert json.loads(run(code, ZENML_CONFIG_PATH=str(tmp_path))) == [
        STOCK_MODULE,
        "lightning",
        "lightning_zenml.orchestrator.flavor",
        "lightning_zenml.orchestrator.orchestrator",
        "lightning_zenml.orchestrator.flavor",
        True,
    ]


def test_activation_imports_next_to_nothing() -> None:
    code = (
        "import json, sys\n"
        + ACTIVATE
        + ACTIVATE
        + "finders = [f for f in sys.meta_path if f is stock._Finder]\n"
        + "print(json.dumps([sorted(set(sys.modules)), len(finders)]))"
    )
    modules, finders = json.loads(run(code))

    assert not {"zenml", "lightning_sdk", "pydantic", "requests"} & set(modules)
    assert finders == 1


def test_a_newer_zenml_has_our_classes(tmp_path: Path) -> None:
    code = (
        ACTIVATE
        + "import zenml; zenml.__version__ = '0.99.1'\n"
        + f"from {STOCK_MODULE} import LightningOrchestratorSettings as S; print(S.__module__)"
    )

    assert run(code, ZENML_CONFIG_PATH=str(tmp_path)) == "lightning_zenml.orchestrator.settings"


def test_broken_overlay_warns_and_leaves_the_stock_flavor(tmp_path: Path) -> None:
    code = (
        ACTIVATE
        + "import sys; sys.modules['lightning_zenml.orchestrator.flavor'] = None\n"
        + f"from {STOCK_MODULE} import LightningOrchestratorSettings as S; print(S.__module__)"
    )
    # ZenML sends warnings to its own log, on stdout.
    *log, module = run(code, ZENML_CONFIG_PATH=str(tmp_path)).splitlines()

    assert module == STOCK_MODULE
    assert "stays in use" in "".join(log)


def test_the_versions_that_are_tested_are_those_that_are_installed() -> None:
    """pip takes no older ZenML than we do, and any newer one; the newest that is tested is the one of the tests."""
    (zenml,) = [Requirement(one) for one in requires("lightning-zenml") or () if one.startswith("zenml")]

    assert str(zenml.specifier) == f">={OLDEST.removesuffix('.0')}"
    assert PINNED == [NEWEST_TESTED]


@pytest.mark.parametrize(
    ("version", "tested", "too_old"),
    [
        ("0.96.4", False, True),
        ("0.97", True, False),
        ("0.97.3", True, False),
        ("0.98.0", True, False),
        ("0.98.0+acme", False, False),
        ("0.98.1", False, False),
        ("0.99.0rc1", False, False),
        ("0.100.0", False, False),
        ("1.0", False, False),
    ],
)
def test_versions(version: str, tested: bool, too_old: bool) -> None:
    assert (is_tested(version), is_too_old(version)) == (tested, too_old)


def test_of_somebodys_own_build_the_release_is_installed() -> None:
    assert [requirement(version) for version in ("0.98.0", "0.98.0+acme")] == ["zenml==0.98.0"] * 2
