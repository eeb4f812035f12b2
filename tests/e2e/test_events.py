"""Every kind of event that starts a workflow, through the Action's entrypoint."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Step
from scene import BRANCH, REPOSITORY, Actions, Laptop, wait_for

FORK = "mallory/model"
ZEROS = "0" * 40


def on(step: Step, name: str, event: dict[str, Any], ref: str | None = None, **env: str) -> Step:
    return replace(step, event_name=name, event=event, ref=ref or step.ref, env={**step.env, **env})


@pytest.mark.parametrize(
    ("name", "event", "ref"),
    [
        ("workflow_dispatch", {"inputs": {"epochs": "3"}, "ref": f"refs/heads/{BRANCH}"}, f"refs/heads/{BRANCH}"),
        ("schedule", {"schedule": "0 3 * * *"}, "refs/heads/main"),
        ("repository_dispatch", {"action": "train", "branch": "main", "client_payload": {"deleted": True}}, None),
        ("release", {"action": "published", "release": {"tag_name": "v1"}}, "refs/tags/v1"),
        ("push", {"ref": "refs/tags/v1", "created": True, "deleted": False}, "refs/tags/v1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_events_without_a_pull_request_of_their_own_run(
    cloud: LightningCloud, github: GitHub, actions: Actions, name: str, event: dict[str, Any], ref: str | None
) -> None:
    step = on(actions.step(studio_name="warm", run="echo it runs"), name, event, ref)
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert "it runs" in finished.log
    # The commit is the head of an open pull request, which brings this branch and no tag.
    told = [comment.body for comment in github.comments(REPOSITORY, actions.number)]
    assert [step.sha[:7] in body for body in told] == ([True] if step.ref == f"refs/heads/{BRANCH}" else [])
    wait_for(lambda: not cloud.running())


def test_a_run_from_a_merge_queue_comments_on_its_pull_request(
    cloud: LightningCloud, github: GitHub, actions: Actions
) -> None:
    step = actions.step(studio_name="warm", run="echo it runs")
    ref = f"refs/heads/gh-readonly-queue/main/pr-{actions.number}-{step.sha}"
    queued = {"action": "checks_requested", "merge_group": {"head_sha": "e" * 40, "head_ref": ref}}
    finished = replace(on(step, "merge_group", queued, ref), sha="e" * 40).run()
    assert finished.exit_code == 0, finished.log
    assert "eeeeeee" in actions.comment()
    wait_for(lambda: not cloud.running())


def test_a_run_after_another_workflow_is_of_that_ones_commit(
    cloud: LightningCloud, actions: Actions, laptop: Laptop
) -> None:
    step = actions.step(studio_name="warm")
    before = {
        "head_sha": step.sha,
        "head_branch": BRANCH,
        "head_repository": {"full_name": REPOSITORY},
        "pull_requests": [{"number": actions.number}],
    }
    later = on(step, "workflow_run", {"workflow_run": before}, "refs/heads/main")
    finished = replace(later, sha="d" * 40).run()
    assert finished.exit_code == 0, finished.log
    assert step.sha[:7] in actions.comment()
    assert laptop.last_run()["metadata"]["github"]["sha"] == step.sha
    wait_for(lambda: not cloud.running())


@pytest.mark.parametrize("name", ["check_suite", "repository_dispatch"])
def test_what_names_a_pull_request_comments_there_on_the_commit_that_runs(
    cloud: LightningCloud, actions: Actions, name: str
) -> None:
    step = actions.step(studio_name="warm", run="echo it runs")
    here = {"id": 1, "full_name": REPOSITORY}
    head = {"sha": "e" * 40, "ref": "newer", "repo": here}
    named = {"number": actions.number, "head": head, "base": {"ref": "main", "repo": here}}
    event = {
        "check_suite": {"check_suite": {"head_sha": "e" * 40, "head_branch": "newer", "pull_requests": [named]}},
        "repository_dispatch": {"action": "train", "client_payload": {"pull_request": named}},
    }[name]
    # The default branch is checked out, as actions/checkout does on these unless told.
    finished = on(step, name, {"repository": here, **event}, "refs/heads/main").run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert step.sha[:7] in actions.comment()
    assert "Checked out is" in finished.log
    wait_for(lambda: not cloud.running())


def commit(step: Step) -> str:
    """Checks out one more commit, which is not the one that the event tells of."""
    git = ("git", "-c", "user.name=mallory", "-c", "user.email=m@example.com")
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "Theirs"], cwd=step.workspace, check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=step.workspace, check=True, capture_output=True, text=True)
    return told.stdout.strip()


def of_a_fork(step: Step) -> dict[str, Any]:
    return {"number": 1, "head": {"sha": step.sha, "ref": "x", "repo": {"full_name": FORK}}}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pull_request", "GitHub gives no secrets to its pull requests"),
        ("pull_request_target", "`pull_request_target` hands your secrets"),
        ("workflow_run", "`workflow_run` hands your secrets"),
        ("push", "The branch or tag is deleted"),
        ("delete", "The branch or tag is deleted"),
        ("dependabot", "gives it no secrets but Dependabot's own"),
        ("check_suite", "`check_suite` hands your secrets"),
        ("deployment_status", "`deployment_status` hands your secrets"),
        ("workflow_dispatch", "`workflow_dispatch` hands your secrets"),
        ("discussion_comment", "only as owner, member or collaborator"),
    ],
)
def test_what_must_not_run_says_why_and_costs_nothing(
    cloud: LightningCloud, github: GitHub, actions: Actions, name: str, words: str
) -> None:
    lightning_requests = len(cloud.requests)
    keys = {"lightning_api_key": "", "zenml_store_api_key": ""} if name in ("pull_request", "dependabot") else {}
    step = actions.step(**keys)
    theirs = commit(step) if name == "workflow_dispatch" else "d" * 40
    github.add_pull_request(REPOSITORY, actions.number + 1, head_sha=theirs, head_repo=FORK)
    finished = {
        "pull_request": on(step, name, {"pull_request": of_a_fork(step)}),
        "pull_request_target": on(step, name, {"pull_request": of_a_fork(step)}),
        "workflow_run": on(
            step, name, {"workflow_run": {"head_sha": step.sha, "head_repository": {"full_name": FORK}}}
        ),
        "push": on(step, name, {"deleted": True, "after": ZEROS}),
        "delete": on(step, name, {"ref": BRANCH, "ref_type": "branch"}),
        "dependabot": on(step, "push", {}, GITHUB_ACTOR="dependabot[bot]"),
        "check_suite": on(step, name, {"check_suite": {"head_sha": step.sha, "head_branch": None}}),
        # Whose these are, only GitHub knows: of what is deployed, and of what a workflow's `ref:` has checked out.
        "deployment_status": on(step, name, {"deployment": {"sha": theirs}}),
        "workflow_dispatch": on(step, name, {"inputs": {"pr": "5"}}),
        "discussion_comment": on(step, name, {"comment": {"author_association": "NONE"}}),
    }[name].run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    ((level, told),) = finished.annotations
    assert level == "notice"
    assert words in told
    assert len(cloud.requests) == lightning_requests
    assert github.comments(REPOSITORY, actions.number) == []


@pytest.mark.parametrize("path", ["nowhere.json", "cut.json"])
def test_an_event_that_cant_be_read_leaves_nothing_running(
    cloud: LightningCloud, actions: Actions, tmp_path: Path, path: str
) -> None:
    requests = len(cloud.requests)
    (tmp_path / "cut.json").write_text('{"pull_request": {"head": ')
    finished = on(actions.step(), "pull_request_target", {}, GITHUB_EVENT_PATH=str(tmp_path / path)).run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0), finished.log
    ((level, told),) = finished.annotations
    assert (level, "whose code this is can't be found out" in told) == ("error", True)
    # What else is wrong was looked for, and nothing done.
    assert {request.method for request in cloud.requests[requests:]} <= {"GET"}
