"""Workflows with `uses: ./` on a real Docker engine, run by act."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import workflow_runs
from localcloud.docker import Docker
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import TINY, github_of, lightning_of, wait_for
from workflow_runs import Repository, Run

WORKFLOWS = Path(__file__).parent / "workflows"

Act = Callable[..., Run]


@pytest.fixture
def act(stack: Stack, cloud: LightningCloud, docker: Docker, tmp_path: Path) -> Act:
    """Runs one of our workflows on a checkout of the action that holds a pipeline too."""

    def run(name: str, event_name: str = "push", inputs: dict[str, str] | None = None) -> Run:
        workflow = f".github/workflows/{name}"
        repository = Repository(
            files={"run.py": TINY.replace("ARGUMENT", "None"), workflow: (WORKFLOWS / name).read_text()},
            secrets={
                "LIGHTNING_USER_ID": cloud.user_id,
                "LIGHTNING_API_KEY": cloud.api_key,
                "ZENML_STORE_URL": stack.zenml_url,
                "ZENML_STORE_API_KEY": stack.zenml_api_key,
            },
            variables={"LIGHTNING_TEAMSPACE": cloud.teamspace, "LIGHTNING_ORG": cloud.organization},
            env={"LIGHTNING_CLOUD_URL": cloud.url},
        )
        return workflow_runs.run(
            repository,
            workflow,
            event_name=event_name,
            docker=docker,
            github=github_of(stack),
            folder=tmp_path,
            inputs=inputs,
        )

    return run


@pytest.mark.parametrize("event_name", ["push", pytest.param("pull_request", marks=pytest.mark.slow)])
def test_a_run(act: Act, stack: Stack, event_name: str) -> None:
    run = act(f"{event_name}.yml", event_name)
    ((status, run_id),) = run.told
    assert status == "completed"
    assert stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed"
    (comment,) = run.comments
    assert "completed" in comment
    assert lightning_of(stack).api_key not in run.log


@pytest.mark.slow
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


@pytest.mark.slow
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
