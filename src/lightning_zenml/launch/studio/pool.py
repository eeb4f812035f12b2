"""A pool: studios of which a launch takes one that is free, and the one that suits it best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from lightning_zenml.launch.errors import StudioBusyError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.studio.line import Line
from lightning_zenml.launch.studio.provision import Ready


class Pool:
    """Studios of one launch's choice.

    Args:
        lightning: teamspace of the studios.
        names: names of the studios; there need not be any of them yet.
        machines: names of machines, one of which the launch wants; empty: any will do.
        cloud: id of the cloud account of new studios; None: the teamspace's default.
    """

    def __init__(
        self, lightning: Lightning, names: Sequence[str], machines: Sequence[str], *, cloud: str | None
    ) -> None:
        self._lightning = lightning
        self._names = names
        self._wanted = machines
        self._cloud = cloud

    def take(self, take: Callable[[str], Ready], line: Line) -> Ready:
        """Takes the first studio that is free; while none is, waits in line.

        Args:
            take: makes the studio of that name ready and takes its lease, or raises a `StudioBusyError`.
            line: line to wait in.

        Raises:
            StudioError: when no studio is free until the line's deadline.
            LaunchError: when the one that is can't be made ready.
        """
        while True:
            busy: dict[str, str] = {}
            for name in self._in_order():
                try:
                    ready = take(name)
                except StudioBusyError as error:
                    busy[name] = str(error)
                else:
                    line.end()
                    return ready
            line.wait("no studio of the pool is free: " + "; ".join(busy[name] for name in self._names))

    def _in_order(self) -> list[str]:
        """The names, that of the studio which suits best first; of several, the first."""
        return sorted(self._names, key=self._distance)

    def _distance(self, name: str) -> int:
        """How far a studio is from running the launch."""
        studio = Studio.find(self._lightning, name)
        if studio is None:
            return 3
        state = studio.state()
        if state.stopped:
            return 1
        if not state.running:
            # Somebody else's, most likely.
            return 4
        has = state.in_use
        fits = not self._wanted or (has and any(machine.is_reported_as(has.machine) for machine in self._machines))
        return 0 if fits else 2

    @cached_property
    def _machines(self) -> list[Machine]:
        return Catalog(self._lightning, self._cloud or self._lightning.default_cluster).candidates(self._wanted)
