"""What one look of `doctor` has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from lightning_zenml.cli.errors import told


class Result(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WRONG = "wrong"
    """No launch works with it."""
    WARNING = "warning"
    """A launch works, less well perhaps."""
    SKIPPED = "skipped"
    """It can't be looked at here, or not without what is wrong above."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look has found.

    Args:
        check: what was looked at, in a word or two.
        result: how it stands.
        told: what was found, and where it isn't ok, what to do.
    """

    check: str
    result: Result
    told: str


Look = Callable[[], Iterator[Finding]]
"""Looks at one or several things; what keeps it from that is an error that the user is told, see `errors.told`."""


def ok(check: str, text: str) -> Finding:
    """A thing that is as it should be."""
    return Finding(check=check, result=Result.OK, told=text)


def wrong(check: str, text: str) -> Finding:
    """A thing with which no launch works."""
    return Finding(check=check, result=Result.WRONG, told=text)


def warning(check: str, text: str) -> Finding:
    """A thing that is worse than it could be."""
    return Finding(check=check, result=Result.WARNING, told=text)


def skipped(check: str, text: str) -> Finding:
    """A thing that was not looked at."""
    return Finding(check=check, result=Result.SKIPPED, told=text)


def looked(check: str, look: Look) -> Iterator[Finding]:
    """Looks, and makes a finding of whatever keeps it from that.

    Args:
        check: what is looked at, in a word or two.
        look: looks at it.

    Raises:
        Exception: if it is a fault of this program.
    """
    try:
        yield from look()
    except Exception as error:
        problem = told(error)
        if problem is None:
            raise
        for text in problem.problems:
            yield wrong(check, text)
