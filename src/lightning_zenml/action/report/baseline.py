"""The run on the base branch that a run's metrics are compared with."""

from __future__ import annotations

from lightning_zenml.action.github.client import GitHub, GitHubError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.report import BaseReport
from lightning_zenml.action.report.metrics import Metric, ReportSettings, collect
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.results import ZenMLResults
from lightning_zenml.zenml_api.server import ZenMLServer


class Baseline:
    """Finds what to compare with, once for each run: a base branch that goes on must not move the goal.

    Args:
        zenml: the ZenML server.
        event: what started the workflow run.
        github: the server that knows the pull request of a pushed commit; None: its base is the default branch.
        settings: the input `report`, which may name another branch.
    """

    def __init__(self, zenml: ZenMLServer, event: Event, github: GitHub | None, settings: ReportSettings) -> None:
        self._zenml = zenml
        self._results = ZenMLResults(zenml)
        self._event = event
        self._github = github
        self._settings = settings
        self._found: dict[str, tuple[BaseReport, tuple[Metric, ...] | None] | None] = {}

    def of(self, run: Run) -> tuple[BaseReport, tuple[Metric, ...] | None] | None:
        """The base branch's last completed run of the same pipeline; on that branch itself the one before.

        Args:
            run: run to be compared.

        Returns:
            What is told of it and its metrics, None where there was no such run yet; or None where there is no base
            branch.

        Raises:
            ZenMLServerError: if the ZenML server can't be asked.
        """
        if run.id not in self._found:
            self._found[run.id] = self._find(run)
        return self._found[run.id]

    def _find(self, run: Run) -> tuple[BaseReport, tuple[Metric, ...] | None] | None:
        # An earlier launch, that is followed, may come from another event.
        noted = run.metadata.get("github")
        github = noted if isinstance(noted, dict) else {}
        branch = self._branch(str(github.get("sha") or self._event.head_sha))
        if not branch:
            return None
        earlier = (github.get("ref") or self._event.ref) == f"refs/heads/{branch}"
        base = self._results.last_completed(run, repository=self._event.repository, branch=branch, earlier=earlier)
        if base is None:
            return BaseReport(branch=branch), None
        report = BaseReport(
            branch=branch, run_name=base.name, run_url=base.url, commit_sha=base.metadata["github"].get("sha")
        )
        steps = self._zenml.steps(base.id)
        metrics = collect(base, steps, self._results.artifacts(base), self._results.models(base, steps))
        return report, metrics

    def _branch(self, sha: str) -> str:
        """The base branch; a push doesn't name the pull requests that its commit belongs to."""
        event = self._event
        return self._settings.base or event.base_branch or self._base_of_commit(sha) or event.default_branch

    def _base_of_commit(self, sha: str) -> str:
        if self._github is None:
            return ""
        try:
            found = self._github.pull_requests_of_commit(self._event.repository, sha)
        except GitHubError:
            # The comment meets the same error and tells of it.
            return ""
        return found[0].base_ref if found else ""
