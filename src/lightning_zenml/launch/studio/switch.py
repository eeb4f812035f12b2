"""A running studio moved to another machine; a move that comes to nothing is taken back, whatever ended it.

A switch that nobody waits for any more may come all the same, and is billed beside the machine that the studio has.
How the platform behaves meanwhile is in docs/assumptions.md: a switch may be refused and made all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lightning_zenml.launch.errors import LaunchError, MachineError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.failures import ApiError
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import StudioState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.studio.progress import WaitProgress

_TAKE_BACK_PATIENCE = 20.0
"""Seconds in which a request that was taken back must be seen to be gone."""
_LOOKS = 3
"""So many looks in a row must agree: a request may not be seen at once, and between two machines there may be none."""


class Switch:
    """The move of one studio to one machine.

    Args:
        studio: running studio that is moved.
        machine: kind of machine that it is moved to.
        say: takes a line for the log.
        on_change: called with the name of the machine while it is asked for, else '', and with whether the studio is
            still on the machine that it had, and the lease that was taken there holds.
    """

    def __init__(
        self, studio: Studio, machine: Machine, *, say: Callable[[str], None], on_change: Callable[[str, bool], None]
    ) -> None:
        self._studio = studio
        self._machine = machine
        self._say = say
        self._on_change = on_change

    def carry_out(self, *, interruptible: bool, limit: float, lost_limit: float) -> StudioState:
        """Asks for the machine and waits until the studio runs on it.

        Args:
            interruptible: whether a spot machine will do.
            limit: seconds until the studio must run on the machine.
            lost_limit: the same for a switch that was refused.

        Returns:
            The state of the studio on that machine.

        Raises:
            MachineError: when the machine can't be had within the limit.
            StudioLostError: when the studio has lost the machine that it had.
        """
        self._say(f"Switching {self._studio.name} to {self._machine.name}")
        before = self._studio.state()
        self._on_change(self._machine.name, True)
        try:
            state = self._until_moved(interruptible=interruptible, limit=limit, lost_limit=lost_limit)
        except BaseException:
            self._take_back(before)
            raise
        self._on_change("", False)
        return state

    def _until_moved(self, *, interruptible: bool, limit: float, lost_limit: float) -> StudioState:
        studio, machine = self._studio, self._machine
        refused = self._unless_refused(lambda: studio.request_switch(machine.compute_name, interruptible=interruptible))
        deadline, pause, confirmed = time.monotonic() + (lost_limit if refused else limit), 0.3, False
        looks_lost = 0
        progress = WaitProgress(f"the switch of {studio.name} to {machine.name}", self._say)
        while True:
            progress.go_on()
            state = studio.state()
            if state.running and state.in_use and machine.is_reported_as(state.in_use.machine):
                progress.end()
                return state
            comes = state.requested
            # Somebody else's request may have taken the place of ours.
            if comes and comes.restored and machine.is_reported_as(comes.machine) and not confirmed:
                self._on_change(machine.name, False)
                refused = self._unless_refused(studio.confirm_switch)
                confirmed = True
                if refused:
                    deadline = time.monotonic() + lost_limit
            looks_lost = looks_lost + 1 if state.stopped else 0
            if looks_lost == _LOOKS:
                raise StudioLostError(f"The studio '{studio.name}' lost its machine during the switch.")
            if time.monotonic() > deadline:
                reason = refused or "it took too long, there may be no capacity"
                raise MachineError(f"Can't switch the studio '{studio.name}' to {machine.name}: {reason}")
            time.sleep(pause)
            pause = min(pause * 1.3, 5)

    def _take_back(self, before: StudioState) -> None:
        try:
            state = take_back(self._studio, self._machine)
        except StudioLostError:
            self._on_change("", False)
        except LaunchError as error:
            self._say(str(error))
        else:
            had, has = before.in_use, state.in_use
            self._on_change("", bool(had and has and state.running and has.id == had.id))

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


def take_back(studio: Studio, machine: Machine) -> StudioState:
    """Asks for the machine that the studio has, and looks until the other one is not asked for any more.

    Args:
        studio: studio that was to move.
        machine: kind of machine that it was to move to; what anybody else has asked for stays.

    Returns:
        The state in which the machine is not asked for any more.

    Raises:
        StudioLostError: when the studio is gone.
        StudioError: when the machine may still come.
    """
    try:
        state = _until_not_asked_for(studio, machine)
    except StudioLostError:
        raise
    except LaunchError as error:
        reason = f" ({error})"
    else:
        if state is not None:
            return state
        reason = ""
    raise StudioError(
        f"The switch of the studio '{studio.name}' to {machine.name} can't be taken back{reason}: {machine.name} may "
        f"still come up, and be billed beside the machine that the studio has. Look at {studio.url}"
    )


def _until_not_asked_for(studio: Studio, machine: Machine) -> StudioState | None:
    """Where the studio stands then; None when it does not come to that."""
    deadline, gone, asked = time.monotonic() + _TAKE_BACK_PATIENCE, 0, False
    while time.monotonic() < deadline:
        state = studio.state()
        comes = state.requested
        if comes is None or comes.ended or not machine.is_reported_as(comes.machine):
            gone += 1
            if gone == _LOOKS:
                return state
        else:
            gone = 0
            if state.running and state.in_use and not asked:
                studio.request_switch(state.in_use.machine, interruptible=state.in_use.interruptible)
                asked = True
        time.sleep(0.3)
    return None
