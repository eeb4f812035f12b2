"""A thing that launches have made, and whether it is left over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing stands."""

    LEFT = "left"
    """Nobody needs it any more, and somebody who would know says so."""
    UNSURE = "unsure"
    """It may be left over: a person has to look. It is never touched."""
    IN_USE = "in use"
    """A launch works with it, or somebody wanted it to stay."""
    ENDED = "ended"
    """It was left, and is gone or stopped now."""
    STAYS = "stays"
    """It was left, and could not be ended."""


class Kind(StrEnum):
    """What a thing is on Lightning AI, or in ZenML."""

    STUDIO = "studio"
    JOB = "job"
    PIPELINE = "pipeline"
    SCHEDULE = "schedule"


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A thing in the teamspace.

    Args:
        kind: what it is.
        name: name of it.
        verdict: how it stands.
        why: who says so, or why nobody can tell; one sentence without a full stop.
        action: what ends it, `delete` or `stop`; '' where that is not for this program to do.
        url: where users look at it; '' where there is no such page.
    """

    kind: Kind
    name: str
    verdict: Verdict
    why: str
    action: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A thing in the teamspace, with what ends it.

    Args:
        leftover: what is told of it.
        end: ends it; None where that is not for this program to do.
    """

    leftover: Leftover
    end: Callable[[], None] | None = None
