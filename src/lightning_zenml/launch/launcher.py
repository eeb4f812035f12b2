"""LaunchSpec -> Launch, and the ways back to a launch. Whatever fails on the way, the studio is released."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from lightning_zenml.codes import Code
from lightning_zenml.launch.agreement import found
from lightning_zenml.launch.attempt import Attempt
from lightning_zenml.launch.errors import LaunchError, StudioLostError, UnknownLaunchError
from lightning_zenml.launch.launch import Launch
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import Description
from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.launch.studio.names import studio_name_of
from lightning_zenml.launch.studio.remote import last_object
from lightning_zenml.launch.studio.waits import Limits

__all__ = ["Hold", "Launch", "Launcher", "Limits"]


class Launcher:
    """Launches commands on studios of a teamspace.

    Args:
        lightning: teamspace of the studios.
        notify: takes a line for the user's log.
        on_hold: called with what must be released at the end, each time that changes, and before it costs.
        limits: how long to wait for what; None: as the environment says, see `Limits`.
        on_upload: called with the path of what is about to be uploaded, for whoever shows how far that is.
        scratch: folder in which what is uploaded gets one of its own; None: the system's.
    """

    def __init__(
        self,
        lightning: Lightning,
        *,
        notify: Callable[[str], None] = lambda text: None,
        on_hold: Callable[[Hold], None] = lambda hold: None,
        on_upload: Callable[[Path], None] = lambda path: None,
        limits: Limits | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._lightning = lightning
        self._notify = notify
        self._on_hold = on_hold
        self._on_upload = on_upload
        self._scratch = scratch
        self._limits = limits or Limits.from_environ(os.environ)

    def launch(self, spec: LaunchSpec) -> Launch:
        """Makes a studio ready, uploads, and starts the payload detached.

        Args:
            spec: command, repository and studio of the launch.

        Raises:
            LaunchError: when it can't be started; what was begun is released then.
            PackageError: when files have changed since the archive was made; the same holds.
        """
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            attempt = Attempt(
                self._lightning, spec, Path(scratch), self._notify, self._on_hold, self._on_upload, self._limits
            )
            try:
                return attempt.carry_out()
            except BaseException as error:
                try:
                    attempt.release()
                except LaunchError as failure:
                    # What is held stays so, for whoever comes after.
                    self._notify(f"What was started could not be released: {failure}")
                    error.add_note(f"What was started could not be released: {failure}")
                raise

    def resume(self, hold: Hold) -> Launch:
        """A launch as another process left it, to be stopped or released.

        Args:
            hold: what that process held.
        """
        return Launch(self._lightning, hold)

    def attach(self, launch_id: str, *, follow: bool = True) -> Launch:
        """A launch that another client started and left, found by its id alone.

        Args:
            launch_id: id of the launch.
            follow: whether the caller follows it again: then the payload leaves the release of the studio to them.

        Raises:
            StudioLostError: when its studio is gone or stopped: the launch has ended.
            UnknownLaunchError: when the studio knows no such launch (any more).
            LaunchError: when another version has written what must be known of it.
        """
        name = studio_name_of(launch_id)
        studio = found(lambda: Studio.find(self._lightning, name))
        if studio is None or (not studio.state().running and studio.why_lost()):
            raise StudioLostError(f"The launch {launch_id} has ended: its studio '{name}' is gone or stopped.")
        folder = shlex.quote(f"{layout.HOME}/{layout.launch(launch_id)}")
        takes_over = f"touch {layout.FOLLOWER} && rm -f {layout.LEFT} && " if follow else ""
        answer = studio.run(f"cd {folder} && {takes_over}cat {layout.DESCRIPTION}")
        told = last_object(answer.output)
        if answer.exit_code != 0 or told is None:
            raise UnknownLaunchError(f"The studio '{name}' knows no launch {launch_id}.")
        try:
            described = Description.from_json(told)
        except RecordError as error:
            raise LaunchError(
                f"The launch {launch_id} can't be taken over: {error}", code=Code.UNKNOWN_LAUNCH
            ) from None
        hold = Hold(
            launch_id=launch_id,
            studio_id=studio.id,
            studio_name=studio.name,
            cluster=studio.cluster,
            release=described.release,
            leased=described.leased,
            python=described.python,
            wheel=described.wheel,
            keep_warm=described.keep_warm,
        )
        return Launch(self._lightning, hold, described.meter)
