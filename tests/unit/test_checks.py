from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from zenml.exceptions import SettingsResolvingError

from lightning_zenml.orchestrator.checks import check_stack, studio_names
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

KEY = "some-key"


def component(name: str, kind: str, local_path: str | None = None, **config: Any) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, type=SimpleNamespace(value=kind), local_path=local_path, config=SimpleNamespace(**config)
    )


def stack(*more: SimpleNamespace, is_local: bool = False, api_key: str | None = KEY) -> Any:
    """What `check_stack` reads of a ZenML stack."""
    store = component("store", "artifact_store", "/store" if is_local else None, is_local=is_local)
    orchestrator = component("lightning", "orchestrator", api_key=api_key)
    return SimpleNamespace(artifact_store=store, orchestrator=orchestrator, all_components=[store, orchestrator, *more])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("LIGHTNING_API_KEY", "LIGHTNING_ZENML_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_remote_stack_will_do() -> None:
    assert check_stack(stack()) == (True, "")


def test_a_key_that_the_settings_may_hold_is_not_missed() -> None:
    assert check_stack(stack(api_key=None)) == (True, "")


def test_local_components_and_a_missing_key_are_told_together() -> None:
    tracker = component("mlruns", "experiment_tracker", "/home/ada/mlruns")

    good, message = check_stack(stack(tracker, is_local=True, api_key=None))

    assert not good
    assert "nothing was started" in message
    assert "the artifact store `store` is local" in message
    assert "the experiment_tracker `mlruns` keeps files at `/home/ada/mlruns`" in message
    assert "no Lightning API key" in message


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("{broken", "isn't valid JSON"),
        ("[]", "must hold a JSON object"),
        (json.dumps({"machinetype": "cpu"}), "did you mean `machine_type`"),
        (json.dumps({"timeout": -1}), "timeout"),
        (json.dumps({"async_mode": True, "synchronous": True}), "contradict"),
    ],
)
def test_settings_of_the_environment(environment: pytest.MonkeyPatch, settings: str, told: str) -> None:
    environment.setenv("LIGHTNING_ZENML_SETTINGS", settings)

    good, message = check_stack(stack())

    assert not good
    assert told in message
    # There is a key, so nothing is said of it.
    assert "API key" not in message


@pytest.mark.parametrize(
    ("name", "value"), [("LIGHTNING_API_KEY", KEY), ("LIGHTNING_ZENML_SETTINGS", '{"api_key": "k"}')]
)
def test_a_key_of_the_environment_is_one(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)

    assert "API key" not in check_stack(stack(is_local=True, api_key=None))[1]


@pytest.mark.parametrize(
    ("settings", "names"),
    [({}, ()), ({"main_studio_name": "ci"}, ("ci",)), ({"main_studio_name": "ci", "studio_pool": 2}, ("ci-1", "ci-2"))],
)
def test_studios_of_a_pipeline(settings: dict[str, Any], names: tuple[str, ...]) -> None:
    assert studio_names(LightningOrchestratorSettings(**settings)) == names


def test_a_studio_that_is_kept_needs_not_be_kept_warm() -> None:
    with pytest.raises(SettingsResolvingError, match="`keep_warm` is for a studio that is stopped"):
        studio_names(LightningOrchestratorSettings(keep_warm=5, keep_studio="keep"))


@pytest.mark.parametrize("settings", [{}, {"main_studio_name": "ci", "keep_studio": "delete"}])
def test_a_pool_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsResolvingError, match="`studio_pool` is the size of a pool of studios that"):
        studio_names(LightningOrchestratorSettings(studio_pool=2, **settings))
