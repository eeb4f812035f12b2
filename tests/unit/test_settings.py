from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from zenml.utils.secret_utils import is_secret_field

from lightning_zenml.orchestrator.flavor import LightningOrchestratorConfig
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.settings import CREDENTIALS, Settings, problems


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"machine_type": ["L4", "T4"], "timeout": 1.5, "environment": {"A": "1"}}, []),
        ({"api_key": "{{lightning.key}}"}, []),
        (
            {"num_machine": 2},
            ["The Lightning orchestrator has no setting `num_machine`; did you mean `num_machines`?"],
        ),
        ({"timeout": 0}, ["The setting `timeout: 0` is not allowed: it should be greater than 0."]),
        (
            {"machine_type": 3},
            ["The setting `machine_type: 3` is not allowed: it should be a valid string or should be a valid list."],
        ),
        (
            {"environment": {"PASSWORD": 12345}},
            ["The setting `environment.PASSWORD` is not allowed: it should be a valid string."],
        ),
        ({"api_key": 12345}, ["The setting `api_key` is not allowed: it should be a valid string."]),
    ],
)
def test_problems(settings: dict[str, Any], expected: list[str]) -> None:
    assert problems(settings) == expected


def test_all_problems_are_told_at_once() -> None:
    found = problems({"x": 1, "async_mode": True, "synchronous": True, "timeout": "soon", "max_runtime": -1})
    assert [next(word for word in ("`x`", "contradict", "timeout", "max_runtime") if word in one) for one in found] == [
        "`x`",
        "contradict",
        "max_runtime",
        "timeout",
    ]


def test_the_flavor_has_these_settings_and_zenml_knows_which_are_secret() -> None:
    assert set(LightningOrchestratorSettings.model_fields) == set(Settings.model_fields)
    for model in (LightningOrchestratorSettings, LightningOrchestratorConfig):
        secret = {name for name, field in model.model_fields.items() if is_secret_field(field)}
        assert secret == set(CREDENTIALS)


def test_checking_settings_imports_no_zenml() -> None:
    code = "import sys, lightning_zenml.settings; sys.exit('zenml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
