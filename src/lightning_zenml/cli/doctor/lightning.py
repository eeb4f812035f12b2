"""What `doctor` asks of Lightning AI: key, teamspace, machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.doctor.finding import Finding, ok, skipped, warning, wrong
from lightning_zenml.launch.errors import MachineError
from lightning_zenml.launch.lightning.machines import Catalog

USUAL = ("cpu", "gpu")
"""What is looked for where nobody names machines: the cheapest of each."""


def teamspace(connection: Connection) -> Iterator[Finding]:
    """Looks at key and teamspace."""
    lightning = connection.lightning
    whose = "a user's" if connection.credentials.user_id else "a scoped one"
    yield ok("Lightning key", f"{lightning.url} takes it, {whose}")
    yield ok("teamspace", f"{lightning.owner}/{lightning.teamspace}, on {lightning.default_cluster or 'any cloud'}")


def standing(connection: Connection) -> Iterator[Finding]:
    """Tells the account's role in the teamspace, credits and limits, as far as Lightning does.

    Args:
        connection: the teamspace.
    """
    lightning = connection.lightning
    # A teamspace may be listed twice, and not in every row with all.
    rows = [one for one in lightning.memberships() if one.teamspace_id == lightning.teamspace_id]
    roles = sorted({role for row in rows for role in row.roles})
    yield (
        ok("role", ", ".join(roles)) if roles else skipped("role", "Not known: Lightning does not tell it for this key")
    )
    left = next((row.balance for row in rows if row.balance is not None), None)
    if left is None:
        yield skipped("credits", "Not known: Lightning does not tell them for this key")
    elif left <= 0:
        yield warning("credits", f"${left:.2f} are left: a machine may be refused. Add some on lightning.ai")
    else:
        yield ok("credits", f"${left:.2f} are left")
    limit = next((row.most_running for row in rows if row.most_running is not None), None)
    if limit is None:
        yield skipped("machines at once", "Not known: Lightning tells of a limit only when it refuses a machine")
    else:
        yield ok("machines at once", f"{limit} at most, as Lightning tells of the teamspace")


def machines(connection: Connection, names: Sequence[str]) -> Iterator[Finding]:
    """Looks at machines.

    Args:
        connection: the teamspace.
        names: names of machines; none: the usual ones.
    """
    catalog = Catalog(connection.lightning, None)
    for name in names or USUAL:
        check = f"machine {name}"
        try:
            machine = catalog.machine(name)
        except MachineError as error:
            yield wrong(check, str(error)) if names else warning(check, str(error))
            continue
        price = "its price is not known" if machine.cost is None else f"${machine.cost:.2f} an hour"
        if machine.out_of_capacity:
            yield warning(check, f"{machine.name}, {price}: none can be had now. Name a second one in `machine-type`")
        else:
            yield ok(check, f"{machine.name}, {price}")
