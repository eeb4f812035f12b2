"""What a launch holds of its studio, and how that is given back: the switch first, then the lease, then the machine."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace

from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lease import Lease, in_force
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.payload.records import Record
from lightning_zenml.launch.studio.remote import Remote
from lightning_zenml.launch.studio.switch import take_back
from lightning_zenml.launch.studio.waits import facts

_LEASE = f"""echo "lease $(cat {layout.HOME}/{layout.LEASE})"
echo "machine $(cat /proc/sys/kernel/random/boot_id)/$(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20)"
echo "now $(date +%s)\""""
"""Bash that tells of a studio's lease before its Python is known; see `lightning_zenml.launch.payload.lease`."""


@dataclass(frozen=True, kw_only=True)
class Hold(Record):
    """What must be released at the end, in a form that can be kept by a process that comes after.

    Args:
        launch_id: id of the launch.
        studio_id: id of the studio.
        studio_name: name of the studio.
        cluster: cloud account of the studio.
        release: what becomes of the studio.
        named: whether other launches may have the studio, too.
        leased: whether the launch holds the studio's lease.
        python: absolute path of the studio's Python; '' before it is known.
        wheel: path of our wheel below `.lightning_zenml`; '' before it is known.
        switching: name of the machine to which a switch of the studio is under way; '' when none is.
    """

    launch_id: str
    studio_id: str
    studio_name: str
    cluster: str
    release: Release
    named: bool = False
    leased: bool = False
    python: str = ""
    wheel: str = ""
    switching: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to release or to stop."""
        return self.release is Release.NONE and not (self.leased or self.python or self.switching)

    def released(self) -> Hold:
        """The same once everything is released."""
        return replace(self, release=Release.NONE, leased=False, python="", switching="")


def give_back(lightning: Lightning, studio: Studio, hold: Hold) -> None:
    """Gives back what is held of a studio. Harmless when done before, or when another launch has the studio by now.

    Args:
        lightning: teamspace of the studio.
        studio: studio that is held.
        hold: what is held of it.

    Raises:
        LaunchError: if Lightning refuses.
    """
    remote = Remote(studio, hold.python, hold.wheel, hold.launch_id)
    if hold.switching and hold.release is Release.NONE:
        # Before the lease is given back: the next launch must not meet our switch.
        _take_back_switch(lightning, studio, remote, hold)
    is_ours = _give_lease_back(remote, hold) if hold.leased else not _is_leased_to_another(studio, hold)
    if is_ours:
        if hold.release is Release.DELETE:
            studio.delete()
        elif hold.release is Release.STOP:
            studio.stop()


def _take_back_switch(lightning: Lightning, studio: Studio, remote: Remote, hold: Hold) -> None:
    machine = Catalog(lightning, hold.cluster).machine(hold.switching)
    # Without the lease it is another launch's switch by now.
    if not hold.leased or _still_has_lease(remote):
        with contextlib.suppress(StudioLostError):
            take_back(studio, machine)


def _still_has_lease(remote: Remote) -> bool:
    """As far as can be told: a studio between two machines, or with a full disk, does not."""
    with contextlib.suppress(LaunchError):
        return remote.renew().renewed
    return True


def _give_lease_back(remote: Remote, hold: Hold) -> bool:
    """Whether the studio was still ours: after us it may have been started again, for somebody else."""
    try:
        return remote.unlease(closing=hold.release is not Release.NONE).released
    except LaunchError:
        # The lease ends by itself; the studio must be released all the same.
        return True


def _is_leased_to_another(studio: Studio, hold: Hold) -> bool:
    """Whether another launch has taken the studio before we could: tried late, our release must not end that."""
    if not hold.named or hold.release is Release.NONE:
        return False
    try:
        if not studio.state().running:
            return False
        answer = studio.run(_LEASE, timeout=20)
        holder = Lease.from_json(json.loads(facts(answer, "lease")[-1]))
        now, machine = float(facts(answer, "now")[-1]), facts(answer, "machine")[-1]
    except (LaunchError, ValueError, IndexError):
        # There is none, or it can't be told: the studio must be released all the same.
        return False
    return holder.launch != hold.launch_id and in_force(holder, now=now, machine=machine)
