"""What a step of a dynamic pipeline has asked for itself, told from its stored configuration."""

from __future__ import annotations

from typing import Any

from zenml.config.pipeline_configurations import PipelineConfiguration
from zenml.config.step_configurations import StepConfiguration

from lightning_zenml.orchestrator.controller.isolated_steps import own_configuration

KEY = "orchestrator.lightning"


def own(step: dict[str, Any], pipeline: dict[str, Any]) -> dict[str, Any]:
    found = own_configuration(
        StepConfiguration(name="train", settings={KEY: step}),
        PipelineConfiguration(name="training", settings={KEY: pipeline} if pipeline else {}),
    )
    return dict(found.settings[KEY])


def test_what_the_pipeline_asks_for_is_not_the_steps() -> None:
    pipeline = {"machine_type": "CPU", "custom_commands": ["true"], "environment": {"A": "1", "B": "1"}}
    step = {**pipeline, "machine_type": "T4", "environment": {"A": "1", "B": "2", "C": "3"}}

    assert own(step, pipeline) == {"machine_type": "T4", "environment": {"B": "2", "C": "3"}}


def test_beside_a_pipeline_without_settings_all_are_the_steps() -> None:
    assert own({"machine_type": "T4", "environment": {"A": "1"}}, {}) == {
        "machine_type": "T4",
        "environment": {"A": "1"},
    }
