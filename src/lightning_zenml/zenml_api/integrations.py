"""What ZenML's integrations need installed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import metadata

from lightning_zenml.launch.payload.locks.lock import wanted_by


class UnknownIntegrationError(LookupError):
    """The installed ZenML has no such integration. The message is for the user."""


def of_integrations(
    names: Iterable[str], unknown: Callable[[UnknownIntegrationError], None] | None = None
) -> tuple[str, ...]:
    """The requirement specifiers of integrations, as the installed ZenML lists them.

    Imports ZenML, which costs two seconds of CPU, unless all of them are usual artifact stores.

    Args:
        names: names of ZenML integrations, e.g. `s3`; `lightning` is left out, since our own package brings what it
            needs.
        unknown: callback for each name that there is no integration of; None: the first one is raised.

    Returns:
        Requirement specifiers, sorted.

    Raises:
        UnknownIntegrationError: if there is no integration of a name; with the nearest one.
    """
    wanted, version = sorted(set(names) - {"lightning"}), metadata.version("zenml")
    listed = [wanted_by(name, version) for name in wanted]
    known = [one for one in listed if one is not None]
    if len(known) == len(listed):
        return tuple(sorted({requirement for one in known for requirement in one}))
    from zenml.integrations.registry import integration_registry

    found: set[str] = set()
    for name in wanted:
        try:
            found.update(integration_registry.select_integration_requirements(name))
        except KeyError:
            error = _unknown(name, integration_registry.integrations)
            if unknown is None:
                raise error from None
            unknown(error)
    return tuple(sorted(found))


def _unknown(name: str, there: Iterable[str]) -> UnknownIntegrationError:
    near = difflib.get_close_matches(name, there, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ". `zenml integration list` shows those that there are."
    return UnknownIntegrationError(f"ZenML has no integration `{name}`{hint}")
