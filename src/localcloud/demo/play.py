"""The stage of a scenario: a repository with a pull request, whose workflow runs the Action on the local cloud."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.lightning.ledger import Interval
from localcloud.runner import Finished, Log, Step
from localcloud.stack import Stack

ROOT = Path(__file__).parents[3]
REPOSITORY = "octo/quickstart"
BRANCH = "faster-training"
PULL_REQUEST = 7
_RELEASED_WITHIN = 120.0
"""Seconds until nothing may run any more."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the workflow that has run the Action.

    Args:
        name: of the job, with the leg of its matrix.
        finished: what its step left behind.
    """

    name: str
    finished: Finished


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline run, as ZenML has it.

    Args:
        name: of the run.
        status: e.g. `completed`.
        orchestrator_url: its page at Lightning AI; None where none is known.
    """

    name: str
    status: str
    orchestrator_url: str | None


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that is to be shown of a scenario.

    Args:
        scenario: its name.
        title: what it shows.
        sha: the commit.
        pull_request: number of the pull request.
        comments: of each comment all that it has said, oldest first.
        statuses: (context, state, description) of the commit's newest statuses.
        jobs: of the workflow, in their order.
        runs: that ZenML has.
        intervals: what is billed.
        running: what is billed still.
    """

    scenario: str
    title: str
    sha: str
    pull_request: int
    comments: tuple[tuple[str, ...], ...]
    statuses: tuple[tuple[str, str, str], ...]
    jobs: tuple[Job, ...]
    runs: tuple[Run, ...]
    intervals: tuple[Interval, ...]
    running: tuple[str, ...]

    @property
    def cost(self) -> float:
        """US dollars."""
        return sum(interval.cost for interval in self.intervals)

    @property
    def machine_seconds(self) -> dict[str, float]:
        """Billed seconds of each type of machine."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for interval in self.intervals:
            seconds[interval.machine] += interval.seconds
        return dict(seconds)

    @property
    def problems(self) -> list[str]:
        """What is wrong, however the scenario ends: anything left running, no comment, or one without its link."""
        found = [f"{name} is still running" for name in self.running]
        if len(self.comments) != 1:
            return [*found, f"There are {len(self.comments)} comments"]
        last = self.comments[0][-1]
        # A table of many legs links to each leg's run.
        links = [run.orchestrator_url for run in self.runs if run.orchestrator_url] if len(self.runs) == 1 else []
        return [*found, *(f"The comment does not link to {link}" for link in links if link not in last)]


@dataclass
class Play:
    """The pull request, and the jobs that have run for it so far.

    Args:
        stack: the services.
        folder: for workspace and runners.
        project: the repository: its folder, or its files by name.
        stream: where logs are shown.
    """

    stack: Stack
    folder: Path
    project: Path | Mapping[str, str]
    stream: Log
    jobs: list[Job] = field(default_factory=list)
    pull_request: int = PULL_REQUEST

    def __post_init__(self) -> None:
        assert self.stack.github is not None
        assert self.stack.lightning is not None
        self.github: GitHub = self.stack.github
        self.cloud: LightningCloud = self.stack.lightning
        self.workspace = self.folder / "workspace"
        self.sha = check_out(self.project, self.workspace)
        self.github.add_repository(REPOSITORY)
        self.github.add_pull_request(REPOSITORY, self.pull_request, head_sha=self.sha, head_ref=BRANCH)

    def job(
        self,
        name: str,
        interrupt: Callable[[str], signal.Signals | None] = lambda line: None,
        *,
        matrix: Mapping[str, object] | None = None,
        stream: Log | None = None,
        **inputs: str,
    ) -> Finished:
        """Runs the Action in a job; inputs are given with underscores for hyphens, and one behind `async_`."""
        step = Step(
            action=ROOT,
            root=self.folder / f"runner-{name}",
            workspace=self.workspace,
            repository=REPOSITORY,
            inputs=self._keys() | {one.rstrip("_").replace("_", "-"): value for one, value in inputs.items()},
            api_url=self.github.url,
            results_url=self.github.results_url,
            runtime_token=self.github.results.runtime_token,
            token=self.github.token,
            event_name="push",
            event={"ref": f"refs/heads/{BRANCH}", "after": self.sha, "deleted": False},
            sha=self.sha,
            ref=f"refs/heads/{BRANCH}",
            matrix=matrix,
            env={"LIGHTNING_CLOUD_URL": self.stack.environment["LIGHTNING_CLOUD_URL"]},
            stream=stream or self.stream,
        )
        finished = step.run(interrupt=interrupt)
        self.jobs.append(Job(name=name, finished=finished))
        return finished

    def told(self, scenario: str, title: str) -> Told:
        """What there is to tell, once nothing runs any more."""
        deadline = time.monotonic() + _RELEASED_WITHIN
        while self.cloud.running() and time.monotonic() < deadline:
            time.sleep(0.2)
        comments = self.github.comments(REPOSITORY, self.pull_request)
        newest = {status.context: status for status in self.github.statuses(REPOSITORY, self.sha)}
        runs = self.stack.zenml.request("GET", "runs?sort_by=asc:created&size=50&hydrate=true")["items"]
        return Told(
            scenario=scenario,
            title=title,
            sha=self.sha,
            pull_request=self.pull_request,
            comments=tuple(tuple(comment.history) for comment in comments),
            statuses=tuple((one.context, one.state, one.description or "") for one in newest.values()),
            jobs=tuple(sorted(self.jobs, key=lambda job: job.name) if len(self.jobs) > 2 else self.jobs),
            runs=tuple(
                Run(
                    name=run["name"],
                    status=run["body"]["status"],
                    orchestrator_url=run["metadata"]["run_metadata"].get("orchestrator_url"),
                )
                for run in runs
            ),
            intervals=tuple(self.cloud.intervals),
            running=tuple(self.cloud.running()),
        )

    def _keys(self) -> dict[str, str]:
        return {
            "lightning-user-id": self.cloud.user_id,
            "lightning-api-key": self.cloud.api_key,
            "lightning-teamspace": self.cloud.teamspace,
            "lightning-org": self.cloud.organization,
            "zenml-store-url": self.stack.zenml_url,
            "zenml-store-api-key": self.stack.zenml_api_key,
            "stack": self.stack.name,
        }


def check_out(source: Path | Mapping[str, str], workspace: Path) -> str:
    """Makes a git repository, as actions/checkout leaves one.

    Args:
        source: a folder, or files by name.
        workspace: folder of the repository, which is not there yet.

    Returns:
        The commit.
    """
    if isinstance(source, Path):
        shutil.copytree(source, workspace, ignore=shutil.ignore_patterns("__pycache__", ".zen"))
    else:
        workspace.mkdir()
        for name, text in source.items():
            (workspace / name).write_text(text)
    identity = {f"GIT_{who}_{what}": "octocat" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity}
    for command in (
        ["git", "init", "--quiet", f"--initial-branch={BRANCH}"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "Train faster"],
    ):
        subprocess.run(command, cwd=workspace, env=environment, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=workspace, env=environment, check=True, capture_output=True, text=True
    )
    return head.stdout.strip()
