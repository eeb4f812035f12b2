"""Names of studios and launches: what they may hold, and how one is told from the other."""

from __future__ import annotations

import re
import secrets

_LONGEST_SLUG = 40
_SUFFIX_BYTES = 4


def prefixed(name: str) -> str:
    """`zenml-<name>` in what names on Lightning may hold: lower-case letters, digits and hyphens."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_SLUG].strip("-")
    return f"zenml-{slug}" if slug else "zenml"


def suffix() -> str:
    """Eight random hexadecimal digits: they make a fresh studio's name, or a launch's id, unique."""
    return secrets.token_hex(_SUFFIX_BYTES)


def launch_id(studio_name: str, suffix: str) -> str:
    """Id of a launch: the name of the studio that it is on, and a suffix of its own."""
    return f"{studio_name}-{suffix}"


def of_pool(studio_name: str, size: int) -> tuple[str, ...]:
    """Names of the studios of a pool: `ci-1`, `ci-2` and so on."""
    return tuple(f"{studio_name}-{number}" for number in range(1, size + 1))


def is_fresh(studio_name: str) -> bool:
    """Whether a studio is named like one that was made for a single launch, or for a schedule."""
    return re.fullmatch(rf"zenml(?:-[a-z0-9-]+)?-[0-9a-f]{{{2 * _SUFFIX_BYTES}}}", studio_name) is not None


def is_launch_id(text: str) -> bool:
    """Whether a text may be the id of a launch, as `launch_id` makes them."""
    return re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{{{2 * _SUFFIX_BYTES}}}", text) is not None


def studio_name_of(launch_id: str) -> str:
    """Name of the studio that a launch is on, as `launch_id` has put it in."""
    return launch_id[: -len(f"-{'0' * 2 * _SUFFIX_BYTES}")]
