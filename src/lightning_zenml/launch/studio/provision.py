"""A studio made ready: found or created, started or switched, set up, its hardware checked.

The platform does not always give what it was asked for: some studios never get past their set-up, a machine may never
come, and a GPU that the cloud doesn't sell comes up as a CPU (docs/assumptions.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lightning_zenml.launch.errors import CostReachedError, LaunchError, MachineError, StudioBusyError, StudioError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.records import StudioState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.studio import names
from lightning_zenml.launch.studio.switch import Switch
from lightning_zenml.launch.studio.waits import BoundedWaits, Limits, Probe


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A studio that can work.

    Args:
        studio: studio that is ready.
        machine: kind of machine that it runs on.
        python: absolute path of the studio's Python.
        files: parts of archives, and wheels, that it has, relative to `.lightning_zenml`.
        meter: what it costs, from when its machine came up or was taken over.
    """

    studio: Studio
    machine: Machine
    python: str
    files: frozenset[str]
    meter: Meter


class Provisioner:
    """Makes studios ready.

    Args:
        lightning: teamspace of the studios.
        say: takes a line for the log.
        on_studio: called with a studio, and with whether it ran before, before its machine is asked for: whoever must
            release the studio in any case notes it there.
        limits: how long to wait for what.
        max_cost: US dollars that studios may cost before one is ready; None: no limit.
    """

    def __init__(
        self,
        lightning: Lightning,
        *,
        say: Callable[[str], None],
        on_studio: Callable[[Studio, bool], None],
        limits: Limits,
        max_cost: float | None = None,
    ) -> None:
        self._lightning = lightning
        self._say = say
        self._on_studio = on_studio
        self._wait = BoundedWaits(limits, say)
        self._max_cost = max_cost
        self._started: set[str] = set()
        self._warned: set[str] = set()
        self._meter: Meter | None = None
        self._spent = 0.0

    def fresh(self, prefix: str, machines: Sequence[str], *, cloud: str | None, interruptible: bool) -> Ready:
        """A new studio named `<prefix>-<8 hex>`; one that is stuck in its set-up is replaced once.

        Args:
            prefix: beginning of the name.
            machines: names of machines in order of preference: where one can't be had, the next one's turn has come.
            cloud: id of the cloud account; None: the teamspace's default.
            interruptible: whether a spot machine will do.

        Raises:
            MachineError: when a name is unknown, none has capacity, or another machine comes up than was asked for.
            StudioError: when two studios in a row are stuck in their set-up.
        """
        cluster = self._cluster(cloud)
        catalog = Catalog(self._lightning, cluster)
        for machine, following in _with_following(catalog.candidates(machines)):
            try:
                return self._fresh(prefix, machine, catalog, cluster=cluster, interruptible=interruptible)
            except MachineError as error:
                self._end()
                if following is None:
                    raise
                self._say(f"{error} Next: {following.name}")
        raise AssertionError("unreachable")

    def named(
        self,
        name: str,
        machines: Sequence[str],
        *,
        cloud: str | None,
        interruptible: bool,
        lease: Callable[[Studio, Probe], None],
        on_switch: Callable[[str, bool], None],
        waits: bool = True,
    ) -> Ready:
        """The studio of that name, created when there is none, started when stopped, switched when it must be.

        Args:
            name: name of the studio.
            machines: names of machines in order of preference, see `fresh`; empty: the one that the studio has or is
                getting, else a CPU.
            cloud: id of the cloud account that the studio gets if it must be created.
            interruptible: whether a spot machine will do.
            lease: takes the lease, given the studio and what is found there; called before its machine is switched.
            on_switch: called when a switch begins, ends or passes the point of no return, see `Switch`.
            waits: whether to wait where somebody else starts the studio or stops it.

        Raises:
            MachineError: when a name is unknown, none has capacity, or another machine comes up than was asked for.
            StudioBusyError: when somebody else starts the studio or stops it, and that is not waited for.
            StudioError: when the studio does not get through its set-up, or was stopped meanwhile.
        """
        studio = self._lightning.found(lambda: Studio.find(self._lightning, name))
        catalog = Catalog(self._lightning, studio.cluster if studio else self._cluster(cloud))
        if studio is None:
            candidates = catalog.candidates(machines)
            studio = Studio.create(self._lightning, name, cluster=self._cluster(cloud))
            state = StudioState(in_use=None, requested=None)
        else:
            state = studio.state()
            candidates = self._candidates(catalog, machines, state)
            if not (waits or state.running or state.stopped):
                raise StudioBusyError(f"{name} is {'being stopped' if state.stopping else 'started for somebody else'}")
            if state.stopping:
                state = self._wait.until_stopped(studio)
        if studio.stays_awake and name not in self._warned:
            self._warned.add(name)
            self._say(
                f"Auto-sleep is off for {studio.name}: should all else fail to stop it, it costs until somebody does. "
                f"Turn it on at {studio.url}"
            )
        was_running = not state.stopped and studio.id not in self._started
        self._on_studio(studio, was_running)
        for candidate, following in _with_following(candidates):
            machine, asked = candidate, time.time()
            try:
                if state.stopped:
                    self._say(f"Starting {studio.name} on {machine.name}")
                    if studio.start(machine, interruptible=interruptible):
                        self._started.add(studio.id)
                    else:
                        # Another client was faster: nothing of it is ours before the lease is.
                        was_running = True
                        self._on_studio(studio, was_running)
                        if not waits:
                            raise StudioBusyError(f"{name} is started for somebody else")
                state = self._until_running(studio, machine, interruptible=interruptible, before=state)
                if was_running and not machines:
                    machine = self._candidates(catalog, machines, state)[0]
                self._begin(state, catalog, asked=asked)
                probe = self._set_up(studio, waits=waits or not was_running)
                lease(studio, probe)
                if was_running:
                    # Whoever had it until now has paid for it.
                    self._begin(state, catalog, asked=time.time())
                comes_second = was_running or candidate is not candidates[0]
                if comes_second and state.in_use and not machine.is_reported_as(state.in_use.machine):
                    asked = time.time()
                    state = self._switch(studio, machine, interruptible=interruptible, on_switch=on_switch)
                    self._end()
                    self._begin(state, catalog, asked=asked)
                    probe = self._set_up(studio)
                    lease(studio, probe)
                return self._ready(studio, machine, probe)
            except MachineError as error:
                self._end()
                state = studio.state()
                comes = not (state.running or state.stopped)
                # A machine that somebody else has asked for is not ours to send away.
                if following is None or (comes and was_running):
                    raise
                self._say(f"{error} Next: {following.name}")
                if comes:
                    studio.stop()
                    state = self._wait.until_stopped(studio)
        raise AssertionError("unreachable")

    def _fresh(
        self, prefix: str, machine: Machine, catalog: Catalog, *, cluster: str | None, interruptible: bool
    ) -> Ready:
        for last in (False, True):
            studio = Studio.create(self._lightning, f"{prefix}-{names.suffix()}", cluster=cluster)
            self._on_studio(studio, False)
            self._say(f"Studio {studio.name} created, starting {machine.name}")
            asked, stopped = time.time(), StudioState(in_use=None, requested=None)
            try:
                studio.start(machine, interruptible=interruptible)
                state = self._until_running(studio, machine, interruptible=interruptible, before=stopped)
                self._begin(state, catalog, asked=asked)
                self._let_sleep(studio)
                probe = self._wait.until_set_up(studio, most=self._seconds_left())
                if probe is not None:
                    return self._ready(studio, machine, probe)
            except MachineError:
                studio.delete()
                raise
            studio.delete()
            self._check_cost()
            self._end()
            if not last:
                self._say(f"Studio {studio.name} is stuck in its set-up; deleted, trying a new one")
        raise StudioError(
            f"Two studios in a row did not finish their set-up within {self._wait.limits.setup:.0f} s. "
            "Both are deleted. This is a fault of the platform: try later or another cloud account."
        )

    def _until_running(
        self, studio: Studio, machine: Machine, *, interruptible: bool, before: StudioState
    ) -> StudioState:
        """Waits for the machine; one that somebody else has asked for is not ours to ask for again."""

        def ask_again() -> None:
            self._say(f"{studio.name} has no machine on its way, though it was asked for. Asking again")
            studio.start(machine, interruptible=interruptible)

        again = ask_again if before.stopped else None
        return self._wait.until_running(studio, machine, before=before, ask_again=again)

    def _let_sleep(self, studio: Studio) -> None:
        try:
            studio.let_sleep()
        except LaunchError as error:
            self._say(f"Can't turn on auto-sleep, the last net, for {studio.name}: {error}")

    def _cluster(self, cloud: str | None) -> str | None:
        return cloud or self._lightning.default_cluster

    def _candidates(self, catalog: Catalog, machines: Sequence[str], state: StudioState) -> list[Machine]:
        """What to run on: as asked; when nothing is asked, what the studio has or is getting."""
        instances = (state.in_use, state.requested) if state.running else state.instances
        has = next((one for one in instances if one and not one.ended and one.phase != "STOPPING"), None)
        if machines or has is None:
            return catalog.candidates(machines)
        try:
            return [catalog.machine(has.machine)]
        except MachineError:
            name = has.machine
            return [Machine(name=name, compute_name=name, aliases=frozenset({name.lower()}), gpus=0)]

    def _set_up(self, studio: Studio, *, waits: bool = True) -> Probe:
        probe = self._wait.until_set_up(studio, at_once=not waits, most=self._seconds_left())
        if probe is None and not waits:
            raise StudioBusyError(f"{studio.name} is set up for somebody else")
        if probe is None:
            self._check_cost()
            raise StudioError(
                f"The studio '{studio.name}' did not finish its set-up within {self._wait.limits.setup:.0f} s. "
                "Open it on Lightning AI; if it is stuck there too, use another studio."
            )
        return probe

    def _switch(
        self, studio: Studio, machine: Machine, *, interruptible: bool, on_switch: Callable[[str, bool], None]
    ) -> StudioState:
        limits = self._wait.limits
        switch = Switch(studio, machine, say=self._say, on_change=on_switch)
        return switch.carry_out(interruptible=interruptible, limit=limits.switch, lost_limit=limits.lost_switch)

    def _begin(self, state: StudioState, catalog: Catalog, *, asked: float) -> None:
        """A machine costs from now on, or from when it came up, in the clock of whoever bills.

        Args:
            state: state of the studio on that machine.
            catalog: what machines cost.
            asked: when it was asked for or taken over, seconds since 1970: before that it was none of ours.
        """
        has, now = state.in_use, time.time()
        since = min(max(has.started or now, asked), now) if has else now
        is_spot = bool(has and has.interruptible)
        price = catalog.price(has.machine, interruptible=is_spot) if has else None
        self._meter = Meter(
            machine=has.machine if has else "", price=price, since=since, before=self._spent, interruptible=is_spot
        )

    def _seconds_left(self) -> float:
        """Those that what is left of the limit pays for."""
        cost = self._meter.cost() if self._meter else None
        if self._max_cost is None or cost is None or self._meter is None or not self._meter.price:
            return math.inf
        return max((self._max_cost - cost) * 3600 / self._meter.price, 0.0)

    def _check_cost(self) -> None:
        if self._seconds_left() <= 0:
            cost = self._meter.cost() if self._meter else None
            raise CostReachedError(
                f"Stopped: before its studio was ready, the run has cost ${cost or 0:.2f}, and `max-cost` allows "
                f"${self._max_cost:g}. Raise it, or take a cheaper machine: a set-up lasts a minute or two."
            )

    def _end(self) -> None:
        """It costs no more, and what it has cost is not forgotten."""
        if self._meter is not None:
            self._spent = self._meter.cost() or self._spent
        self._meter = None

    def _ready(self, studio: Studio, machine: Machine, probe: Probe) -> Ready:
        if probe.gpus < machine.gpus:
            raise MachineError(
                f"Asked for {machine.name} with {machine.gpus} GPU(s), but the studio '{studio.name}' came up with "
                f"{probe.gpus}: the cloud account {studio.cluster} does not have it now. Try later, or another machine."
            )
        assert self._meter is not None  # noqa: S101 - there is a machine
        meter = replace(self._meter, machine=machine.name)
        return Ready(studio=studio, machine=machine, python=probe.python, files=probe.files, meter=meter)


def _with_following(machines: Sequence[Machine]) -> Iterator[tuple[Machine, Machine | None]]:
    """Each machine with the one that comes after it, the last with None."""
    return zip(machines, [*machines[1:], None], strict=True)
