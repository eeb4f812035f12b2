"""Numbers that a step logs again and again are kept as curves: ZenML gives out the last value of each name only."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zenml.client import Client

from lightning_zenml.zenml_api.curves import AXES, key_of

_ALL = 256
"""Values of which each is kept. Then every second, from twice as many on every fourth, and so on: a mapping of all that
was logged in a million steps would be read whenever somebody looks at the step."""
_MOST_CURVES = 200
"""Of one process: names may be made up at every step."""


_ours: list[Callable[..., None]] = []


def keep_curves() -> None:
    """Lets ZenML's client keep curves from now on, in this whole process."""
    if Client.create_run_metadata not in _ours:
        _ours.append(_keeping(Client.create_run_metadata, Curves()))
        Client.create_run_metadata = _ours[-1]


@dataclass
class _Curve:
    """A number that is logged.

    Args:
        first: its first value, which is no curve yet, and when that was; None once it is kept.
        times: how often it was logged.
    """

    first: tuple[str, float] | None = None
    times: int = 0


@dataclass
class Curves:
    """All numbers that this process has logged so far, by what they were logged for, and their names."""

    known: dict[tuple[str, str], _Curve] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def added_to(self, metadata: Mapping[str, Any], resources: str) -> dict[str, Any]:
        """The metadata, with the curves that it goes on with.

        Args:
            metadata: what is logged.
            resources: what it is logged for.
        """
        axis = next((name for name in AXES if _is_number(metadata.get(name))), "")
        with self.lock:
            more: dict[str, Any] = {}
            for name, value in _numbers(metadata):
                if name not in AXES and (
                    points := self._points(f"{resources} {axis}", name, value, metadata.get(axis))
                ):
                    more[key_of(name, axis)] = points
        return {**metadata, **more}

    def _points(self, place: str, name: str, value: float, when: float | None) -> dict[str, float]:
        """What is new of a curve; nothing where this is its first value, or is left out."""
        if (place, name) not in self.known and len(self.known) >= _MOST_CURVES:
            return {}
        curve = self.known.setdefault((place, name), _Curve())
        curve.times += 1
        at = f"{curve.times if when is None else when:.15g}"
        if curve.times == 1:
            curve.first = (at, value)
            return {}
        distance = 2 ** max(math.ceil(math.log2(curve.times / _ALL)), 0)
        if curve.times % distance:
            return {}
        points = dict([curve.first] if curve.first else []) | {at: value}
        curve.first = None
        return points


def _keeping(create: Callable[..., None], curves: Curves) -> Callable[..., None]:
    """ZenML's own method, which is given more where that belongs to a curve; whatever goes wrong, what it was given."""

    @functools.wraps(create)
    def create_run_metadata(client: Client, metadata: dict[str, Any], *rest: Any, **more: Any) -> None:
        try:
            resources = rest[0] if rest else more["resources"]
            place = ",".join(sorted(f"{one.type}/{one.id}" for one in resources))
            added = curves.added_to(metadata, place)
        except Exception:
            # ZenML tells what is wrong with it.
            added = metadata
        create(client, added, *rest, **more)

    return create_run_metadata


def _numbers(metadata: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names and values; of nested metadata the path, with dots."""
    for name, value in metadata.items():
        if _is_number(value):
            yield name, float(value)
        elif isinstance(value, dict) and not all(_reads_as_number(key) for key in value):
            yield from ((f"{name}.{inner}", number) for inner, number in _numbers(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_as_number(key: object) -> bool:
    """Whether it is an epoch or a step: then the step keeps a curve itself."""
    try:
        float(str(key))
    except ValueError:
        return False
    return True
