"""Flavor and configuration of the orchestrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenml.orchestrators import BaseOrchestratorConfig
from zenml.orchestrators.base_orchestrator import BaseOrchestratorFlavor

from lightning_zenml.orchestrator import zenml_internals
from lightning_zenml.orchestrator.refusal import refuse
from lightning_zenml.settings import Attributes

if TYPE_CHECKING:
    from lightning_zenml.orchestrator.orchestrator import LightningOrchestrator

FLAVOR = "lightning"


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
        """Class of the orchestrator.

        Raises:
            UnsuitableZenMLError: if the ZenML that is installed lacks what it relies on.
        """
        try:
            from lightning_zenml.orchestrator.orchestrator import LightningOrchestrator
        except (ImportError, AttributeError):
            if unsuitable := zenml_internals.problem():
                refuse(unsuitable)
            raise
        return LightningOrchestrator
