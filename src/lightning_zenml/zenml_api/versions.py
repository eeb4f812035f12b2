"""Which versions of ZenML are tested; any later one is tried by what it has, see `relied_on` and `zenml_internals`."""

from __future__ import annotations

import re
from collections.abc import Sequence

OLDEST = "0.97.0"
"""Older ones lack what nothing here can do without; pyproject.toml has the same bound, `make compat` tries it."""
NEWEST_TESTED = "0.98.0"
"""The one in requirements/dev.txt."""
TESTED = f"ZenML {OLDEST} to {NEWEST_TESTED}"
_MOST_NAMED = 5


def is_too_old(version: str) -> bool:
    """Whether a version of ZenML lies before all that are supported."""
    return _numbers(version) < _numbers(OLDEST)


def is_tested(version: str) -> bool:
    """Whether a version of ZenML is, or lies between, those that the tests run with; somebody's own build is not."""
    released = re.fullmatch(r"\d+(\.\d+)*", version) is not None
    return released and _numbers(OLDEST) <= _numbers(version) <= _numbers(NEWEST_TESTED)


def requirement(version: str) -> str:
    """What to install for a version of ZenML: of somebody's own build, which is on no index, the release behind it.

    Args:
        version: e.g. `0.98.0`, `0.98.0+acme`.
    """
    return f"zenml=={version.partition('+')[0]}"


def named(missing: Sequence[str]) -> str:
    """Names what is missing in one line; of a great deal the first ones."""
    more = len(missing) - _MOST_NAMED
    return ", ".join(missing[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: three of them, whatever follows."""
    begin = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    return tuple(int(number or 0) for number in begin.groups()) if begin else (0, 0, 0)
