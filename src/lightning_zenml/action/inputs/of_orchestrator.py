"""Inputs that the orchestrator has settings for, checked as these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from lightning_zenml import settings as of_core
from lightning_zenml.action.inputs.reader import Reader

SETTINGS_OF_INPUTS: Mapping[str, str] = {
    "main_studio_name": "studio-name",
    "studio_pool": "studio-pool",
    "machine_type": "machine-type",
    "custom_commands": "commands",
    "synchronous": "async",
    "async_mode": "async",
    "keep_studio": "keep-studio",
    "keep_warm": "keep-warm",
    "stop_idle_gpu": "stop-idle-gpu",
    "timeout": "timeout-minutes",
    "max_cost": "max-cost",
    "user_id": "lightning-user-id",
    "api_key": "lightning-api-key",
    "username": "lightning-username",
    "teamspace": "lightning-teamspace",
    "organization": "lightning-org",
}
"""Settings of the orchestrator that have an input of their own, so that there is one way to say a thing."""


def orchestrator_settings(reader: Reader) -> dict[str, Any]:
    """The input `settings`, with what is wrong with it noted.

    Args:
        reader: the step's inputs.
    """
    settings = reader.mapping("settings", "a YAML mapping of orchestrator settings, e.g. `max_parallel_steps: 2`")
    for name in settings:
        if name in SETTINGS_OF_INPUTS:
            reader.note("settings", f"`{name}` is not allowed: use the input `{SETTINGS_OF_INPUTS[name]}`")
    others = {name: value for name, value in settings.items() if name not in SETTINGS_OF_INPUTS}
    for problem in of_core.problems(others):
        reader.note("settings", f"can't be used: {problem}")
    if _is_texts(environment := settings.get("environment")):
        reader.check_variables("settings", environment)
    return settings


def check_studio(studio_pool: int | None, keep_warm: float | None, reader: Reader) -> None:
    """Notes what does not go together of the inputs on the studio.

    Args:
        studio_pool: number of studios that share its name; None: it is one studio's.
        keep_warm: minutes for which the machines are kept up; None: they are not.
        reader: the step's inputs.
    """
    name, keep_studio = reader.text("studio-name"), reader.text("keep-studio")
    found = of_core.studio_problems(name, keep_studio, studio_pool=studio_pool, keep_warm=keep_warm)
    for setting, problem in found:
        reader.note(SETTINGS_OF_INPUTS[setting], problem)


def _is_texts(value: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
