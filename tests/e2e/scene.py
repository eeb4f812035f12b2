"""An Action and a laptop that use the services as people do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Step
from localcloud.stack import Stack, client_environment

ROOT = Path(__file__).parents[2]
REPOSITORY = "octo/model"
BRANCH = "better"

TINY = """
import sys
from zenml import pipeline, step


@step
def load() -> int:
    print("loading")
    return 20


@step
def train(number: int) -> int:
    if "--fail" in sys.argv or ARGUMENT == "fail":
        raise ValueError("the loss is NaN")
    return number * 2


@pipeline(enable_cache=False)
def tiny():
    train(load())


if __name__ == "__main__":
    tiny()
"""
"""A pipeline that needs nothing but ZenML."""


def lightning_of(stack: Stack) -> LightningCloud:
    assert stack.lightning is not None
    return stack.lightning


def github_of(stack: Stack) -> GitHub:
    assert stack.github is not None
    return stack.github


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert asked < deadline, f"not within {seconds} s"
        # What takes long to answer is asked less often: it keeps the cores from what is waited for.
        time.sleep(min(1, max(0.1, 4 * (time.monotonic() - asked))))


def controllers(run_id: str) -> list[int]:
    """Process ids of the controllers of a run; studios' processes are this machine's, too."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if run_id.encode() in told and b"lightning_zenml.orchestrator.controller" in told:
            found.append(int(process.name))
    return found


def check_out(files: dict[str, str], workspace: Path) -> str:
    """Makes a git repository of the files, as actions/checkout leaves one; returns the commit."""
    for name, content in files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    identity = {f"GIT_{who}_{what}": "octocat" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q", f"--initial-branch={BRANCH}"], ["add", "-A"], ["commit", "-q", "-m", "A commit"]):
        subprocess.run(["git", *command], cwd=workspace, env={**os.environ, **identity}, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=workspace, check=True, capture_output=True, text=True)
    return head.stdout.strip()


@dataclass
class Actions:
    """Makes steps that use the Action, each with a pull request of its own."""

    stack: Stack
    folder: Path
    _number: int = 0

    def step(
        self,
        files: dict[str, str] | None = None,
        *,
        event_name: str = "push",
        variables: dict[str, str] | None = None,
        **inputs: str,
    ) -> Step:
        """A step on a fresh checkout; inputs are given with underscores for hyphens."""
        self._number += 1
        cloud, github = lightning_of(self.stack), github_of(self.stack)
        workspace = self.folder / f"workspace-{self._number}"
        workspace.mkdir()
        sha = check_out(files or {"run.py": TINY.replace("ARGUMENT", "None")}, workspace)
        self.number = int.from_bytes(os.urandom(3)) + 1
        github.add_pull_request(REPOSITORY, self.number, head_sha=sha, head_ref=BRANCH)
        given = {
            "run": "python run.py",
            "lightning-user-id": cloud.user_id,
            "lightning-api-key": cloud.api_key,
            "lightning-teamspace": cloud.teamspace,
            "lightning-org": cloud.organization,
            "zenml-store-url": self.stack.zenml_url,
            "zenml-store-api-key": self.stack.zenml_api_key,
            "stack": self.stack.name,
            **{name.replace("_", "-"): value for name, value in inputs.items()},
        }
        pull_request = {
            "number": self.number,
            "head": {"sha": sha, "ref": BRANCH, "repo": {"full_name": REPOSITORY}},
            "base": {"ref": "main", "repo": {"full_name": REPOSITORY}},
        }
        is_push = event_name == "push"
        return Step(
            action=ROOT,
            root=self.folder / f"runner-{self._number}",
            workspace=workspace,
            repository=REPOSITORY,
            inputs=given,
            api_url=github.url,
            token=github.token,
            results_url=github.results_url,
            runtime_token=github.results.runtime_token,
            event_name=event_name,
            event={"ref": f"refs/heads/{BRANCH}", "after": sha} if is_push else {"pull_request": pull_request},
            sha=sha if is_push else "f" * 40,
            ref=f"refs/heads/{BRANCH}" if is_push else f"refs/pull/{self.number}/merge",
            env={"LIGHTNING_CLOUD_URL": cloud.url, **(variables or {})},
        )

    def comment(self) -> str:
        """The one comment on the pull request of the step made last."""
        (comment,) = github_of(self.stack).comments(REPOSITORY, self.number)
        return comment.body


@dataclass
class Laptop:
    """A person's machine: a folder with code, a shell with the ZenML client."""

    stack: Stack
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        environment = client_environment(self.stack, ZENML_CONFIG_PATH=str(self.folder.parent / "config"), **more)
        return {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        completed = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed

    @contextmanager
    def start(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A command under way, which is killed when it is still there at the end."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def last_run(self) -> dict[str, Any]:
        """The newest pipeline run of the server, with all that the server tells of it and of its snapshot."""
        (run,) = self.stack.zenml.request("GET", "runs?sort_by=desc:created&size=1&hydrate=true")["items"]
        snapshot = self.stack.zenml.request("GET", f"pipeline_snapshots/{run['resources']['snapshot']['id']}")
        return {
            "id": run["id"],
            "name": run["name"],
            "status": run["body"]["status"],
            "metadata": run["metadata"]["run_metadata"],
            "all": json.dumps([run, snapshot]),
        }
