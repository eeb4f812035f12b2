"""`make demo`: a push to a pull request's branch trains a model through the Action, on services on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localcloud.runner import Finished, Step
from localcloud.stack import Stack, services

ROOT = Path(__file__).parents[2]
REPOSITORY = "octo/quickstart"
BRANCH = "faster-training"
PULL_REQUEST = 7


def main() -> int:
    """Runs the demo; returns its exit code."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as scratch:
        folder = Path(scratch)
        _say("Starting local stand-ins for Lightning AI and GitHub, a ZenML server and S3")
        with services(folder / "services") as stack:
            _say(f"ZenML {stack.zenml_url} · Lightning {stack.environment['LIGHTNING_CLOUD_URL']}")
            sha = check_out(ROOT / "examples/quickstart", folder / "workspace")
            _say(f"A push of {sha[:7]} to {BRANCH}, the branch of pull request #{PULL_REQUEST}: the Action runs")
            finished = push(stack, folder, sha)
            ok = _show(stack, finished)
    _say(f"{'Done' if ok else 'Failed'} in {time.monotonic() - started:.0f} s")
    return 0 if ok else 1


def check_out(source: Path, workspace: Path) -> str:
    """Makes a git repository out of a folder, as actions/checkout leaves one; returns the commit."""
    shutil.copytree(source, workspace, ignore=shutil.ignore_patterns("__pycache__", ".zen"))
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


def push(stack: Stack, folder: Path, sha: str) -> Finished:
    """Opens a pull request and runs the Action for a push to its branch."""
    assert stack.github is not None
    assert stack.lightning is not None
    stack.github.add_repository(REPOSITORY)
    stack.github.add_pull_request(REPOSITORY, PULL_REQUEST, head_sha=sha, head_ref=BRANCH)
    step = Step(
        action=ROOT,
        root=folder / "runner",
        workspace=folder / "workspace",
        repository=REPOSITORY,
        inputs={
            "run": "python run.py",
            "machine-type": "cpu",
            "requirements": "requirements.txt",
            "commands": 'python --version\necho "Training on $LIGHTNING_ZENML_MACHINE"',
            "lightning-user-id": stack.lightning.user_id,
            "lightning-api-key": stack.lightning.api_key,
            "lightning-teamspace": stack.lightning.teamspace,
            "lightning-org": stack.lightning.organization,
            "zenml-store-url": stack.zenml_url,
            "zenml-store-api-key": stack.zenml_api_key,
            "stack": stack.name,
        },
        api_url=stack.github.url,
        token=stack.github.token,
        event_name="push",
        event={"ref": f"refs/heads/{BRANCH}", "after": sha, "deleted": False},
        sha=sha,
        ref=f"refs/heads/{BRANCH}",
        env={"LIGHTNING_CLOUD_URL": stack.environment["LIGHTNING_CLOUD_URL"]},
        stream=sys.stdout,
    )
    return step.run()


def _show(stack: Stack, finished: Finished) -> bool:
    assert stack.github is not None
    assert stack.lightning is not None
    comments = stack.github.comments(REPOSITORY, PULL_REQUEST)
    _say(f"The comment on pull request #{PULL_REQUEST}")
    print("\n".join(comment.body for comment in comments))
    _say("The outputs of the step")
    for name, value in finished.outputs.items():
        print(f"{name}={value}")
    _say("The run, as ZenML has it")
    run = stack.zenml.request("GET", f"runs/{finished.outputs.get('run-id', '')}?hydrate=true")
    orchestrator_url = run["metadata"]["run_metadata"].get("orchestrator_url")
    print(f"{run['name']}: {run['body']['status']}, orchestrator_url {orchestrator_url}")
    _say("What it cost")
    seconds = ", ".join(f"{value:.0f} s of {name}" for name, value in stack.lightning.machine_seconds().items())
    print(f"{seconds}: ${stack.lightning.cost():.4f}; still running: {stack.lightning.running() or 'nothing'}")
    return (
        finished.exit_code == 0
        and run["body"]["status"] == "completed"
        and len(comments) == 1
        and orchestrator_url in comments[0].body
    )


def _say(text: str) -> None:
    print(f"\n\033[1m▸ {text}\033[0m", flush=True)


if __name__ == "__main__":
    sys.exit(main())
