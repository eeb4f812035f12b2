"""The way to Lightning AI that a pipeline's settings name."""

from __future__ import annotations

import os

from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

_NAMES = ("user_id", "api_key", "teamspace", "username", "organization")


def connect(settings: LightningOrchestratorSettings) -> Lightning:
    """Connects to the teamspace that a pipeline runs in.

    Args:
        settings: settings of the pipeline; what they leave out is taken from the `LIGHTNING_*` variables.

    Returns:
        The teamspace.

    Raises:
        CredentialsError: if the user id or API key is missing or refused.
        TeamspaceError: if there is no such teamspace, or none is named and there are several.
        LaunchError: if Lightning AI can't be reached.
    """
    return Lightning.connect(Credentials.resolve(os.environ, **{name: getattr(settings, name) for name in _NAMES}))
