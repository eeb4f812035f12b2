"""Settings, configuration and flavor of the orchestrator."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from zenml.config.base_settings import BaseSettings
from zenml.exceptions import SettingsResolvingError
from zenml.orchestrators import BaseOrchestratorConfig
from zenml.orchestrators.base_orchestrator import BaseOrchestratorFlavor
from zenml.utils.secret_utils import SecretField, is_secret_reference

from lightning_zenml.launch.spec import KeepStudio

if TYPE_CHECKING:
    from lightning_zenml.orchestrator.orchestrator import LightningOrchestrator

FLAVOR = "lightning"
CREDENTIALS = ("user_id", "api_key")


class _Attributes(BaseModel):
    """What may be set on the component as well as in settings: the nine attributes of ZenML's stock flavor.

    The server checks a component against these nine (`zenml/stack/utils.py`), so what is new is a setting only.
    """

    main_studio_name: str | None = Field(
        default=None,
        description="Studio to use or create. Unset: a fresh studio, deleted at the end.",
    )
    machine_type: str | list[str] | None = Field(
        default=None,
        description="Machine: a name of lightning-sdk in any case, `cpu` or `gpu`; several in order of "
        "preference, as a list or by comma.",
    )
    custom_commands: list[str] | None = Field(
        default=None,
        description="Shell commands run in the root of the repository before the pipeline, in one session.",
    )
    synchronous: bool = Field(default=True, description="Whether to wait until the run has ended.")
    user_id: str | None = SecretField(
        default=None, description="Lightning user id; else the variable LIGHTNING_USER_ID."
    )
    api_key: str | None = SecretField(
        default=None, description="Lightning API key; else the variable LIGHTNING_API_KEY."
    )
    username: str | None = Field(
        default=None,
        description="Lightning user that owns the teamspace; else the variable LIGHTNING_USERNAME.",
    )
    teamspace: str | None = Field(
        default=None, description="Lightning teamspace; else the variable LIGHTNING_TEAMSPACE."
    )
    organization: str | None = Field(
        default=None,
        description="Lightning organization that owns the teamspace; else the variable LIGHTNING_ORG.",
    )


class LightningOrchestratorSettings(_Attributes, BaseSettings):  # type: ignore[misc]
    """Settings of a pipeline or a step that runs on Lightning AI.

    A plain `user_id` or `api_key` among them is never stored: it's kept by the process that compiles the pipeline,
    and the snapshot gets a placeholder. A reference like `{{secret.key}}` is stored as it is.

    Raises:
        SettingsResolvingError: if a name isn't one of the settings, or `async_mode` and `synchronous` contradict.
    """

    async_mode: bool | None = Field(
        default=None,
        description="The opposite of `synchronous`: leave as soon as the run has started.",
    )
    cloud: str | None = Field(default=None, description="Cloud account or provider of a new studio.")
    interruptible: bool = Field(default=False, description="Use a spot machine.")
    max_runtime: int | None = Field(default=None, gt=0, description="Seconds after which Lightning ends a step's job.")
    max_run_attempts: int | None = Field(
        default=None, gt=0, description="How often Lightning starts a step's job that fails."
    )
    num_machines: int = Field(default=1, gt=0, description="Machines of a step; more than one: a multi-machine job.")
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables of commands, run and steps. Stored with the run: no place for secrets.",
    )
    keep_studio: KeepStudio = Field(
        default=KeepStudio.AUTO,
        description="What becomes of the studio: `auto`, `keep`, `stop` or `delete`.",
    )
    max_parallel_steps: int | None = Field(
        default=None, gt=0, description="Steps that run at once. Unset: as many as the pipeline allows."
    )
    timeout: float | None = Field(default=None, gt=0, description="Seconds after which the run is stopped.")
    schedule_timezone: str | None = Field(
        default=None,
        description="Time zone of a schedule's cron expression, like `Europe/Berlin`. Unset: UTC.",
    )
    reuse_snapshot: bool = Field(default=True, description="Let jobs of one run share one snapshot of the studio.")

    @property
    def machines(self) -> tuple[str, ...]:
        """The names in `machine_type`, in order of preference."""
        names = self.machine_type or ()
        if isinstance(names, str):
            names = names.split(",")
        return tuple(name.strip() for name in names if name.strip())

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if unknown := [name for name in data if name not in cls.model_fields]:
            raise SettingsResolvingError(" ".join(_unknown_setting(name, cls) for name in unknown))
        asynchronous = data.get("async_mode")
        if isinstance(asynchronous, bool):
            if data.get("synchronous") is asynchronous:
                raise SettingsResolvingError(
                    f"`async_mode={asynchronous}` and `synchronous={asynchronous}` contradict each other; "
                    "they are two names of one switch. Set one of them."
                )
            return {**data, "synchronous": not asynchronous}
        return data

    @model_serializer(mode="wrap")
    def _hide_credentials(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return data | {
            name: _kept.placeholder(data[name])
            for name in CREDENTIALS
            if data.get(name) and not is_secret_reference(data[name])
        }


class LightningOrchestratorConfig(_Attributes, BaseOrchestratorConfig):  # type: ignore[misc]
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
        upper: settings that win; either name of the switch `async_mode`/`synchronous` wins over both below.

    Returns:
        All of them.
    """
    switch = {"async_mode", "synchronous"}
    below = lower if switch.isdisjoint(upper) else {k: v for k, v in lower.items() if k not in switch}
    return {**below, **upper}


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


def _unknown_setting(name: str, settings: type[BaseModel]) -> str:
    nearest = difflib.get_close_matches(name, settings.model_fields, n=1, cutoff=0)
    return f"The Lightning orchestrator has no setting `{name}`; did you mean `{nearest[0]}`?"
