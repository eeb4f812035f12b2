"""Jobs that are left: machines of steps whose run has ended."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from lightning_zenml.cli.sweep.leftover import Candidate, Kind, Leftover, Verdict
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.zenml_api.server import ZenMLServer

_TOKEN = re.compile(r"(?P<launch>.+)-(?P<run>[0-9a-f]{8})-(?:[0-9a-f]{8}-\d{2}(?:-\d+)?|snapshot)")
"""The token of a step's job, or of the one that takes a snapshot (`orchestrator/steps/job_starter.py`)."""


class Jobs:
    """Looks at the jobs of a teamspace that have not ended.

    Args:
        lightning: the teamspace.
        zenml: the server that knows how runs ended.
        schedules: names of the teamspace's pipelines, which are the tokens of their jobs.
    """

    def __init__(self, lightning: Lightning, zenml: ZenMLServer, schedules: Collection[str]) -> None:
        self._lightning = lightning
        self._zenml = zenml
        self._schedules = schedules

    def look(self) -> Iterator[Candidate]:
        """Yields the jobs that launches have started.

        Raises:
            LaunchError: if Lightning can't be asked.
            ZenMLServerError: if the ZenML server can't be asked.
        """
        yield from map(self._judged, Job.all_unended(self._lightning))

    def _judged(self, job: Job) -> Candidate:
        if job.token in self._schedules:
            return _told(job, Verdict.IN_USE, "a schedule runs in it")
        token = _TOKEN.fullmatch(job.token)
        if token is None:
            return _told(job, Verdict.UNSURE, "whose run it is can't be told by its command")
        runs = [run for run in self._zenml.runs_of_launch(token["launch"]) if run.id.startswith(token["run"])]
        if not runs:
            return _told(job, Verdict.UNSURE, f"this ZenML server knows no run {token['run']} of {token['launch']}")
        if running := [run for run in runs if not run.finished]:
            return _told(job, Verdict.IN_USE, f"the run {running[0].name} is {running[0].status}")
        why = f"ZenML says that its run {runs[-1].name} is {runs[-1].status}"
        return Candidate(leftover=_leftover(job, Verdict.LEFT, why, "delete"), end=job.delete)


def _told(job: Job, verdict: Verdict, why: str) -> Candidate:
    return Candidate(leftover=_leftover(job, verdict, why, ""))


def _leftover(job: Job, verdict: Verdict, why: str, action: str) -> Leftover:
    return Leftover(kind=Kind.JOB, name=job.name, verdict=verdict, why=why, action=action, url=job.url)
