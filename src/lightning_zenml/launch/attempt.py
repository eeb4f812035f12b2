"""One launch in the making: a studio is provisioned and leased, everything uploaded, the payload started."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lightning_zenml.codes import Code
from lightning_zenml.deadline import begin
from lightning_zenml.launch import wheel
from lightning_zenml.launch.errors import (
    LaunchError,
    NotArrivedError,
    StudioAwayError,
    StudioBusyError,
    StudioError,
    StudioLostError,
)
from lightning_zenml.launch.launch import Launch
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lightning.platform import Platform
from lightning_zenml.launch.payload.protocol import Instructions, Leased, Release, StudioFacts
from lightning_zenml.launch.spec import KeepStudio, LaunchSpec
from lightning_zenml.launch.studio import bundle, names
from lightning_zenml.launch.studio.beat import kept_alive
from lightning_zenml.launch.studio.hold import Hold, release_of
from lightning_zenml.launch.studio.line import Line
from lightning_zenml.launch.studio.pool import Pool, environment_digest
from lightning_zenml.launch.studio.progress import reported
from lightning_zenml.launch.studio.provision import Provisioner, Ready
from lightning_zenml.launch.studio.remote import Remote
from lightning_zenml.launch.studio.waits import Limits, Probe
from lightning_zenml.package.packing import Packing

T = TypeVar("T")

_STOP_GRACE = 1.0
"""Seconds that a command has which was started a moment ago."""
_RESTARTS = 5
"""How often in a row a named studio may be stopped under a launch whose turn it could be."""


class Attempt:
    """One launch in the making; knows at each moment what must be released.

    Args:
        lightning: teamspace of the studio.
        spec: what to launch.
        scratch: folder for what is uploaded.
        notify: function that takes in words what goes on.
        on_hold: function that takes what must be released at the end, each time that changes, before it costs.
        on_upload: function that takes the path of what is about to be uploaded.
        limits: how long to wait.
    """

    def __init__(
        self,
        lightning: Lightning,
        spec: LaunchSpec,
        scratch: Path,
        notify: Callable[[str], None],
        on_hold: Callable[[Hold], None],
        on_upload: Callable[[Path], None],
        limits: Limits,
    ) -> None:
        self._lightning = lightning
        self._spec = spec
        self._scratch = scratch
        self._notify = notify
        self._on_hold = on_hold
        self._on_upload = on_upload
        self._limits = limits
        self._deadline = time.monotonic() + (math.inf if spec.timeout is None else spec.timeout)
        self._suffix = names.suffix()
        self._wheel = wheel.repack(scratch)
        digest = hashlib.sha256(self._wheel.read_bytes()).hexdigest()[:16]
        self._wheel_target = layout.wheel(digest, self._wheel.name)
        self._hold: Hold | None = None
        self._policy = Release.NONE
        self._started = self._stood_in_line = False
        self._late_packages: Future[Sequence[str]] | None = None
        self._sent = 0
        self._packing = Packing(spec.archive, scratch)

    def carry_out(self) -> Launch:
        """Provisions, leases, uploads and starts.

        Raises:
            LaunchError: if it can't; `release` is still to be called.
            PackageError: if files have changed since the archive was made; `release` is still to be called.
        """
        beat = kept_alive(self._lightning, lambda: self._hold, self._limits.beat)
        with closing(self._packing), self._lightning.until(self._deadline), beat:
            return self._carry_out()

    def _carry_out(self) -> Launch:
        ready = self._provision()
        self._take(replace(self._held, python=ready.python, wheel=self._wheel_target))
        self._arriving(lambda: self._upload(ready), lambda unpack: self._start(ready, unpack))
        return Launch(self._lightning, self._held, ready.meter)

    def release(self) -> None:
        """Releases what is held, if anything is, and sees to it that a start under way comes to nothing."""
        if self._hold is not None and not self._hold.is_over:
            self._notify(f"Releasing {self._hold.studio_name}")
            launch = Launch(self._lightning, self._hold)
            if self._hold.release is Release.DELETE and not self._hold.leased:
                # With the studio goes all that was started in it.
                launch.release()
            else:
                launch.stop(grace=_STOP_GRACE)
            self._take(self._hold.released())

    def _provision(self) -> Ready:
        spec = self._spec
        provisioner = Provisioner(
            self._lightning,
            say=self._notify,
            on_studio=self._on_studio,
            limits=self._limits,
            max_cost=spec.max_cost,
        )
        if spec.studio_name is None:
            return provisioner.fresh(
                names.prefixed(spec.name), spec.machines, cloud=spec.cloud, interruptible=spec.interruptible
            )

        def take(name: str) -> Ready:
            try:
                return provisioner.named(
                    name,
                    spec.machines,
                    cloud=spec.cloud,
                    interruptible=spec.interruptible,
                    lease=self._lease,
                    on_switch=self._on_switch,
                    waits=not spec.studio_pool,
                )
            except StudioError:
                if spec.studio_pool:
                    # Another studio's turn has come, with nothing of this one held.
                    self.release()
                raise

        restarts = 0
        while True:
            self._stood_in_line = False
            try:
                if spec.studio_pool is None:
                    return take(spec.studio_name)
                pool = names.of_pool(spec.studio_name, spec.studio_pool)
                line = Line(f"a studio of the pool {spec.studio_name}", self._notify, self._deadline)
                return Pool(self._lightning, spec, pool).take(take, line)
            except (StudioAwayError, StudioLostError):
                # The launch before us put the studio back as it had found it: stopped. Each of many may do so.
                restarts = 0 if self._stood_in_line else restarts + 1
                if restarts == _RESTARTS:
                    raise

    def _on_studio(self, studio: Studio, was_running: bool) -> None:
        self._policy = release_of(self._spec, was_running=was_running)
        self._started = not was_running
        if self._hold is not None and self._hold.studio_id != studio.id:
            # A fresh one that was stuck has been deleted, one of a pool is another launch's: this one takes its place.
            self._take(self._hold.released())
        self._take(
            Hold(
                launch_id=names.launch_id(studio.name, self._suffix),
                studio_id=studio.id,
                studio_name=studio.name,
                cluster=studio.cluster,
                named=self._spec.studio_name is not None,
                # Another launch may have a running studio: nothing of it is ours before the lease is.
                release=Release.NONE if was_running else self._policy,
                keep_warm=self._spec.keep_warm,
            )
        )
        if self._late_packages is None:
            self._late_packages = begin(self._spec.late_packages)

    def _on_switch(self, machine: str, leased: bool) -> None:
        self._take(replace(self._held, switching=machine, leased=leased))

    @property
    def _held(self) -> Hold:
        assert self._hold is not None  # noqa: S101 - provisioning takes the hold first
        return self._hold

    def _take(self, hold: Hold) -> None:
        self._hold = hold
        self._on_hold(hold)

    def _lease(self, studio: Studio, probe: Probe) -> None:
        """Waits until no other launch has the studio; while one has it, nothing of it is ours to release.

        Raises:
            StudioBusyError: if one has it, and there are others in its pool.
        """
        wanted = self._held
        remote = self._remote(studio, probe.python)
        keep = self._spec.keep_studio is KeepStudio.KEEP

        def take(unpack: str) -> Leased:
            return remote.lease(self._spec.owner, started=self._started, keep=keep, before=unpack)

        has_wheel = self._wheel_target in probe.files
        answer = take("") if has_wheel else self._arriving(lambda: self._upload_wheel(studio), take)
        line = Line(f"the studio {studio.name}", self._notify, self._deadline)
        while not answer.acquired:
            self._stood_in_line = True
            if (theirs := replace(wanted, release=Release.NONE, leased=False)) != self._held:
                self._take(theirs)
            busy = f"{studio.name} is in use by {answer.owner} (launch {answer.launch})"
            if self._spec.studio_pool:
                raise StudioBusyError(busy)
            line.wait(busy)
            # The wheel is unpacked; and what tells so may be cleared away meanwhile.
            answer = take("")
        line.end()
        release = Release.STOP if answer.put_back and self._policy is Release.NONE else self._policy
        self._take(replace(wanted, release=release, leased=True, python=probe.python, wheel=self._wheel_target))

    def _arriving(self, upload: Callable[[], str], use: Callable[[str], T]) -> T:
        """Uploads and uses what was uploaded; what does not arrive, though the answers were good, is sent once more."""
        try:
            return use(upload())
        except NotArrivedError as error:
            self._notify(f"{error} Uploading it again")
            return use(upload())

    def _upload_wheel(self, studio: Studio) -> str:
        """Uploads our wheel alone, before the rest; returns the bash command that unpacks it there."""
        return self._send(studio, layout.WHEEL_BUNDLE, {self._wheel_target: self._wheel})

    def _upload(self, ready: Ready) -> str:
        """Uploads what the studio lacks; returns the bash command that unpacks it there."""
        archive, studio, launch_id = self._spec.archive, ready.studio, self._held.launch_id
        instructions, listing = self._scratch / layout.INSTRUCTIONS, self._scratch / archive.sha256
        instructions.touch(mode=0o600)
        instructions.write_text(json.dumps(self._instructions(ready).to_json()))
        listing.write_text(archive.listing)
        files = {layout.launch(launch_id, layout.INSTRUCTIONS): instructions, layout.archive(archive.sha256): listing}
        if self._wheel_target not in ready.files and not self._held.leased:
            files[self._wheel_target] = self._wheel
        lacking = [part for part in archive.parts if layout.part(part.sha256) not in ready.files]
        if lacking:
            count, size = sum(len(part.files) for part in lacking), sum(part.size for part in lacking)
            self._notify(f"Uploading {count} of {archive.files} files ({size / 1e6:.1f} MB unpacked) to {studio.name}")
        else:
            self._notify(f"Archive {archive.sha256[:12]} is on {studio.name} already")
        files |= self._packed([part.sha256 for part in lacking])
        began = time.monotonic()
        with reported(f"the upload to {studio.name}", self._notify):
            unpack = self._send(studio, layout.BUNDLE, files)
        self._notify(f"Uploaded {self._sent / 1e6:.1f} MB in {time.monotonic() - began:.0f} s")
        return unpack

    def _packed(self, parts: Collection[str]) -> dict[str, Path]:
        """Parts of the archive, packed, by where they belong on the studio."""
        return {f"{layout.part(sha256)}.gz": path for sha256, path in self._packing.packed(parts).items()}

    def _send(self, studio: Studio, name: str, files: Mapping[str, Path]) -> str:
        """Uploads files as the launch's bundle of that name; returns the bash command that unpacks them there."""
        target = layout.launch(self._held.launch_id, name)
        sha256 = bundle.write(files, self._scratch / name)
        self._sent = (self._scratch / name).stat().st_size
        self._on_upload(self._scratch / name)
        studio.upload(self._scratch / name, f"{layout.HOME}/{target}")
        return bundle.unpack_command(layout.HOME, target, sha256)

    def _start(self, ready: Ready, unpack: str) -> None:
        """Starts the payload, which finds out whether all of the archive is there, whatever the studio had told."""
        self._notify("Starting the launch")
        studio, remote = ready.studio, self._remote(ready.studio, ready.python)
        if lacking := remote.start(before=unpack, size=self._sent).lacking:
            self._notify(f"{len(lacking)} parts of the archive are not whole on {studio.name}: uploading them again")
            parts = self._packed(lacking)
            started = self._arriving(
                lambda: self._send(studio, layout.PARTS_BUNDLE, parts),
                lambda unpack: remote.start(before=unpack, size=self._sent),
            )
            if started.lacking:
                raise StudioError(
                    f"The repository does not stay whole on the studio '{studio.name}': what was uploaded twice reads "
                    "differently there. Look at its disk, or use another studio."
                )

    def _instructions(self, ready: Ready) -> Instructions:
        spec, lightning, studio = self._spec, self._lightning, ready.studio
        return Instructions(
            archive=spec.archive.sha256,
            wheel=self._wheel_target,
            packages=(*spec.packages, *self._found_packages()),
            environment_digest=environment_digest(spec),
            requirements=spec.requirements,
            installer=spec.installer,
            commands=spec.commands,
            command=spec.command,
            working_directory=spec.working_directory,
            environment=dict(spec.environment),
            timeout=spec.timeout,
            max_cost=spec.max_cost,
            restarts=spec.restarts,
            on_failure=spec.on_failure,
            watch=spec.watch,
            release=self._held.release,
            leased=self._held.leased,
            keep_warm=spec.keep_warm,
            studio=StudioFacts(
                name=studio.name,
                url=studio.url,
                cloud_url=lightning.url,
                teamspace=f"{lightning.owner}/{lightning.teamspace}",
            ),
            meter=ready.meter,
            stop_idle_gpu=spec.stop_idle_gpu,
            credentials={
                "LIGHTNING_USER_ID": lightning.credentials.user_id or "",
                "LIGHTNING_API_KEY": lightning.credentials.api_key,
            },
            platform=Platform(
                url=f"{lightning.url}/v1/projects/{lightning.teamspace_id}/cloudspaces/{studio.id}",
                authorization=lightning.credentials.authorization,
            ),
        )

    def _found_packages(self) -> Sequence[str]:
        future, patience = self._late_packages, self._limits.packages
        if future is None:
            return ()
        if not wait([future], patience).done:
            raise LaunchError(
                f"What the run's stack needs to be installed was not found out within {patience:.0f} s. "
                "Look whether the ZenML server answers, and run again.",
                code=Code.ZENML_AWAY,
            )
        return future.result()

    def _remote(self, studio: Studio, python: str) -> Remote:
        return Remote(studio, python, self._wheel_target, self._held.launch_id)
