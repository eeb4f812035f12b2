"""The action's inputs: what `with:` gives, read and checked, with every problem reported at once."""

from lightning_zenml.action.inputs.defaults import DEFAULTS, FROM_ENVIRONMENT
from lightning_zenml.action.inputs.model import (
    COMMENT_KEY_LIMIT,
    LEG_LIMIT,
    Inputs,
    InputsError,
    PicturesIn,
    SubmitFrom,
)
from lightning_zenml.action.inputs.of_orchestrator import SETTINGS_OF_INPUTS

__all__ = [
    "COMMENT_KEY_LIMIT",
    "DEFAULTS",
    "FROM_ENVIRONMENT",
    "LEG_LIMIT",
    "SETTINGS_OF_INPUTS",
    "Inputs",
    "InputsError",
    "PicturesIn",
    "SubmitFrom",
]
