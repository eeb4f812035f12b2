"""Checks JSON against the models that lightning-sdk generates from the platform's own OpenAPI description.

The models are read one file at a time, without importing lightning-sdk: that takes seconds and freezes
`LIGHTNING_CLOUD_URL` for whoever uses the SDK in the same process.
"""

from __future__ import annotations

import importlib.util
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any


class InvalidError(ValueError):
    """The JSON does not fit its model; the message says where and why."""


def check(model: str, value: Any, where: str = "") -> None:
    """Check `value`, decoded proto-JSON, against the SDK's model.

    Args:
        model: a swagger type: the name of a model, `str`, `list[V1EnvVar]`, ...
        value: decoded JSON; None (absent) fits every model, as in proto3.
        where: path of `value` in the whole, for messages.

    Raises:
        InvalidError: an unknown field, or a value of another type.
    """
    if value is None or model == "object":
        return
    if inner := re.fullmatch(r"list\[(.+)]", model):
        _expect(isinstance(value, list), where, "an array", value)
        for index, item in enumerate(value):
            check(inner[1], item, f"{where}[{index}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", model):
        _expect(isinstance(value, dict), where, "an object", value)
        for key, item in value.items():
            check(inner[1], item, f"{where}.{key}")
    elif model in _SCALARS:
        _expect(_SCALARS[model](value), where, model, value)
    else:
        _check_model(model, value, where)


@cache
def fields(model: str) -> dict[str, str]:
    """The JSON names of a model's fields and their swagger types.

    Raises:
        InvalidError: the SDK has no such model.
    """
    loaded = _load(model)
    return {loaded.attribute_map[name]: kind for name, kind in loaded.swagger_types.items()}


def sdk_folder() -> Path:
    """Where lightning-sdk's generated API client lies.

    Raises:
        ModuleNotFoundError: lightning-sdk is not installed.
    """
    found = importlib.util.find_spec("lightning_sdk")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("lightning-sdk is not installed", name="lightning_sdk")
    return Path(found.origin).parent / "lightning_cloud" / "openapi"


def _check_model(model: str, value: Any, where: str) -> None:
    if choices := _choices(model):
        _expect(value in choices, where, f"one of {', '.join(choices)}", value)
        return
    _expect(isinstance(value, dict), where, model, value)
    known = fields(model)
    for name, item in value.items():
        if name not in known:
            raise InvalidError(f"{model} has no field {name!r} (at {where or 'the top'})")
        check(known[name], item, f"{where}.{name}".lstrip("."))


@cache
def _choices(model: str) -> tuple[str, ...]:
    return tuple(value for name, value in vars(_load(model)).items() if name.isupper() and isinstance(value, str))


@cache
def _load(model: str) -> Any:
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", model)
    name = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", words).lower()
    path = sdk_folder() / "models" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"localcloud_{name}", path) if path.exists() else None
    if spec is None or spec.loader is None:
        raise InvalidError(f"lightning-sdk has no model {model}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, model)


def _expect(fits: bool, where: str, what: str, value: Any) -> None:
    if not fits:
        raise InvalidError(f"{where or 'the body'} must be {what}, not {value!r}")


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and re.fullmatch(r"-?\d+", value) is not None
    )


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


_SCALARS: dict[str, Any] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _is_integer,
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "datetime": _is_time,
}
