"""The reporter against the stand-in for GitHub: which pull requests it finds, and when it asks for them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.report import State
from lightning_zenml.action.report.reporter import Reporter
from localcloud.github import GitHub as LocalGitHub

REPOSITORY, HEAD = "octo/repo", "a" * 40
ENVIRON = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_SHA": HEAD,
    "GITHUB_RUN_ID": "7",
    "INPUT_RUN": "python run.py",
    "INPUT_LIGHTNING-API-KEY": "key",
    "INPUT_ZENML-STORE-URL": "https://zenml.example",
    "INPUT_ZENML-STORE-API-KEY": "key",
}


@dataclass
class Clock:
    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def server() -> Iterator[LocalGitHub]:
    with LocalGitHub() as server:
        server.add_repository(REPOSITORY)
        server.add_pull_request(REPOSITORY, 4, "b" * 40)
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reporter(server: LocalGitHub, clock: Clock, tmp_path: Path) -> Iterator[Reporter]:
    event = Event.from_environ(ENVIRON)
    workflow = Workflow({"GITHUB_STATE": str(tmp_path / "state")}, io.StringIO())
    with requests.Session() as session:
        github = GitHub(server.url, server.token, session)
        origin = Origin.of(event, Inputs.from_environ(ENVIRON))
        yield Reporter(workflow, Handover(workflow), github, event, origin, clock=clock)


def tell(reporter: Reporter, **changes: object) -> None:
    """An update, and what comes of it in the other thread."""
    reporter.update(**changes)  # type: ignore[arg-type]
    assert reporter.settle(30)


def asked(server: LocalGitHub) -> int:
    return sum(request.path.endswith("/pulls") for request in server.requests)


def test_a_pull_request_that_is_opened_after_the_push_gets_its_comment(
    server: LocalGitHub, reporter: Reporter, clock: Clock
) -> None:
    tell(reporter, state=State.STARTING)
    server.add_pull_request(REPOSITORY, 5, HEAD)
    clock.seconds += 20
    tell(reporter, state=State.RUNNING)
    # A workflow's token has 1,000 requests an hour for the whole repository.
    assert (asked(server), server.comments(REPOSITORY, 5)) == (1, [])
    clock.seconds += 60
    tell(reporter)
    assert "running" in server.comments(REPOSITORY, 5)[0].body
    clock.seconds += 60
    tell(reporter)
    assert asked(server) == 2


def test_the_end_is_told_to_a_pull_request_that_was_opened_just_before(server: LocalGitHub, reporter: Reporter) -> None:
    tell(reporter, state=State.RUNNING)
    server.add_pull_request(REPOSITORY, 5, HEAD)
    tell(reporter, state=State.COMPLETED)
    assert "completed" in server.comments(REPOSITORY, 5)[0].body


def test_a_commit_of_several_pull_requests_is_told_of_on_each(server: LocalGitHub, reporter: Reporter) -> None:
    for number in (5, 6):
        server.add_pull_request(REPOSITORY, number, HEAD)
    server.fail("POST", "/issues/5/comments", 403, message="Unable to create comment because issue is locked.")
    tell(reporter, state=State.RUNNING)
    tell(reporter, state=State.COMPLETED)
    assert server.comments(REPOSITORY, 5) == []
    assert [comment.body for comment in server.comments(REPOSITORY, 4)] == []
    assert "completed" in server.comments(REPOSITORY, 6)[0].body


def test_a_comment_is_edited_every_fifteen_seconds_at_most_and_more_seldom_when_it_is_old(
    server: LocalGitHub, reporter: Reporter, clock: Clock
) -> None:
    def edits_within(seconds: int) -> int:
        before = len(server.comments(REPOSITORY, 5)[0].history)
        for _ in range(seconds):
            clock.seconds += 1
            tell(reporter)
        return len(server.comments(REPOSITORY, 5)[0].history) - before

    server.add_pull_request(REPOSITORY, 5, HEAD)
    tell(reporter, state=State.RUNNING)
    assert edits_within(60) == 4
    clock.seconds += 7200
    tell(reporter)
    assert edits_within(120) == 2
    # A change of state is told at once.
    tell(reporter, state=State.COMPLETED)
    assert "completed" in server.comments(REPOSITORY, 5)[0].body
