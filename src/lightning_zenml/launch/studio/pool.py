"""A pool: studios of which a launch takes one that is free, and the one that suits it best."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from lightning_zenml.launch.errors import StudioAwayError, StudioBusyError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.files import FAILURES, read
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.records import StudioState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.requirements.wanted import Wanted
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.launch.studio.line import Line
from lightning_zenml.launch.studio.provision import Ready


class Pool:
    """Studios of one launch's choice.

    Args:
        lightning: teamspace of the studios.
        spec: what is launched.
        names: names of the studios; there need not be any of them yet.
    """

    def __init__(self, lightning: Lightning, spec: LaunchSpec, names: Sequence[str]) -> None:
        self._lightning = lightning
        self._spec = spec
        self._names = names
        self._environments: dict[str, str] = {}

    def take(self, take: Callable[[str], Ready], line: Line) -> Ready:
        """Takes the first studio that is free; while none is, waits in line. One that fails is not tried again.

        Args:
            take: makes the studio of that name ready and takes its lease, or raises a `StudioBusyError`.
            line: line to wait in.

        Raises:
            StudioError: when no studio is free until the line's deadline.
            LaunchError: when the one that is can't be made ready.
        """
        broken: dict[str, StudioError] = {}
        while True:
            busy: dict[str, StudioError] = {}
            for name in self._in_order(without=broken):
                try:
                    ready = take(name)
                except StudioBusyError as error:
                    busy[name] = error
                except (StudioAwayError, StudioLostError):
                    raise
                except StudioError as error:
                    broken[name] = error
                else:
                    line.end()
                    return ready
            if not busy:
                raise broken.popitem()[1]
            told = {**busy, **broken}
            line.wait("no studio of the pool is free: " + "; ".join(str(told[name]) for name in self._names))

    def _in_order(self, *, without: Collection[str]) -> list[str]:
        """The names, that of the studio which suits best first; of several, the first."""
        return sorted((name for name in self._names if name not in without), key=self._distance)

    def _distance(self, name: str) -> tuple[bool, int]:
        """How far a studio is from running the launch: whether there is anything to install, then its machine."""
        studio = Studio.find(self._lightning, name)
        if studio is None:
            return True, 3
        return not self._is_installed(studio), self._distance_of_machine(studio.state())

    def _distance_of_machine(self, state: StudioState) -> int:
        if state.stopped:
            return 1
        has, wanted = state.in_use, self._spec.machines
        if not state.running or has is None:
            # Somebody else's, most likely.
            return 4
        return 0 if not wanted or any(machine.is_reported_as(has.machine) for machine in self._machines) else 2

    def _is_installed(self, studio: Studio) -> bool:
        """Whether the studio is known to have what the launch installs. That is but a preference: one look does."""
        if studio.id not in self._environments:
            try:
                path = f"{layout.HOME}/{layout.ENVIRONMENTS}"
                noted = read(self._lightning, path, studio_id=studio.id, cluster=studio.cluster)
            except FAILURES:
                noted = ""
            self._environments[studio.id] = noted
        return environment_digest(self._spec) in self._environments[studio.id].split()

    @cached_property
    def _machines(self) -> list[Machine]:
        cluster = self._spec.cloud or self._lightning.default_cluster
        return Catalog(self._lightning, cluster).candidates(self._spec.machines)


def environment_digest(spec: LaunchSpec) -> str:
    """What a launch has installed, as far as that is known before it starts.

    Args:
        spec: what is launched.
    """
    contents = Wanted(spec.requirements, spec.archive.root).contents
    return hashlib.sha256(json.dumps([spec.packages, spec.requirements, contents]).encode()).hexdigest()
