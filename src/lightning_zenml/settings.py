"""The orchestrator's settings: names, types, allowed values. Without ZenML, so that the Action can check them too."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from lightning_zenml.launch.spec import KeepStudio

LARGEST_POOL = 32
"""Studios in a pool, at most: each costs its storage."""
LONGEST_WARM = 120
"""Minutes for which a machine is kept, at most: it costs as much as one that works."""
CREDENTIALS = ("user_id", "api_key")

_SENSITIVE = {"sensitive": True}
"""What ZenML's `SecretField` marks a field with (`zenml/utils/secret_utils.py`)."""


class Attributes(BaseModel):
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
    user_id: str | None = Field(
        default=None,
        description="Lightning user id; else the variable LIGHTNING_USER_ID.",
        json_schema_extra=dict(_SENSITIVE),
    )
    api_key: str | None = Field(
        default=None,
        description="Lightning API key; else the variable LIGHTNING_API_KEY.",
        json_schema_extra=dict(_SENSITIVE),
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


class Settings(Attributes):
    """Settings of a pipeline or a step."""

    studio_pool: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_POOL,
        description="Number of studios, `<main_studio_name>-1` and so on, of which a run takes one that is free.",
    )
    async_mode: bool | None = Field(
        default=None,
        description="The opposite of `synchronous`: leave as soon as the run has started.",
    )
    cloud: str | None = Field(default=None, description="Cloud account of a new studio, by its id.")
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
    keep_warm: float | None = Field(
        default=None,
        gt=0,
        le=LONGEST_WARM,
        description="Minutes for which the machines of a run are kept up at its end, for the next one.",
    )
    stop_idle_gpu: float | None = Field(
        default=None, gt=0, description="Minutes after which a machine is ended whose GPUs nobody uses."
    )
    max_parallel_steps: int | None = Field(
        default=None, gt=0, description="Steps that run at once. Unset: as many as the pipeline allows."
    )
    timeout: float | None = Field(default=None, gt=0, description="Seconds after which the run is stopped.")
    max_cost: float | None = Field(
        default=None, gt=0, description="US dollars after which the run is stopped, its studio and jobs together."
    )
    schedule_timezone: str | None = Field(
        default=None,
        description="Time zone of a schedule's cron expression, like `Europe/Berlin`. Unset: UTC.",
    )
    reuse_snapshot: bool = Field(default=True, description="Let jobs of one run share one snapshot of the studio.")
    fork_steps: bool = Field(
        default=True, description="Let steps in the studio start as copies of a process that has imported ZenML."
    )
    preload: list[str] = Field(
        default_factory=list,
        description="Modules of a pipeline's steps, such as `torch`, that this process imports, too.",
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """The names in `machine_type`, in order of preference."""
        names = self.machine_type or ()
        if isinstance(names, str):
            names = names.split(",")
        return tuple(name.strip() for name in names if name.strip())

    @model_validator(mode="before")
    @classmethod
    def _settle_switch(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("async_mode"), bool):
            return {**data, "synchronous": not data["async_mode"]}
        return data


def studio_problems(
    name: str | None, keep_studio: str, *, studio_pool: float | None, keep_warm: float | None
) -> Iterator[tuple[str, str]]:
    """Finds settings of the studio that don't go together.

    Args:
        name: name of the studio, or that its pool shares.
        keep_studio: what is to become of the studio at the end.
        studio_pool: number of studios in the pool.
        keep_warm: minutes for which its machine is kept.

    Yields:
        The name of a setting, and words that follow it.
    """
    if studio_pool is not None and not name:
        yield "studio_pool", "is the size of a pool of studios that share a name: which name, is not given"
    if studio_pool is not None and keep_studio == KeepStudio.DELETE:
        yield (
            "studio_pool",
            "is the size of a pool of studios that stay; none of them can be deleted at the end of a run",
        )
    if keep_warm is not None and keep_studio in (KeepStudio.KEEP, KeepStudio.DELETE):
        yield "keep_warm", f"is for a studio that is stopped after the run, and this one is to be `{keep_studio}`"


def problems(settings: Mapping[str, Any]) -> list[str]:
    """Finds everything that is wrong with settings.

    Args:
        settings: names and values of settings, as the user gave them.

    Returns:
        A sentence for each problem, unknown names with the nearest that there is. No value of `environment`, nor a
        credential, is told.
    """
    return [*_unknown(settings), *_contradictions(settings), *_bad_values(settings)]


def _unknown(settings: Mapping[str, Any]) -> Iterator[str]:
    known = Settings.model_fields
    for name in settings:
        if name not in known:
            (nearest,) = difflib.get_close_matches(name, known, n=1, cutoff=0)
            yield f"The Lightning orchestrator has no setting `{name}`; did you mean `{nearest}`?"


def _contradictions(settings: Mapping[str, Any]) -> Iterator[str]:
    asynchronous = settings.get("async_mode")
    if isinstance(asynchronous, bool) and settings.get("synchronous") is asynchronous:
        yield (
            f"`async_mode={asynchronous}` and `synchronous={asynchronous}` contradict each other; "
            "they are two names of one switch. Set one of them."
        )


def _bad_values(settings: Mapping[str, Any]) -> Iterator[str]:
    try:
        Settings.model_validate({name: value for name, value in settings.items() if name in Settings.model_fields})
    except ValidationError as error:
        reasons: dict[str, list[str]] = {}
        for one in error.errors(include_url=False):
            place = ".".join(map(str, one["loc"][:2])) if one["loc"][0] == "environment" else str(one["loc"][0])
            reasons.setdefault(place, []).append(one["msg"].removeprefix("Input "))
        for place, several in reasons.items():
            name = place.partition(".")[0]
            hidden = name == "environment" or name in CREDENTIALS
            shown = place if hidden else f"{place}: {str(settings[name])[:60]}"
            yield f"The setting `{shown}` is not allowed: it {' or '.join(dict.fromkeys(several))}."
