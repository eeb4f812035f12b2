"""A studio made ready: found or created, started or switched, set up, its hardware checked. Every wait has a bound.

How the platform behaves meanwhile is in docs/assumptions.md: running is not ready, `python` answers "still setting
things up" for a minute or two, some studios never get past it, a GPU that the cloud doesn't sell comes up as a CPU,
and a switch may be refused and made all the same.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lightning_zenml.launch.errors import LaunchError, MachineError, StudioError, StudioLostError
from lightning_zenml.launch.lightning import ApiError, Lightning
from lightning_zenml.launch.machines import Catalog, Machine
from lightning_zenml.launch.studio import Completed, State, Studio
from lightning_zenml.launch.waiting import Waiting

_SETTING_UP = "setting things up"
_PROBE = """python -c 'import sys; print("python " + sys.executable)' \
&& (nvidia-smi -L 2>/dev/null | grep -c '^GPU' | sed 's/^/gpus /'; cd .lightning_zenml 2>/dev/null \
&& for file in archives/* wheels/*/*; do test -f "$file" && printf 'file %s\\n' "$file"; done; true)"""
"""One command tells all that must be known of a ready studio."""


_STOP_PATIENCE = 300.0
"""Seconds for a machine to stop."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long to wait, seconds.

    Args:
        start: for a machine.
        setup: for `python` to work on a running studio.
        switch: for another machine under a running studio.
        lost_switch: for a switch that the platform refused and may make all the same.
    """

    start: float = 1200
    setup: float = 420
    switch: float = 1200
    lost_switch: float = 90

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Limits:
        """The defaults, or what `LIGHTNING_ZENML_START_TIMEOUT` and `LIGHTNING_ZENML_SETUP_TIMEOUT` say.

        Raises:
            LaunchError: they say no number.
        """
        start = _seconds(environ, "LIGHTNING_ZENML_START_TIMEOUT", cls.start)
        return cls(start=start, switch=start, setup=_seconds(environ, "LIGHTNING_ZENML_SETUP_TIMEOUT", cls.setup))


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A studio that can work.

    Args:
        studio: it.
        machine: what it runs on.
        python: absolute path of the studio's Python.
        files: what it has of archives and wheels, relative to `.lightning_zenml`.
        fresh: made for this launch.
        was_running: ran before this launch.
        since: when its machine came up or was taken over, `time.time()`.
    """

    studio: Studio
    machine: Machine
    python: str
    files: frozenset[str]
    fresh: bool
    was_running: bool
    since: float


