"""A launch under way: follow it, stop it, leave it, release its studio."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import wait
from functools import partial

from lightning_zenml.deadline import begin
from lightning_zenml.launch.agreement import Agreement
from lightning_zenml.launch.errors import (
    CredentialsError,
    JobsLeftError,
    LaunchError,
    StudioAwayError,
    StudioError,
    StudioLostError,
    UnfollowableError,
)
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import FOLLOWED_WITHIN, STOP_GRACE, Meter, News, Release
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.launch.spec import Phase, Status, Update
from lightning_zenml.launch.studio.hold import Hold, give_back
from lightning_zenml.launch.studio.remote import Remote

_WAIT = 18.5
"""Seconds that a read waits on the studio for something new: one call, which may take 30, or one and five looks."""
_POLL = (1.2, 3.5)
"""Seconds between two reads: after one that told something, as more follows soon, and after one that failed."""
_PACE = 0.7
"""Seconds from one read to the next at least, where a read is a single call."""
_TICK = 2.0
"""Seconds between two updates at most: what a run has cost is looked at without a call."""
_STOP_POLL = 0.7
"""Seconds between two polls while a command is being stopped."""
_DEAD_AFTER = 60.0
"""Seconds without a supervisor and without a final record after which the launch is given up."""
_PATIENCE = 5 * FOLLOWED_WITHIN
"""Seconds for which the platform may fail while a launch is followed: the payload needs neither it nor us. It is far
longer than the payload waits for us at its end, so whoever is back by then may find the studio gone, and asks ZenML."""
_PATIENCE_WITH_REFUSALS = 2.5 * FOLLOWED_WITHIN
"""Seconds for which it may refuse the key."""
_DONE = {Release.DELETE: "deleted", Release.STOP: "stopped", Release.NONE: "left running"}
_NOT_RECORDED = Status(phase=Phase.INSTALLING)
"""Status of a launch that has only just begun."""


class Launch:
    """A launch whose payload runs on the studio.

    Args:
        lightning: teamspace of the studio.
        hold: what to release at the end.
        meter: what the studio costs; None where a hold was picked up that does not tell.
    """

    def __init__(self, lightning: Lightning, hold: Hold, meter: Meter | None = None) -> None:
        self._lightning = lightning
        self.hold = hold
        self.id = hold.launch_id
        self.meter = meter
        self._ended: float | None = None
        self._jobs: tuple[JobRecord, ...] = ()
        self._has_finished = False
        self._is_left_warm = False
        self._studio = Studio(lightning, id=hold.studio_id, name=hold.studio_name, cluster=hold.cluster)
        self._remote = Remote(self._studio, hold.python, hold.wheel, hold.launch_id)

    @property
    def studio_name(self) -> str:
        """Name of the studio."""
        return self._studio.name

    @property
    def studio_url(self) -> str:
        """Where users look at the studio."""
        return self._studio.url

    @property
    def machine(self) -> str:
        """Name of the studio's machine; '' when it isn't known."""
        return self.meter.machine if self.meter else ""

    @property
    def deletes_studio(self) -> bool:
        """Whether the studio is deleted when it is released."""
        return self.hold.release is Release.DELETE

    @property
    def since(self) -> float:
        """When it began to cost, seconds since 1970; now, where that isn't known."""
        return self.meter.since if self.meter else time.time()

    @property
    def cost(self) -> float | None:
        """US dollars that the studio's machine and the jobs have cost so far; None when a price isn't known."""
        if self.meter is None:
            return None
        costs = [self.meter.cost(self._ended), *(job.cost for job in self._jobs)]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def machines(self) -> list[Machine]:
        """The machines of the studio's cloud account.

        Raises:
            LaunchError: if Lightning can't be asked.
        """
        return Catalog(self._lightning, self.hold.cluster).machines()

    @property
    def warmth(self) -> str:
        """How long the studio's machine is kept for the next launch, and at what price, in words; '': it isn't."""
        price = self.meter.price if self.meter else None
        cost = "" if price is None else f", at ${price / 60:.4f} a minute"
        return f"{self.hold.keep_warm / 60:g} min for the next run{cost}" if self.hold.is_kept_warm else ""

    @property
    def release_notice(self) -> str:
        """What became of the studio, in words."""
        done = f"kept up {self.warmth}" if self._is_left_warm else _DONE[self.hold.release]
        cost = "" if self.cost is None else f", cost ${self.cost:.4f}"
        return f"Studio {self.studio_name} {done}{cost}"

    def follow(self) -> Iterator[Update]:
        """Yields what is new, and every other second that nothing is; the last update's phase is FINISHED.

        Raises:
            StudioLostError: if the studio stopped, slept, was preempted or deleted meanwhile.
            UnfollowableError: if the key is refused for five minutes, or the platform fails for ten: the run goes on.
        """
        log_offset = runs_offset = 0
        is_quiet, last_alive = False, time.monotonic()
        unheard_since: float | None = None
        current = _NOT_RECORDED
        while True:
            began = time.monotonic()
            try:
                reading = begin(partial(self._read, log_offset, runs_offset, wait=_WAIT, is_quiet=is_quiet))
                while not wait([reading], _TICK).done:
                    yield Update(status=current, jobs=self._jobs)
                news, status = reading.result()
            except StudioLostError:
                raise
            except LaunchError as error:
                told = "" if unheard_since else f"The run goes on, but can't be followed for now: {error}\n"
                last_alive = time.monotonic()
                unheard_since = unheard_since or last_alive
                if last_alive - unheard_since > _patience(error):
                    raise self._unfollowable(error) from error
                current = Status(phase=Phase.RUNNING)
                yield Update(status=current, log=told, jobs=self._jobs)
                time.sleep(_POLL[1])
                continue
            unheard_since = None
            if news.alive or status.phase is Phase.FINISHED:
                last_alive = time.monotonic()
            elif time.monotonic() - last_alive > _DEAD_AFTER:
                raise StudioLostError(f"The launch's program on the studio '{self.studio_name}' died without a record.")
            # A finished status is told once its whole log has been.
            current = Status(phase=Phase.RUNNING) if news.more and status.phase is Phase.FINISHED else status
            yield Update(status=current, log=news.log, runs=news.runs, jobs=self._jobs)
            if current.phase is Phase.FINISHED:
                return
            is_quiet = news.alive and news.log_offset == log_offset and not news.runs
            log_offset, runs_offset = news.log_offset, news.runs_offset
            if news.more:
                continue
            if self._remote.reads_at_once:
                time.sleep(max(0.0, began + _PACE - time.monotonic()))
            elif not is_quiet:
                time.sleep(_POLL[0])

    def log(self) -> Iterator[str]:
        """Yields the log as far as it has come, in pieces; of a launch that has finished, the end of it.

        Raises:
            StudioLostError: if the studio is gone or stopped.
            LaunchError: if it can't be told for now.
        """
        offset, goes_on = 0, True
        while goes_on:
            news, _ = self._read(offset)
            yield news.log
            offset, goes_on = news.log_offset, news.more

    def status(self) -> Status:
        """The payload's record as it stands, without following.

        Raises:
            StudioLostError: if the studio is gone or stopped.
            LaunchError: if it can't be told for now.
        """
        dead = Agreement()
        while True:
            try:
                glance = self._remote.peek()
            except StudioAwayError:
                if why := self._studio.why_lost():
                    raise StudioLostError(why) from None
                raise
            status = glance.status or _NOT_RECORDED
            if glance.alive or status.phase is Phase.FINISHED:
                return status
            # Just starting or just ending, the record comes a moment later.
            if dead.settles(True):
                raise StudioLostError(f"The launch's program on the studio '{self.studio_name}' died without a record.")
            time.sleep(dead.pause)

    def is_under_way(self) -> bool:
        """Whether the payload runs: it releases the studio itself when it is done, if nobody follows.

        Raises:
            LaunchError: if it can't be told for now.
        """
        mute = Agreement()
        while self.hold.python:
            try:
                return self.status().phase is not Phase.FINISHED
            except StudioLostError:
                return False
            except StudioAwayError:
                raise
            except StudioError:
                # As a studio answers on which no payload is, or one that had no answer this time.
                if mute.settles(True):
                    return False
                time.sleep(mute.pause)
        return False

    def leave(self) -> None:
        """Nobody follows any more: the payload releases the studio itself as soon as it is done."""
        # Taken at our word at once, the payload may be gone with the studio before it has answered.
        with contextlib.suppress(StudioAwayError):
            self._remote.leave()

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ends the command: SIGTERM, SIGKILL after `grace` seconds; waits for the record, then releases.

        Args:
            grace: seconds that the command has for an orderly end.
        """
        try:
            self.end(grace=grace)
        finally:
            self.release()

    def end(self, *, grace: float) -> None:
        """Ends the command as `stop` does, and releases nothing.

        Args:
            grace: seconds that the command has for an orderly end.
        """
        # A studio that is gone or stopped, or never came so far, has no command to end.
        with contextlib.suppress(StudioError):
            self._end_command(grace)

    def _end_command(self, grace: float) -> None:
        # What was uploaded holds keys, and may not be unpacked yet: then there is no program that could remove it.
        bundle = shlex.quote(f"{layout.HOME}/{layout.launch(self.id, layout.BUNDLE)}")
        discard = f'(cd "$HOME" && rm -rf {bundle} {bundle}{layout.UNPACKING})'
        if self.hold.python and self._remote.stop(grace, before=discard).stopping:
            deadline = time.monotonic() + grace + 10
            while time.monotonic() < deadline:
                if self._read()[1].phase is Phase.FINISHED:
                    break
                time.sleep(_STOP_POLL)

    def _unfollowable(self, error: LaunchError) -> UnfollowableError:
        fate = {
            Release.NONE: "leaves the studio running",
            Release.STOP: "stops the studio",
            Release.DELETE: "deletes the studio",
        }[self.hold.release]
        return UnfollowableError(
            f"The launch {self.id} can't be followed any more: {error} Its run is left to itself; it {fate} at its "
            f"end. Look at {self.studio_url} and at the run in ZenML."
        )

    def _read(
        self, log_offset: int = 0, runs_offset: int = 0, *, wait: float = 0.0, is_quiet: bool = False
    ) -> tuple[News, Status]:
        try:
            news = self._remote.read(log_offset=log_offset, runs_offset=runs_offset, wait=wait, is_quiet=is_quiet)
        except StudioAwayError:
            if why := self._studio.why_lost():
                raise StudioLostError(why) from None
            raise
        status = news.status or _NOT_RECORDED
        self._has_finished = status.phase is Phase.FINISHED
        self._jobs = news.jobs
        return news, status

    def release(self) -> None:
        """Ends the launch's jobs, gives back lease and studio. Harmless when done before.

        Raises:
            JobsLeftError: if Lightning refuses to end the jobs.
            LaunchError: if it refuses more, or there is no payload that could go on; each thing has had its turn then.
        """
        failure: LaunchError | None = None
        try:
            if self.hold.python and self._may_have_jobs():
                Job.end_all(self._lightning, self.id)
        except LaunchError as error:
            if self._leave_to_payload():
                raise JobsLeftError(
                    f"The run's Lightning jobs can't be ended: {error} Until they are, the studio "
                    f"'{self.studio_name}' stays on and tries again, for half an hour at most; look at its jobs."
                ) from error
            failure = error
        self._release_studio()
        if failure is not None:
            raise failure

    def _leave_to_payload(self) -> bool:
        """Whether a payload is there that releases all: it tries far longer than we can, and outlasts us."""
        try:
            return self._remote.leave(timeout=20).releases
        except LaunchError:
            return False

    def _may_have_jobs(self) -> bool:
        """Only the last word of the payload tells that there will be none."""
        return not self._has_finished or any(job.ended is None for job in self._jobs)

    def _release_studio(self) -> None:
        self._is_left_warm = self.hold.is_kept_warm and self._leave_to_payload()
        if not self._is_left_warm:
            give_back(self._lightning, self._studio, self.hold)
        # It is looked at for some time after that.
        self._ended = self._ended or self._studio.ended or time.time()


def _patience(error: LaunchError) -> float:
    return _PATIENCE_WITH_REFUSALS if isinstance(error, CredentialsError) else _PATIENCE
