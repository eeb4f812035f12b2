"""The runs on the base branch that a run's metrics are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lightning_zenml.action.github.client import GitHub, GitHubError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.report import BaseReport
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.action.report.metrics.settings import ReportSettings
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.results import ZenMLResults
from lightning_zenml.zenml_api.server import ZenMLServer

_CANDIDATES = 200
"""How many runs of a branch are looked at before no more are taken for ones to compare with."""
_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a run is compared with.

    Args:
        report: what is told of it.
        logged: what each run logged, the newest first; nothing where there was no run yet.
    """

    report: BaseReport
    logged: tuple[Logged, ...] = ()


class Baseline:
    """Finds what to compare with, once for each run: a base branch that goes on must not move the goal.

    Args:
        zenml: the ZenML server.
        event: what started the workflow run.
        github: the server that knows the pull request of a pushed commit, and what came after one; None: its base is
            the default branch.
        settings: the input `report`, which may name another branch, and how many runs.
    """

    def __init__(self, zenml: ZenMLServer, event: Event, github: GitHub | None, settings: ReportSettings) -> None:
        self._zenml = zenml
        self._results = ZenMLResults(zenml)
        self._event = event
        self._github = github
        self._settings = settings
        self._bases: dict[str, str] = {}
        self._found: dict[str, Base | None] = {}

    def of(self, run: Run) -> Base | None:
        """The base branch's last completed runs of the same pipeline; on that branch itself those before.

        Args:
            run: run to be compared.

        Returns:
            What is told of them; None where there is no base branch.

        Raises:
            ZenMLServerError: if the ZenML server can't be asked.
        """
        if run.id not in self._found:
            self._found[run.id] = self._find(run)
        return self._found[run.id]

    def _find(self, run: Run) -> Base | None:
        # An earlier launch, that is followed, may come from another event.
        noted = run.metadata.get("github")
        github = noted if isinstance(noted, dict) else {}
        sha = str(github.get("sha") or self._event.head_sha)
        branch = self._branch(sha)
        if not branch:
            return None
        earlier = (github.get("ref") or self._event.ref) == f"refs/heads/{branch}"
        wanted, centre = self._settings.baseline.runs, self._settings.baseline.centre
        runs = self._runs(run, branch, earlier=earlier)
        if not runs:
            return Base(report=BaseReport(branch=branch, wanted=wanted))
        newest = runs[0]
        age = (datetime.now(UTC) - newest.end).total_seconds() if newest.end else None
        base_sha = newest.metadata["github"].get("sha")
        commits = self._commits_since(base_sha, sha if earlier else branch)
        report = BaseReport(
            branch=branch,
            run_name=newest.name,
            run_url=newest.url,
            commit_sha=base_sha,
            centre=centre.value if len(runs) > 1 else "",
            runs=len(runs),
            wanted=wanted,
            age=age,
            commits=commits,
            is_stale=(age or 0) > self._settings.stale_days * _DAY or (commits or 0) > self._settings.stale_commits,
        )
        return Base(report=report, logged=tuple(map(self._logged, runs)))

    def _runs(self, run: Run, branch: str, *, earlier: bool) -> list[Run]:
        """As many as are wanted, the newest first: of the same leg of the matrix, as another trains something else."""
        candidates = self._results.completed(
            run, repository=self._event.repository, branch=branch, earlier=earlier, most=_CANDIDATES
        )
        leg = self._leg(run)
        of_leg: list[Run] = []
        of_none: list[Run] = []
        for candidate in self._distinct(candidates, run):
            theirs = self._leg(candidate)
            if theirs == leg:
                of_leg.append(candidate)
            elif not (leg and theirs):
                of_none.append(candidate)
            if len(of_leg) == self._settings.baseline.runs:
                break
        return (of_leg or of_none)[: self._settings.baseline.runs]

    def _distinct(self, candidates: Iterator[Run], run: Run) -> Iterator[Run]:
        """Without those of the launch itself, of which one may have begun before another."""
        return (candidate for candidate in candidates if not run.launch_id or candidate.launch_id != run.launch_id)

    def _leg(self, run: Run) -> str:
        origin = Origin.of_run(run.metadata, self._event.repository)
        return origin.leg if origin else ""

    def _logged(self, run: Run) -> Logged:
        steps = self._zenml.steps(run.id)
        artifacts, models = self._results.artifacts(run), self._results.models(run, steps)
        return Logged.of(run, steps, artifacts, models, self._settings)

    def _commits_since(self, sha: str | None, head: str) -> int | None:
        if self._github is None or not sha:
            return None
        try:
            return self._github.commits_between(self._event.repository, sha, head)
        except GitHubError:
            # The token may not read contents, or the branch was rewritten.
            return None

    def _branch(self, sha: str) -> str:
        """The base branch; a push doesn't name the pull requests that its commit belongs to."""
        event = self._event
        return self._settings.base or event.base_branch or self._base_of_commit(sha) or event.default_branch

    def _base_of_commit(self, sha: str) -> str:
        if self._github is None:
            return ""
        if sha not in self._bases:
            try:
                found = self._github.pull_requests_of_commit(self._event.repository, sha)
            except GitHubError:
                # The comment meets the same error and tells of it.
                return ""
            self._bases[sha] = found[0].base_ref if found else ""
        return self._bases[sha]
