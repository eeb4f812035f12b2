"""The bash that runs what users write: no start-up files, and the first failure ends it."""

from __future__ import annotations


def argv(script: str) -> list[str]:
    """Builds the command line that runs a script.

    Args:
        script: bash lines.
    """
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
