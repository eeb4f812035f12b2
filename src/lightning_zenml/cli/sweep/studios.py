"""Studios that are left: fresh ones that were to be deleted, and named ones that were to be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator

from lightning_zenml.cli.sweep.leftover import Candidate, Kind, Leftover, Verdict
from lightning_zenml.launch.errors import LaunchError, StudioLostError
from lightning_zenml.launch.lightning import creation
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.files import FAILURES, read
from lightning_zenml.launch.lightning.records import StudioAnswer
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import Description, Release
from lightning_zenml.launch.studio.names import is_fresh, studio_name_of
from lightning_zenml.launch.studio.traces import Trace, Traces, traces
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.server import ZenMLServer

YOUNG = 3600.0
"""Seconds for which a studio that no launch has begun on yet may still be made ready for one."""


class Studios:
    """Looks at the studios of a teamspace.

    Args:
        lightning: the teamspace.
        zenml: the server that knows how runs ended.
        schedules: names of the teamspace's pipelines: studios of these names are theirs.
    """

    def __init__(self, lightning: Lightning, zenml: ZenMLServer, schedules: Collection[str]) -> None:
        self._lightning = lightning
        self._zenml = zenml
        self._schedules = schedules

    def look(self) -> Iterator[Candidate]:
        """Yields the studios that launches have made or started.

        Raises:
            LaunchError: if Lightning can't be asked.
            ZenMLServerError: if the ZenML server can't be asked.
        """
        for listed in creation.listed(self._lightning):
            if listed.name not in self._schedules and (found := self._judged(listed)):
                yield found

    def _judged(self, listed: StudioAnswer) -> Candidate | None:
        studio = Studio.of(self._lightning, listed)
        try:
            state = listed.state or studio.state()
        except StudioLostError:
            # It was there a moment ago.
            return None
        if state.running:
            return self._fresh(listed, studio) if is_fresh(listed.name) else self._named(listed, studio)
        if state.stopped and is_fresh(listed.name):
            return self._stopped(listed, studio)
        return None

    def _fresh(self, listed: StudioAnswer, studio: Studio) -> Candidate:
        """A running studio that was made for one launch."""
        try:
            found = traces(studio)
        except LaunchError as error:
            return _told(studio, Verdict.UNSURE, f"it does not tell what runs on it ({error})")
        if why := _use(found):
            return _told(studio, Verdict.IN_USE, why)
        begun = [(trace, trace.description) for trace in found.launches if trace.description]
        if not begun:
            return self._never_begun(listed, studio)
        if running := [trace for trace in found.launches if trace.still_runs]:
            return _told(studio, Verdict.UNSURE, _runs_alone(running[0]))
        last, description = begun[-1]
        if unended := [run for run in self._runs(studio) if not run.is_over]:
            return _told(studio, Verdict.UNSURE, _goes_on(unended[0]))
        return _judgement(studio, description.release, f"its launch {last.launch_id} is over")

    def _named(self, listed: StudioAnswer, studio: Studio) -> Candidate | None:
        """A running studio of any other name: of interest only if a launch has started its machine."""
        if not _has_file(self._lightning, studio, layout.LEASE):
            return None
        try:
            found = traces(studio)
        except LaunchError:
            return None
        if why := _use(found):
            return _told(studio, Verdict.IN_USE, why)
        if found.lease is None or not found.is_of_this_start:
            return None
        if running := [trace for trace in found.launches if trace.still_runs]:
            return _told(studio, Verdict.UNSURE, _runs_alone(running[0]))
        holder = found.lease.launch
        last = next((trace.description for trace in found.launches if trace.launch_id == holder), None)
        if not (found.lease.put_back or (last and last.release is Release.STOP)):
            return None
        why = f"its launch {holder} is over and was to stop it"
        if not listed.stays_awake:
            why += "; Lightning's auto-sleep is on, so somebody may work there"
            return _told(studio, Verdict.UNSURE, why)
        return _judgement(studio, Release.STOP, why)

    def _stopped(self, listed: StudioAnswer, studio: Studio) -> Candidate:
        """A studio without a machine that was made for one launch: it costs its storage."""
        runs = [run for run in self._runs(studio) if studio_name_of(run.launch_id) == studio.name]
        if not runs:
            return self._never_begun(listed, studio)
        if running := [run for run in runs if not run.finished]:
            return _told(studio, Verdict.UNSURE, _goes_on(running[0]))
        releases = [self._release_of(studio, launch_id) for launch_id in {run.launch_id for run in runs}]
        if None in releases:
            return _told(studio, Verdict.UNSURE, "its launch is over, but not what was to become of the studio")
        if set(releases) != {Release.DELETE}:
            return _told(studio, Verdict.IN_USE, "it was to be kept")
        return _judgement(studio, Release.DELETE, f"ZenML says that its run {runs[-1].name} is {runs[-1].status}")

    def _never_begun(self, listed: StudioAnswer, studio: Studio) -> Candidate:
        age = time.time() - listed.created
        if age < YOUNG:
            return _told(studio, Verdict.IN_USE, "it was made within the hour, for a launch perhaps")
        return _told(studio, Verdict.UNSURE, "it is named like ours, but no launch is known to have begun on it")

    def _runs(self, studio: Studio) -> list[Run]:
        """Those of all its launches: their ids begin with its name."""
        return self._zenml.runs_of_launch(studio.name)

    def _release_of(self, studio: Studio, launch_id: str) -> Release | None:
        try:
            path = f"{layout.HOME}/{layout.launch(launch_id, layout.DESCRIPTION)}"
            told = read(self._lightning, path, studio_id=studio.id, cluster=studio.cluster)
            return Description.from_json(json.loads(told)).release
        except FAILURES:
            return None


def _use(found: Traces) -> str:
    """Who works there, in words; '' for nobody."""
    if found.is_leased and found.lease:
        return f"{found.lease.owner or found.lease.launch} has it"
    for trace in found.launches:
        if trace.is_attended:
            return f"the launch {trace.launch_id} goes on"
        if trace.description is None and found.now - trace.touched < YOUNG:
            return f"the launch {trace.launch_id} is being made ready"
    return ""


def _runs_alone(trace: Trace) -> str:
    return f"the launch {trace.launch_id} still runs something, though what looked after it is dead"


def _goes_on(run: Run) -> str:
    return f"ZenML says that its run {run.name} is {run.status}; `lightning-zenml stop {run.id}` ends it"


def _judgement(studio: Studio, release: Release, why: str) -> Candidate:
    if release is Release.NONE:
        return _told(studio, Verdict.IN_USE, f"{why}, and it was to be kept running")
    end = studio.delete if release is Release.DELETE else studio.stop
    leftover = _leftover(studio, Verdict.LEFT, why, release.value)
    return Candidate(leftover=leftover, end=end)


def _told(studio: Studio, verdict: Verdict, why: str) -> Candidate:
    return Candidate(leftover=_leftover(studio, verdict, why, ""))


def _leftover(studio: Studio, verdict: Verdict, why: str, action: str) -> Leftover:
    return Leftover(kind=Kind.STUDIO, name=studio.name, verdict=verdict, why=why, action=action, url=studio.url)


def _has_file(lightning: Lightning, studio: Studio, name: str) -> bool:
    try:
        return bool(read(lightning, f"{layout.HOME}/{name}", studio_id=studio.id, cluster=studio.cluster))
    except FAILURES:
        return False
