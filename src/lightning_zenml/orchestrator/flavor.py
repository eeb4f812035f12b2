"""Settings, configuration and flavor of the orchestrator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator
from zenml.config.base_settings import BaseSettings
from zenml.exceptions import SettingsResolvingError
from zenml.orchestrators import BaseOrchestratorConfig
from zenml.orchestrators.base_orchestrator import BaseOrchestratorFlavor
from zenml.utils.secret_utils import is_secret_reference

from lightning_zenml.settings import CREDENTIALS, Attributes, Settings, problems

if TYPE_CHECKING:
    from lightning_zenml.orchestrator.orchestrator import LightningOrchestrator

FLAVOR = "lightning"


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
            raise SettingsResolvingError(" ".join(found))
        return data

    @model_serializer(mode="wrap")
    def _hide_credentials(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return data | {
            name: _kept.placeholder(data[name])
            for name in CREDENTIALS
            if data.get(name) and not is_secret_reference(data[name])
        }


class LightningOrchestratorConfig(Attributes, BaseOrchestratorConfig):  # type: ignore[misc]
    """Attributes of the orchestrator as a stack component."""

    @property
    def is_remote(self) -> bool:
        """Whether it runs elsewhere; makes ZenML insist on a server that studios can reach."""
        return True

    @property
    def is_local(self) -> bool:
        """Whether it needs this machine."""
        return False

    @property
    def is_synchronous(self) -> bool:
        """Whether a run is waited for, if its settings don't say."""
        return self.synchronous

    @property
    def is_schedulable(self) -> bool:
        """Whether it runs pipelines on a schedule."""
        return True

    @property
    def supports_client_side_caching(self) -> bool:
        """Whether the client may look for cached steps; the controller does, in the studio."""
        return False

    @property
    def handles_step_retries(self) -> bool:
        """Whether it repeats failed steps itself; ZenML does, in the step's process."""
        return False


class LightningOrchestratorFlavor(BaseOrchestratorFlavor):  # type: ignore[misc]
    """The flavor `lightning`."""

    @property
    def name(self) -> str:
        """Name of the flavor."""
        return FLAVOR

    @property
    def docs_url(self) -> str | None:
        """Page about this flavor."""
        return str(self.generate_default_docs_url())

    @property
    def sdk_docs_url(self) -> str | None:
        """Page about this flavor's classes: none."""
        return None

    @property
    def logo_url(self) -> str:
        """Picture for the dashboard, the one of the stock flavor."""
        return "https://public-flavor-logos.s3.eu-central-1.amazonaws.com/orchestrator/lightning.png"

    @property
    def config_class(self) -> type[LightningOrchestratorConfig]:
        """Class of the component's attributes."""
        return LightningOrchestratorConfig

    @property
    def implementation_class(self) -> type[LightningOrchestrator]:
        """Class of the orchestrator."""
        from lightning_zenml.orchestrator.orchestrator import LightningOrchestrator

        return LightningOrchestrator


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
