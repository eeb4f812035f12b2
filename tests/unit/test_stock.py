from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lightning_zenml
from lightning_zenml.zenml_api.server import SUPPORTED_VERSIONS

SOURCE = str(Path(lightning_zenml.__file__).parents[1])
ACTIVATE = "from lightning_zenml.orchestrator import stock; stock.activate()\n"
STOCK_MODULE = "zenml.integrations.lightning.flavors.lightning_orchestrator_flavor"


def run(code: str, **environment: str) -> str:
    """Runs code in an interpreter in which nothing is activated yet."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "LIGHTNING_"))}
    variables |= {"PYTHONPATH": SOURCE, "ZENML_ANALYTICS_OPT_IN": "false", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=True, timeout=100
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
        + "finders = [f for f in sys.meta_path if f is stock._StockFinder]\n"
        + "print(json.dumps([sorted(set(sys.modules)), len(finders)]))"
    )
    modules, finders = json.loads(run(code))

    assert not {"zenml", "lightning_sdk", "pydantic", "requests"} & set(modules)
    assert finders == 1


def test_another_version_of_zenml_is_told_and_has_the_stock_flavor(tmp_path: Path) -> None:
    code = (
        ACTIVATE
        + "import zenml; zenml.__version__ = '0.99.1'\n"
        + f"from {STOCK_MODULE} import LightningOrchestratorSettings as S; print(S.__module__)"
    )
    *log, module = run(code, ZENML_CONFIG_PATH=str(tmp_path)).splitlines()

    assert module == STOCK_MODULE
    assert "it supports ZenML 0.97 to 0.98, and this is 0.99.1" in "".join(log)


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


def test_the_versions_that_are_supported_are_those_that_are_installed() -> None:
    """A ZenML that our package may be installed beside is one that the overlay takes, and no other."""
    (zenml,) = [Requirement(one) for one in requires("lightning-zenml") or () if one.startswith("zenml")]

    found = [f"0.{minor}" for minor in range(80, 120) if zenml.specifier.contains(f"0.{minor}.0")]
    assert tuple(found) == SUPPORTED_VERSIONS
