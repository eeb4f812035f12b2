"""Runs a workflow with nektos/act: an independent reading of action.yml and of what a runner does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.docker import BASE, IMAGE, Docker
from localcloud.github import GitHub
from scene import BRANCH, REPOSITORY, check_out

ROOT = Path(__file__).parents[2]
BUILT_BY_ACT = "act-dockeraction:latest"
"""What act calls the image of `uses: ./`. Given by us: it can't give a build the machine's network, which ours has."""
_PULL_REQUESTS = iter(range(9000, 10000))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A workflow that act has run.

    Args:
        log: what act printed.
        github: where the pull request of its commit is.
        number: of that pull request.
    """

    log: str
    github: GitHub
    number: int

    @property
    def comments(self) -> list[str]:
        """On the pull request of the commit, as they are now."""
        return [comment.body for comment in self.github.comments(REPOSITORY, self.number)]

    @property
    def told(self) -> list[list[str]]:
        """What the workflow's last step had to tell, per job."""
        return [words.split() for words in re.findall(r"\| told=(.*)$", self.log, re.MULTILINE)]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What a repository on GitHub brings to its workflows.

    Args:
        files: names and contents of what is committed, beside the action's own `action.yml` and `Dockerfile`.
        secrets: Actions secrets, `GITHUB_TOKEN` excepted.
        variables: Actions variables.
        env: variables that every process of a workflow gets: where the stand-in for Lightning AI is.
    """

    files: Mapping[str, str]
    secrets: Mapping[str, str]
    variables: Mapping[str, str]
    env: Mapping[str, str]


def run(
    repository: Repository,
    workflow: str,
    *,
    event_name: str,
    docker: Docker,
    github: GitHub,
    folder: Path,
    inputs: Mapping[str, str] | None = None,
) -> Run:
    """Runs one workflow of a repository for an event on the branch of a new pull request.

    Args:
        repository: what is checked out, and its settings.
        workflow: path of the workflow's file in the repository.
        event_name: `push`, `pull_request` or `workflow_dispatch`.
        docker: an engine that has the image.
        github: the stand-in for GitHub.
        folder: an empty one for the workspace and what act keeps.
        inputs: of a `workflow_dispatch`.

    Returns:
        The run, which succeeded.
    """
    workspace = folder / Path(workflow).stem
    workspace.mkdir()
    for name in ("action.yml", "Dockerfile"):
        shutil.copy(ROOT / name, workspace / name)
    sha = check_out(dict(repository.files), workspace)
    origin = ["git", "remote", "add", "origin", f"https://github.com/{REPOSITORY}.git"]
    subprocess.run(origin, cwd=workspace, check=True)
    docker("tag", IMAGE, BUILT_BY_ACT)
    number = next(_PULL_REQUESTS)
    github.add_pull_request(REPOSITORY, number, head_sha=sha, head_ref=BRANCH)
    event = folder / "event.json"
    event.write_text(json.dumps(_payload(event_name, sha, number, inputs or {})))
    command = [str(Path(sys.executable).with_name("act")), event_name, "--workflows", workflow]
    command += ["--eventpath", str(event), "--platform", f"ubuntu-latest={BASE}", "--rebuild=false", "--pull=false"]
    command += ["--rm", "--no-cache-server", "--container-daemon-socket", "-"]
    values = {
        "--secret": {"GITHUB_TOKEN": github.token, **repository.secrets},
        "--var": repository.variables,
        "--env": {"GITHUB_API_URL": github.url, **repository.env},
    }
    for option, pairs in values.items():
        for name, value in pairs.items():
            command += [option, f"{name}={value}"]
    home = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
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
    return Run(log=done.stdout, github=github, number=number)


def _payload(event_name: str, sha: str, number: int, inputs: Mapping[str, str]) -> dict[str, Any]:
    if event_name == "workflow_dispatch":
        return {"ref": f"refs/heads/{BRANCH}", "inputs": dict(inputs)}
    if event_name == "push":
        return {"ref": f"refs/heads/{BRANCH}", "after": sha}
    head = {"sha": sha, "ref": BRANCH, "repo": {"full_name": REPOSITORY}}
    base = {"ref": "main", "repo": {"full_name": REPOSITORY}}
    return {"action": "synchronize", "number": number, "pull_request": {"number": number, "head": head, "base": base}}