class Provisioner:
    """Makes studios ready.

    Args:
        lightning: the teamspace.
        say: told in words what goes on.
        on_studio: called with (studio, fresh, was running) before its machine is asked for: whoever must
            release the studio in any case notes it there.
        limits: how long to wait.
    """

    def __init__(
        self,
        lightning: Lightning,
        *,
        say: Callable[[str], None],
        on_studio: Callable[[Studio, bool, bool], None],
        limits: Limits,
    ) -> None:
        self._lightning = lightning
        self._say = say
        self._on_studio = on_studio
        self._limits = limits

    def fresh(self, prefix: str, machines: Sequence[str], *, cloud: str | None, interruptible: bool) -> Ready:
        """A new studio named `<prefix>-<8 hex>`; one that is stuck in its set-up is replaced once.

        Args:
            prefix: of the name.
            machines: names in order of preference: where one can't be had, the next one's turn has come.
            cloud: cloud account; None: the teamspace's default.
            interruptible: on a spot machine.

        Raises:
            MachineError: unknown machine, no capacity, or another machine than asked for.
            StudioError: no studio can be made ready.
        """
        cluster = self._cluster(cloud)
        candidates = Catalog(self._lightning, cluster).candidates(machines)
        for machine, following in _with_following(candidates):
            try:
                return self._fresh(prefix, machine, cluster=cluster, interruptible=interruptible)
            except MachineError as error:
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
        lease: Callable[[Studio, Completed], None],
        on_switch: Callable[[], None],
    ) -> Ready:
        """The studio of that name, created when there is none, started when stopped, switched when it must be.

        Args:
            name: of the studio.
            machines: names in order of preference, see `fresh`; empty: what a running studio has, else a CPU.
            cloud: cloud account of a studio that must be created.
            interruptible: on a spot machine.
            lease: takes the lease, given the studio and its probe; called before its machine is switched.
            on_switch: called when the lease is about to end with the machine that it was taken on.

        Raises:
            MachineError: unknown machine, no capacity, or another machine than asked for.
            StudioError: the studio can't be made ready.
        """
        studio = Studio.find(self._lightning, name)
        fresh = studio is None
        catalog = Catalog(self._lightning, studio.cluster if studio else self._cluster(cloud))
        if studio is None:
            candidates = catalog.candidates(machines)
            studio = Studio.create(self._lightning, name, cluster=self._cluster(cloud))
            state = State(in_use=None, requested=None)
        else:
            state = studio.state()
            candidates = self._candidates(catalog, machines, state)
            if state.stopping:
                state = self._wait_stopped(studio)
        was_running = not state.stopped
        self._on_studio(studio, fresh, was_running)
        for machine, following in _with_following(candidates):
            try:
                if state.stopped:
                    self._say(f"Starting {studio.name} on {machine.name}")
                    if not studio.start(machine, interruptible=interruptible):
                        # Another client was faster: nothing of it is ours before the lease is.
                        was_running = True
                        self._on_studio(studio, fresh, was_running)
                state = self._wait_running(studio, machine, before=state)
                since = time.time()
                probe = self._wait_set_up_of_named(studio)
                lease(studio, probe)
                comes_second = was_running or machine is not candidates[0]
                if comes_second and state.in_use and not machine.is_reported_as(state.in_use.machine):
                    on_switch()
                    self._switch(studio, machine, interruptible=interruptible)
                    probe = self._wait_set_up_of_named(studio)
                    lease(studio, probe)
                return self._ready(studio, machine, probe, fresh=fresh, was_running=was_running, since=since)
            except MachineError as error:
                state = studio.state()
                comes = not (state.running or state.stopped)
                # A machine that somebody else has asked for is not ours to send away.
                if following is None or (comes and was_running):
                    raise
                self._say(f"{error} Next: {following.name}")
                if comes:
                    studio.stop()
                    state = self._wait_stopped(studio)
        raise AssertionError("unreachable")

    def _fresh(self, prefix: str, machine: Machine, *, cluster: str | None, interruptible: bool) -> Ready:
        for last in (False, True):
            studio = Studio.create(self._lightning, f"{prefix}-{secrets.token_hex(4)}", cluster=cluster)
            self._on_studio(studio, True, False)
            self._say(f"Studio {studio.name} created, starting {machine.name}")
            studio.start(machine, interruptible=interruptible)
            try:
                self._wait_running(studio, machine, before=State(in_use=None, requested=None))
                since = time.time()
                probe = self._wait_set_up(studio)
                if probe is not None:
                    return self._ready(studio, machine, probe, fresh=True, was_running=False, since=since)
            except MachineError:
                studio.delete()
                raise
            studio.delete()
            if not last:
                self._say(f"Studio {studio.name} is stuck in its set-up; deleted, trying a new one")
        raise StudioError(
            f"Two studios in a row did not finish their set-up within {self._limits.setup:.0f} s. "
            "Both are deleted. This is a fault of the platform: try later or another cloud account."
        )

    def _cluster(self, cloud: str | None) -> str | None:
        return cloud or self._lightning.default_cluster

    def _candidates(self, catalog: Catalog, machines: Sequence[str], state: State) -> list[Machine]:
        """What to run on: as asked; when nothing is asked, what a running studio has."""
        if machines or not (state.running and state.in_use):
            return catalog.candidates(machines)
        try:
            return [catalog.machine(state.in_use.machine)]
        except MachineError:
            name = state.in_use.machine
            return [Machine(name=name, compute_name=name, aliases=frozenset({name.lower()}), gpus=0)]

    def _wait_stopped(self, studio: Studio) -> State:
        """Waits for the end of a machine that is on its way out, so that the studio can be started again."""
        deadline = time.monotonic() + _STOP_PATIENCE
        while not (state := studio.state()).stopped and not state.running:
            if time.monotonic() > deadline:
                raise StudioError(f"The studio '{studio.name}' does not get stopped. Look at it on Lightning AI.")
            time.sleep(1)
        return state

    def _wait_running(self, studio: Studio, machine: Machine, before: State) -> State:
        """Waits for a machine; an end counts only for one that was not there `before` it was asked for."""
        old = {instance.id for instance in before.instances if instance.ended}
        deadline, pause = time.monotonic() + self._limits.start, 0.3
        waiting = Waiting(f"a machine ({machine.name}) for {studio.name}", self._say)
        while not (state := studio.state()).running:
            waiting.go_on()
            ended = next((one for one in state.instances if one.ended and one.id not in old), None)
            if ended and state.stopped:
                reason = ended.message or ended.phase.lower()
                fault = MachineError if ended.phase == "FAILED" else StudioLostError
                raise fault(f"The studio '{studio.name}' did not come up on {machine.name}: {reason}.")
            if time.monotonic() > deadline:
                raise MachineError(
                    f"No {machine.name} for the studio '{studio.name}' within {self._limits.start:.0f} s; "
                    "there may be no capacity. Try later, or name several machines in order of preference."
                )
            time.sleep(pause)
            pause = min(pause * 1.3, 5)
        waiting.end()
        return state

    def _switch(self, studio: Studio, machine: Machine, *, interruptible: bool) -> None:
        self._say(f"Switching {studio.name} to {machine.name}")
        refused = self._unless_refused(lambda: studio.request_switch(machine, interruptible=interruptible))
        limit = self._limits.lost_switch if refused else self._limits.switch
        deadline, pause, confirmed = time.monotonic() + limit, 0.3, False
        waiting = Waiting(f"the switch of {studio.name} to {machine.name}", self._say)
        while True:
            waiting.go_on()
            state = studio.state()
            if state.running and state.in_use and machine.is_reported_as(state.in_use.machine):
                return waiting.end()
            if state.requested and state.requested.restored and not confirmed:
                refused = self._unless_refused(studio.confirm_switch)
                confirmed = True
                if refused:
                    deadline = time.monotonic() + self._limits.lost_switch
            if state.stopped:
                raise StudioLostError(f"The studio '{studio.name}' lost its machine during the switch.")
            if time.monotonic() > deadline:
                reason = refused or "it took too long, there may be no capacity"
                raise MachineError(f"Can't switch the studio '{studio.name}' to {machine.name}: {reason}")
            time.sleep(pause)
            pause = min(pause * 1.3, 5)

    @staticmethod
    def _unless_refused(request: Callable[[], None]) -> ApiError | None:
        """Sends a request for a switch; a 400 is kept for later: the platform was seen to switch all the same."""
        try:
            request()
        except ApiError as error:
            if error.status != 400:
                raise
            return error
        return None

    def _wait_set_up_of_named(self, studio: Studio) -> Completed:
        probe = self._wait_set_up(studio)
        if probe is None:
            raise StudioError(
                f"The studio '{studio.name}' did not finish its set-up within {self._limits.setup:.0f} s. "
                "Open it on Lightning AI; if it is stuck there too, use another studio."
            )
        return probe

    def _wait_set_up(self, studio: Studio) -> Completed | None:
        """The probe of a studio whose Python works; None when it does not within the limit."""
        deadline, pause = time.monotonic() + self._limits.setup, 0.3
        waiting = Waiting(f"the set-up of {studio.name}", self._say)
        while True:
            waiting.go_on()
            probe = studio.run(_PROBE)
            if probe.exit_code == 0 and _SETTING_UP not in probe.output:
                waiting.end()
                return probe
            if time.monotonic() > deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 1.3, 5)

    def _ready(
        self,
        studio: Studio,
        machine: Machine,
        probe: Completed,
        *,
        fresh: bool,
        was_running: bool,
        since: float,
    ) -> Ready:
        gpus = sum(int(value) for value in facts(probe, "gpus"))
        if gpus < machine.gpus:
            raise MachineError(
                f"Asked for {machine.name} with {machine.gpus} GPU(s), but the studio '{studio.name}' came up with "
                f"{gpus}: the cloud account {studio.cluster} does not have it now. Try later, or another machine."
            )
        return Ready(
            studio=studio,
            machine=machine,
            python=facts(probe, "python")[0],
            files=frozenset(facts(probe, "file")),
            fresh=fresh,
            was_running=was_running,
            since=since,
        )


def _with_following(machines: Sequence[Machine]) -> Iterator[tuple[Machine, Machine | None]]:
    """Each machine with the one that comes after it, the last with None."""
    return zip(machines, [*machines[1:], None], strict=True)


def _seconds(environ: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(environ.get(name) or otherwise)
    except ValueError:
        raise LaunchError(f"{name} is '{environ[name]}': a number of seconds is wanted, like 600.") from None


def facts(probe: Completed, kind: str) -> list[str]:
    """What a probe tells of a kind: `python` (its path), `gpus` (their number), `file` (archives and wheels)."""
    return [line.removeprefix(f"{kind} ") for line in probe.output.splitlines() if line.startswith(f"{kind} ")]
