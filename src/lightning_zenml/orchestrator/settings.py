"""The orchestrator's settings as ZenML sees them: checked, laid over each other, stored without credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator
from zenml.config.base_settings import BaseSettings
from zenml.exceptions import SettingsResolvingError
from zenml.utils import settings_utils
from zenml.utils.secret_utils import is_secret_reference

from lightning_zenml.codes import Code, marked
from lightning_zenml.orchestrator.refusal import tell_plainly
from lightning_zenml.settings import CREDENTIALS, Settings, problems

if TYPE_CHECKING:
    from zenml.config.pipeline_configurations import PipelineConfiguration
    from zenml.config.step_configurations import StepConfiguration
    from zenml.stack import StackComponent


class LightningOrchestratorSettings(Settings, BaseSettings):  # type: ignore[misc]
    """Settings of a pipeline or a step that runs on Lightning AI, see `lightning_zenml.settings`.

    A plain `user_id` or `api_key` among them is never stored: it's kept by the process that compiles the pipeline,
    and the snapshot gets a placeholder. A reference like `{{secret.key}}` is stored as it is.

    Raises:
        SettingsResolvingError: if a name isn't one of the settings, a value isn't allowed, or `async_mode` and
            `synchronous` contradict; tells of all at once.
    """

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and (found := problems(data)):
            tell_plainly()
            raise SettingsResolvingError(marked(" ".join(found), Code.SETTINGS))
        return data

    @model_serializer(mode="wrap")
    def _hide_credentials(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return data | {
            name: _kept.placeholder(data[name])
            for name in CREDENTIALS
            if data.get(name) and not is_secret_reference(data[name])
        }


OWN_OF_STEPS = ("machine_type", "custom_commands", "environment")
"""Settings that the Action's inputs give to the pipeline, and that a step may have otherwise."""


def stored_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Reads settings back as they were before they were stored.

    Args:
        settings: names and values from a snapshot.

    Returns:
        The settings; a credential that another process keeps is left out.
    """
    return dict(_kept.restore(settings))


def asked_for(component: StackComponent, configuration: PipelineConfiguration | StepConfiguration) -> dict[str, Any]:
    """Finds what a pipeline or a step asks of the orchestrator.

    Args:
        component: our orchestrator; settings under its own name win over those for all of its flavor or type.
        configuration: configuration of the pipeline or step.

    Returns:
        Names and values of the settings, see `stored_settings`.
    """
    for key in (
        settings_utils.get_stack_component_name_setting_key(component),
        settings_utils.get_stack_component_setting_key(component),
    ):
        if key in configuration.settings:
            return stored_settings(dict(configuration.settings[key]))
    return {}


def overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Lays settings over others.

    Args:
        lower: settings that give way.
        upper: settings that win; either name of the switch `async_mode`/`synchronous` wins over both below, and of
            `environment` each variable for itself.

    Returns:
        All of them.
    """
    switch = {"async_mode", "synchronous"}
    below = lower if switch.isdisjoint(upper) else {k: v for k, v in lower.items() if k not in switch}
    both = {**below, **upper}
    if "environment" in lower and "environment" in upper:
        both["environment"] = {**lower["environment"], **upper["environment"]}
    return both


class _KeptCredentials:
    """Plain credentials of this process, by the placeholder that stands for them outside of it."""

    _PREFIX = "kept-by-the-client-"

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def placeholder(self, value: str) -> str:
        if value.startswith(self._PREFIX):
            return value
        for placeholder, kept in self._values.items():
            if kept == value:
                return placeholder
        placeholder = f"{self._PREFIX}{uuid4().hex[:12]}"
        self._values[placeholder] = value
        return placeholder

    def restore(self, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in settings.items():
            if name in CREDENTIALS and isinstance(value, str) and value.startswith(self._PREFIX):
                if value in self._values:
                    yield name, self._values[value]
            else:
                yield name, value


_kept = _KeptCredentials()
