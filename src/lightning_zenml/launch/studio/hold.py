"""What a launch holds of its studio, and how that is given back: the switch first, then the lease, then the machine."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from lightning_zenml.launch.errors import LaunchError, StudioAwayError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lease import Lease, in_force
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.payload.records import Record
from lightning_zenml.launch.spec import KeepStudio, LaunchSpec
from lightning_zenml.launch.studio.remote import Remote
from lightning_zenml.launch.studio.switch import take_back
from lightning_zenml.launch.studio.waits import facts

_LEASE = f"""echo "lease $(cat {layout.HOME}/{layout.LEASE})"
echo "machine $(cat /proc/sys/kernel/random/boot_id)/$(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20)"
echo "now $(date +%s)\""""
"""Bash that tells of a studio's lease before its Python is known; see `lightning_zenml.launch.payload.lease`."""


_LEASE_PATIENCE = 60.0
"""Seconds in which a studio must tell of its lease."""
_LEASE_PAUSE = 2.0
"""Seconds between two questions for it."""


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
        keep_warm: seconds for which the machine is kept for the next launch before it is stopped.
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
    keep_warm: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to release or to stop."""
        return self.release is Release.NONE and not (self.leased or self.python or self.switching)

    @property
    def is_kept_warm(self) -> bool:
        """Whether the studio's machine is kept for the next launch, which the payload sees to."""
        return self.keep_warm > 0 and self.leased and self.release is Release.STOP

    def released(self) -> Hold:
        """The same once everything is released."""
        return replace(self, release=Release.NONE, leased=False, python="", switching="")


def release_of(spec: LaunchSpec, *, was_running: bool) -> Release:
    """What becomes of a launch's studio: fresh studios are deleted, named ones put back as they were found.

    Args:
        spec: what is launched.
        was_running: whether the studio ran before.
    """
    if spec.keep_studio is not KeepStudio.AUTO:
        return Release.NONE if spec.keep_studio is KeepStudio.KEEP else Release(spec.keep_studio)
    if spec.studio_name is None:
        return Release.DELETE
    return Release.NONE if was_running else Release.STOP


def give_back(lightning: Lightning, studio: Studio, hold: Hold) -> None:
    """Gives back what is held of a studio. Harmless when done before, or when another launch has the studio by now.

    Args:
        lightning: teamspace of the studio.
        studio: studio that is held.
        hold: what is held of it.

    Raises:
        LaunchError: if Lightning refuses.
        StudioError: if a named studio does not tell whether it is still ours: then it is not ended.
    """
    remote = Remote(studio, hold.python, hold.wheel, hold.launch_id)
    if hold.switching and hold.release is Release.NONE:
        # Before the lease is given back, which is all else: the next launch must not meet our switch.
        _take_back_switch(lightning, studio, remote, hold)
    release = _give_lease_back(studio, remote, hold) if hold.leased else _unless_of_another(studio, hold)
    if release is Release.DELETE:
        studio.delete()
    elif release is Release.STOP:
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


def _give_lease_back(studio: Studio, remote: Remote, hold: Hold) -> Release:
    """What is to become of the studio: nothing where it has been started again, for somebody else."""

    def ask() -> Release:
        unleased = remote.unlease(closing=hold.release is not Release.NONE)
        if not unleased.released:
            return Release.NONE
        return Release.STOP if unleased.put_back and hold.release is Release.NONE else hold.release

    return _told(studio, hold, ask)


def _unless_of_another(studio: Studio, hold: Hold) -> Release:
    """What is to become of a studio that another launch may have taken: tried late, our release must not end that."""
    if not hold.named or hold.release is Release.NONE:
        return hold.release

    def ask() -> Release:
        answer = studio.run(_LEASE, timeout=20)
        try:
            written, now, machine = (facts(answer, kind)[-1].strip() for kind in ("lease", "now", "machine"))
            holder = _lease_in(written)
            is_held = holder is not None and in_force(holder, now=float(now), machine=machine)
        except (ValueError, IndexError) as error:
            raise StudioError(f"The studio '{studio.name}' answers oddly: {error}") from None
        if holder is None or not is_held or holder.launch == hold.launch_id:
            return hold.release
        if hold.release is Release.STOP and not holder.put_back:
            _leave_to_put_back(studio, written, holder)
        return Release.NONE

    return _told(studio, hold, ask)


def _lease_in(written: str) -> Lease | None:
    """The lease in the text of its file; None where there is no such file, or it holds none: then it is nobody's."""
    try:
        return Lease.from_json(json.loads(written))
    except ValueError:
        return None


def _leave_to_put_back(studio: Studio, written: str, holder: Lease) -> None:
    """Notes in the lease of another launch that it has to stop the studio, unless that lease has just changed."""
    path, lock = f"{layout.HOME}/{layout.LEASE}", f"{layout.HOME}/{layout.LEASE_LOCK}"
    noted = shlex.quote(json.dumps(replace(holder, put_back=True).to_json()))
    change = f'test "$(cat {path})" = {shlex.quote(written)} && echo {noted} > {path}.new && mv {path}.new {path}'
    if studio.run(f'cd "$HOME" && flock {lock} bash -c {shlex.quote(change)}', timeout=20).exit_code != 0:
        raise StudioError(f"The lease of the studio '{studio.name}' is changing.")


def _told(studio: Studio, hold: Hold, ask: Callable[[], Release]) -> Release:
    """What a studio tells of its lease, asked again for a while where it does not: until then it is not ours to end.

    Raises:
        StudioError: when it does not tell.
    """
    deadline = time.monotonic() + _LEASE_PATIENCE
    while True:
        try:
            return ask()
        except LaunchError as error:
            # Not running, it works for nobody; what is to be deleted is still there.
            if isinstance(error, StudioAwayError) and studio.why_lost():
                return hold.release
            if time.monotonic() > deadline:
                raise StudioError(
                    f"Whether another launch has the studio '{studio.name}' by now can't be told, so it is not ended: "
                    f"{error} If the launch {hold.launch_id} runs there, it gives the studio back itself. "
                    f"Look at {studio.url}"
                ) from None
        time.sleep(_LEASE_PAUSE)
