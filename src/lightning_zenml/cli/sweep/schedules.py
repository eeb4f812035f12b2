"""Schedules that are halves: a pipeline on Lightning whose schedule ZenML has deleted, and the reverse."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from lightning_zenml.cli.sweep.leftover import Candidate, Kind, Leftover, Verdict
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.pipeline import LightningPipeline, remove
from lightning_zenml.zenml_api.finding import Schedule, ZenMLFinder

_SNAPSHOT = re.compile(r"--snapshot-id ([0-9a-f-]{36})")
"""In the command of a schedule's job (`orchestrator/schedule/creation.py`)."""


class Schedules:
    """Looks at the pipelines of a teamspace, and at the schedules of an orchestrator.

    Args:
        lightning: the teamspace.
        finder: what the ZenML server knows.
        orchestrator_id: UUID of the orchestrator that schedules in this teamspace; '' where there is none.
    """

    def __init__(self, lightning: Lightning, finder: ZenMLFinder, orchestrator_id: str) -> None:
        self._lightning = lightning
        self._finder = finder
        self._orchestrator_id = orchestrator_id
        self._pipelines = LightningPipeline.all(lightning)

    @property
    def names(self) -> frozenset[str]:
        """Names of the pipelines, which are those of their studios too."""
        return frozenset(pipeline.name for pipeline in self._pipelines)

    def look(self) -> Iterator[Candidate]:
        """Yields what is half there.

        Raises:
            LaunchError: if Lightning can't be asked.
            ZenMLServerError: if the ZenML server can't be asked.
        """
        schedules = self._finder.schedules()
        for pipeline in self._pipelines:
            yield self._judged(pipeline, schedules)
        for schedule in schedules:
            if schedule.is_active and schedule.orchestrator_id == self._orchestrator_id:
                yield from _without_pipeline(schedule, self.names)

    def _judged(self, pipeline: LightningPipeline, schedules: Sequence[Schedule]) -> Candidate:
        schedule = next((one for one in schedules if _is_of(pipeline.name, one)), None)
        if schedule is not None and not schedule.is_archived:
            return _told(pipeline, Verdict.IN_USE, f"it runs the schedule {schedule.name}")
        snapshot = _SNAPSHOT.search(pipeline.command)
        if snapshot is None or not self._finder.has_snapshot(snapshot[1]):
            why = "this ZenML server does not know what it runs: it may be another server's"
            return _told(pipeline, Verdict.UNSURE, why)
        why = "ZenML has deleted its schedule"
        leftover = _leftover(pipeline, Verdict.LEFT, why, "delete")
        return Candidate(leftover=leftover, end=partial(remove, self._lightning, pipeline.name))


def _without_pipeline(schedule: Schedule, names: Collection[str]) -> Iterator[Candidate]:
    if not any(_is_of(name, schedule) for name in names):
        why = (
            "ZenML has it, Lightning has no pipeline of it (any more), so it never runs; "
            f"`zenml pipeline schedule delete {schedule.id}` deletes it"
        )
        yield Candidate(
            leftover=Leftover(kind=Kind.SCHEDULE, name=schedule.name, verdict=Verdict.UNSURE, why=why),
        )


def _is_of(name: str, schedule: Schedule) -> bool:
    """Whether a pipeline has the name of a schedule's (`orchestrator/schedule/lifecycle.py`, `name_of`)."""
    return name.endswith(f"-{schedule.id[:8]}")


def _told(pipeline: LightningPipeline, verdict: Verdict, why: str) -> Candidate:
    return Candidate(leftover=_leftover(pipeline, verdict, why, ""))


def _leftover(pipeline: LightningPipeline, verdict: Verdict, why: str, action: str) -> Leftover:
    return Leftover(kind=Kind.PIPELINE, name=pipeline.name, verdict=verdict, why=why, action=action, url=pipeline.url)
