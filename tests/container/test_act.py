"""Workflows with `uses: ./`, run by nektos/act: an independent reading of action.yml and of what a runner does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.docker import BASE, IMAGE, Docker
from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import BRANCH, REPOSITORY, TINY, check_out, lightning_of, wait_for

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
WORKFLOWS = Path(__file__).parent / "workflows"
PULL_REQUESTS = iter(range(9000, 10000))
BUILT_BY_ACT = "act-dockeraction:latest"
"""What act calls the image of `uses: ./`. Given by us: it can't give a build the machine's network, which ours has."""

Act = Callable[..., "Run"]


class Run:
    """A workflow that act has run.

    Args:
        log: what act printed.
        github: where the pull request of its commit is.
        number: of that pull request.
    """

    def __init__(self, log: str, github: GitHub, number: int) -> None:
        self.log = log
        self._github = github
        self._number = number

    @property
    def comments(self) -> list[str]:
        """On the pull request of the commit, as they are now."""
        return [comment.body for comment in self._github.comments(REPOSITORY, self._number)]

    @property
    def told(self) -> list[list[str]]:
        """What the workflow's last step had to tell, per job."""
        return [words.split() for words in re.findall(r"\| told=(.*)$", self.log, re.MULTILINE)]


@pytest.fixture
def act(stack: Stack, cloud: LightningCloud, docker: Docker, tmp_path: Path) -> Act:
    """Runs one of our workflows on a checkout of the action that holds a pipeline too."""

    def run(workflow: str, event_name: str = "push", inputs: dict[str, str] | None = None) -> Run:
        workspace = tmp_path / workflow.removesuffix(".yml")
        workspace.mkdir()
        for name in ("action.yml", "Dockerfile"):
            shutil.copy(ROOT / name, workspace / name)
        file = f".github/workflows/{workflow}"
        sha = check_out(
            {"run.py": TINY.replace("ARGUMENT", "None"), file: (WORKFLOWS / workflow).read_text()}, workspace
        )
        subprocess.run(
            ["git", "remote", "add", "origin", f"https://github.com/{REPOSITORY}.git"], cwd=workspace, check=True
        )
        docker("tag", IMAGE, BUILT_BY_ACT)
        number = next(PULL_REQUESTS)
        assert stack.github is not None
        stack.github.add_pull_request(REPOSITORY, number, head_sha=sha, head_ref=BRANCH)
        event = tmp_path / "event.json"
        event.write_text(json.dumps(payload(event_name, sha, number, inputs or {})))
        values = {
            "--secret": {
                "GITHUB_TOKEN": stack.github.token,
                "LIGHTNING_USER_ID": cloud.user_id,
                "LIGHTNING_API_KEY": cloud.api_key,
                "ZENML_STORE_URL": stack.zenml_url,
                "ZENML_STORE_API_KEY": stack.zenml_api_key,
            },
            "--var": {"LIGHTNING_TEAMSPACE": cloud.teamspace, "LIGHTNING_ORG": cloud.organization},
            "--env": {"LIGHTNING_CLOUD_URL": cloud.url, "GITHUB_API_URL": stack.github.url},
        }
        command = [str(Path(sys.executable).with_name("act")), event_name, "--workflows", file]
        command += ["--eventpath", str(event), "--platform", f"ubuntu-latest={BASE}", "--rebuild=false", "--pull=false"]
        command += ["--rm", "--no-cache-server", "--container-daemon-socket", "-"]
        for option, pairs in values.items():
            for name, value in pairs.items():
                command += [option, f"{name}={value}"]
        home = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        done = subprocess.run(
            command,
            cwd=workspace,
            env={"PATH": os.environ["PATH"], **home, **docker.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return Run(done.stdout, stack.github, number)

    return run


def payload(event_name: str, sha: str, number: int, inputs: dict[str, str]) -> dict[str, Any]:
    if event_name == "workflow_dispatch":
        return {"ref": f"refs/heads/{BRANCH}", "inputs": inputs}
    if event_name == "push":
        return {"ref": f"refs/heads/{BRANCH}", "after": sha}
    head = {"sha": sha, "ref": BRANCH, "repo": {"full_name": REPOSITORY}}
    base = {"ref": "main", "repo": {"full_name": REPOSITORY}}
    return {"action": "synchronize", "number": number, "pull_request": {"number": number, "head": head, "base": base}}


@pytest.mark.parametrize("event_name", ["push", "pull_request"])
def test_a_run(act: Act, stack: Stack, event_name: str) -> None:
    run = act(f"{event_name}.yml", event_name)
    ((status, run_id),) = run.told
    assert status == "completed"
    assert stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed"
    (comment,) = run.comments
    assert "completed" in comment
    assert lightning_of(stack).api_key not in run.log


def test_the_legs_of_a_matrix_have_a_comment_each(act: Act) -> None:
    run = act("matrix.yml")
    (first, second) = run.told
    assert first[0] == second[0] == "completed"
    assert first[1] != second[1]
    assert len(run.comments) == 2
    assert all("completed" in comment for comment in run.comments)
    assert sorted(leg for comment in run.comments for leg in ("leg=one", "leg=two") if leg in comment) == [
        "leg=one",
        "leg=two",
    ]


def test_a_later_job_follows(act: Act, stack: Stack) -> None:
    run = act("train_and_follow.yml")
    ((status, run_id),) = run.told
    assert status == "completed"
    assert stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed"
    (comment,) = run.comments
    assert "completed" in comment


def test_another_workflow_follows(act: Act, stack: Stack, cloud: LightningCloud) -> None:
    first = act("async.yml")
    ((status, run_id, launch_id),) = first.told
    assert status == "running"
    wait_for(lambda: not cloud.running())
    assert stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed"
    (comment,) = first.comments
    assert "is running" in comment
    followed = act("follow.yml", "workflow_dispatch", inputs={"launch-id": launch_id})
    assert followed.told == [["completed", run_id]]
    # Where the push was, not where the second workflow stands.
    assert followed.comments == []
    (comment,) = first.comments
    assert "completed" in comment


def test_a_failure_is_seen_by_the_steps_after_it(act: Act) -> None:
    run = act("failing.yml")
    assert run.told == [["failed", "failure"]]
    assert "exit code 3" in run.comments[0]
