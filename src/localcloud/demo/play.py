"""The stage of a scenario: a repository with a pull request, whose workflow runs the Action on the local cloud."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.lightning.ledger import Interval
from localcloud.runner import Finished, Log, Step
from localcloud.schemas.objects import CheckRun, Deployment
from localcloud.stack import Stack

ROOT = Path(__file__).parents[3]
REPOSITORY = "octo/quickstart"
BASE = "main"
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
        check_runs: of the commit.
        deployments: of the commit.
        pictures: PNGs of the repository that comments and summaries show, by their addresses.
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
    check_runs: tuple[CheckRun, ...]
    deployments: tuple[Deployment, ...]
    pictures: Mapping[str, bytes]
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
        self.base_sha, self.sha = check_out(self.project, self.workspace)
        self.github.add_branch(REPOSITORY, BASE, self.base_sha)
        self.github.add_pull_request(
            REPOSITORY, self.pull_request, head_sha=self.sha, head_ref=BRANCH, base_ref=BASE, base_sha=self.base_sha
        )

    def job(
        self,
        name: str,
        interrupt: Callable[[str], signal.Signals | None] = lambda line: None,
        *,
        branch: str = BRANCH,
        matrix: Mapping[str, object] | None = None,
        stream: Log | None = None,
        **inputs: str,
    ) -> Finished:
        """Runs the Action in a job; inputs are given with underscores for hyphens, and one behind `async_`."""
        sha = self.base_sha if branch == BASE else self.sha
        switched_to(branch, self.workspace)
        event = {"ref": f"refs/heads/{branch}", "after": sha, "deleted": False, "repository": {"default_branch": BASE}}
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
            event=event,
            sha=sha,
            ref=f"refs/heads/{branch}",
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
        written = [one.history[-1] for one in comments] + [job.finished.summary for job in self.jobs]
        runs = self.stack.zenml.request("GET", "runs?sort_by=asc:created&size=50&hydrate=true")["items"]
        return Told(
            scenario=scenario,
            title=title,
            sha=self.sha,
            pull_request=self.pull_request,
            comments=tuple(tuple(comment.history) for comment in comments),
            statuses=tuple((one.context, one.state, one.description or "") for one in newest.values()),
            check_runs=tuple(self.github.check_runs(REPOSITORY, self.sha)),
            deployments=tuple(one for one in self.github.deployments(REPOSITORY) if one.sha == self.sha),
            pictures=dict(self._pictures("\n".join(written))),
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

    def _pictures(self, markdown: str) -> Iterator[tuple[str, bytes]]:
        for address, sha, name in re.findall(r"(https?://[^\s()]+/blob/(\w+)/([^\s()]+)\?raw=true)", markdown):
            if content := self.github.objects.file(sha, name):
                yield address, content

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


def check_out(source: Path | Mapping[str, str], workspace: Path) -> tuple[str, str]:
    """Makes a git repository with a base branch and one of a pull request, as actions/checkout leaves one.

    Args:
        source: a folder, or files by name.
        workspace: folder of the repository, which is not there yet.

    Returns:
        The newest commits of the base branch and of the pull request's, which is checked out.
    """
    if isinstance(source, Path):
        shutil.copytree(source, workspace, ignore=shutil.ignore_patterns("__pycache__", ".zen"))
    else:
        workspace.mkdir()
        for name, text in source.items():
            (workspace / name).write_text(text)
    _git(workspace, "init", f"--initial-branch={BASE}")
    _git(workspace, "add", "--all")
    _git(workspace, "commit", "--message", "Train")
    base = _head(workspace)
    _git(workspace, "switch", "--create", BRANCH)
    _git(workspace, "commit", "--allow-empty", "--message", "Train faster")
    return base, _head(workspace)


def switched_to(branch: str, workspace: Path) -> None:
    """Checks a branch out, where another one is."""
    if (workspace / ".git/HEAD").read_text().strip() != f"ref: refs/heads/{branch}":
        _git(workspace, "switch", branch)


def _head(workspace: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=workspace, check=True, capture_output=True, text=True).stdout.strip()


def _git(workspace: Path, command: str, *arguments: str) -> None:
    identity = {f"GIT_{who}_{what}": "octocat" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        ["git", command, *(() if command == "add" else ("--quiet",)), *arguments],
        cwd=workspace,
        env={**os.environ, **identity},
        check=True,
    )
