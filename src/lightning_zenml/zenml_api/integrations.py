"""What ZenML's integrations need installed."""

from __future__ import annotations

from collections.abc import Iterable


def of_integrations(names: Iterable[str]) -> tuple[str, ...]:
    """The requirement specifiers of integrations, as the installed ZenML lists them.

    Imports ZenML, which costs seconds.

    Args:
        names: names of ZenML integrations, e.g. `s3`; `lightning` is left out, since our own package brings what it
            needs.

    Returns:
        Requirement specifiers, sorted.
    """
    wanted = sorted(set(names) - {"lightning"})
    if not wanted:
        return ()
    from zenml.integrations.registry import integration_registry

    found: set[str] = set()
    for name in wanted:
        found.update(integration_registry.select_integration_requirements(name))
    return tuple(sorted(found))
