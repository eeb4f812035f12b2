from __future__ import annotations

from typing import Any

import pytest
from zenml.config.pipeline_configurations import PipelineConfiguration
from zenml.exceptions import SettingsResolvingError
from zenml.utils import pydantic_utils

from lightning_zenml.launch.spec import KeepStudio
from lightning_zenml.orchestrator.flavor import LightningOrchestratorConfig, LightningOrchestratorFlavor
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings, overlay, stored_settings

STOCK_ATTRIBUTES = {
    "main_studio_name",
    "machine_type",
    "custom_commands",
    "synchronous",
    "user_id",
    "api_key",
    "username",
    "teamspace",
    "organization",
}


def test_component_has_the_attributes_that_servers_accept() -> None:
    assert set(LightningOrchestratorConfig.model_fields) == STOCK_ATTRIBUTES


def test_component_runs_remotely_and_caches_in_the_studio() -> None:
    config = LightningOrchestratorConfig(user_id="u", api_key="{{lightning.key}}", custom_commands='["a", "b"]')

    assert config.is_remote
    assert not config.is_local
    assert config.is_schedulable
    assert not config.supports_client_side_caching
    assert not config.handles_step_retries
    assert config.is_synchronous
    assert config.custom_commands == ["a", "b"]
    assert config.required_secrets


def test_flavor_is_named_like_the_stock_one() -> None:
    flavor = LightningOrchestratorFlavor()

    assert flavor.name == "lightning"
    assert flavor.config_class is LightningOrchestratorConfig
    assert flavor.implementation_class.__name__ == "LightningOrchestrator"


def test_every_attribute_is_a_setting() -> None:
    assert set(LightningOrchestratorSettings.model_fields) > STOCK_ATTRIBUTES


def test_documented_settings() -> None:
    settings = LightningOrchestratorSettings(
        main_studio_name="my_studio",
        machine_type="cpu",
        async_mode=True,
        custom_commands=["pip install -r requirements.txt", "do something else"],
    )

    assert not settings.synchronous
    assert settings.machines == ("cpu",)
    assert settings.keep_studio is KeepStudio.AUTO


@pytest.mark.parametrize(
    ("machine_type", "machines"),
    [(None, ()), ("", ()), ("A10G", ("A10G",)), ("L4, T4,", ("L4", "T4")), (["L4", " cpu "], ("L4", "cpu"))],
)
def test_machines(machine_type: Any, machines: tuple[str, ...]) -> None:
    assert LightningOrchestratorSettings(machine_type=machine_type).machines == machines


@pytest.mark.parametrize(
    ("values", "synchronous"),
    [
        ({}, True),
        ({"async_mode": True}, False),
        ({"async_mode": False}, True),
        ({"synchronous": False}, False),
        ({"async_mode": True, "synchronous": False}, False),
        ({"async_mode": None, "synchronous": True}, True),
    ],
)
def test_one_switch_with_two_names(values: dict[str, Any], synchronous: bool) -> None:
    assert LightningOrchestratorSettings(**values).synchronous is synchronous


@pytest.mark.parametrize("value", [True, False])
def test_contradicting_names_of_the_switch(value: bool) -> None:
    with pytest.raises(SettingsResolvingError, match="two names of one switch"):
        LightningOrchestratorSettings(async_mode=value, synchronous=value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("machinetype", "machine_type"), ("asynch_mode", "async_mode"), ("max_parallel", "max_parallel_steps")],
)
def test_unknown_setting_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsResolvingError, match=f"no setting `{name}`; did you mean `{nearest}`"):
        LightningOrchestratorSettings.model_validate({name: 1})


def test_either_name_of_the_switch_wins_over_both_below() -> None:
    assert overlay({"synchronous": True, "cloud": "a"}, {"async_mode": True}) == {"async_mode": True, "cloud": "a"}
    assert overlay({"async_mode": True, "synchronous": False}, {"synchronous": True}) == {"synchronous": True}
    assert overlay({"async_mode": True}, {"cloud": "b"}) == {"async_mode": True, "cloud": "b"}


def test_of_the_environment_each_variable_wins_for_itself() -> None:
    below = {"environment": {"A": "below", "B": "below"}}
    assert overlay(below, {"environment": {"B": "above"}}) == {"environment": {"A": "below", "B": "above"}}
    assert overlay(below, {"cloud": "a"}) == {**below, "cloud": "a"}


def test_plain_credentials_are_not_stored_and_come_back_in_this_process() -> None:
    settings = LightningOrchestratorSettings(api_key="sk-plain", user_id="user-plain", teamspace="vision")
    merged = pydantic_utils.update_model(settings, {"machine_type": "T4"})
    snapshot = PipelineConfiguration(name="p", settings={"orchestrator.lightning": merged})

    stored = snapshot.model_dump_json()
    assert "plain" not in stored
    assert "vision" in stored

    read = PipelineConfiguration.model_validate_json(stored).settings["orchestrator.lightning"]
    restored = LightningOrchestratorSettings.model_validate(stored_settings(dict(read)))
    assert (restored.api_key, restored.user_id) == ("sk-plain", "user-plain")
    assert restored.machines == ("T4",)


def test_credentials_that_another_process_keeps_give_way() -> None:
    stored = {"api_key": "kept-by-the-client-0123456789ab", "user_id": "{{lightning.user}}", "cloud": "aws"}

    assert stored_settings(stored) == {"user_id": "{{lightning.user}}", "cloud": "aws"}


def test_secret_references_are_stored_as_they_are() -> None:
    settings = LightningOrchestratorSettings(api_key="{{lightning.key}}")

    assert settings.model_dump(exclude_unset=True) == {"api_key": "{{lightning.key}}"}


@pytest.mark.parametrize(
    "values", [{"timeout": 0}, {"num_machines": 0}, {"keep_studio": "maybe"}, {"studio_pool": 33}, {"studio_pool": 1.5}]
)
def test_values_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsResolvingError, match=next(iter(values))):
        LightningOrchestratorSettings(**values)
