"""The reporter against the stand-in for GitHub: which pull requests it finds, and when it asks for them."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from lightning_api import eventually
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.report import State
from lightning_zenml.action.report.reporter import Reporter
from localcloud.chaos import Fault, Proxy
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
    with requests.Session() as session:
        yield make_reporter(server, session, clock, tmp_path)


def make_reporter(server: LocalGitHub, session: requests.Session, clock: Clock, folder: Path) -> Reporter:
    event = Event.from_environ(ENVIRON)
    workflow = Workflow({"GITHUB_STATE": str(folder / "state")}, io.StringIO())
    github = GitHub(server.url, server.token, session)
    origin = Origin.of(event, Inputs.from_environ(ENVIRON))
    return Reporter(workflow, Handover(workflow), github, event, origin, clock=clock)


def test_a_server_that_takes_long_to_tell_of_a_run_is_asked_less_often(
    server: LocalGitHub, clock: Clock, tmp_path: Path
) -> None:
    looks = []

    def look() -> None:
        looks.append(clock.seconds)
        clock.seconds += 18

    event = Event.from_environ(ENVIRON)
    workflow = Workflow({"GITHUB_STATE": str(tmp_path / "state")}, io.StringIO())
    reporter = Reporter(workflow, Handover(workflow), None, event, None, look=look, clock=clock)
    tell(reporter, state=State.RUNNING)
    for _ in range(400):
        clock.seconds += 1
        tell(reporter)
    assert len(looks) == 3


def tell(reporter: Reporter, **changes: object) -> None:
    """An update, and what comes of it in the other thread."""
    reporter.update(**changes)  # type: ignore[arg-type]
    assert reporter.settle(300)


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


def test_a_comment_comes_to_its_end_though_its_commit_is_the_newest_no_more(
    server: LocalGitHub, reporter: Reporter, clock: Clock, tmp_path: Path
) -> None:
    server.add_pull_request(REPOSITORY, 5, HEAD)
    tell(reporter, state=State.RUNNING)
    # Somebody pushes; the launch, which was left to itself, is told of by another workflow.
    server.add_pull_request(REPOSITORY, 5, "c" * 40, commits=(HEAD,))
    server.add_pull_request(REPOSITORY, 6, "d" * 40, commits=(HEAD,))
    with requests.Session() as session:
        tell(make_reporter(server, session, clock, tmp_path), state=State.COMPLETED)
    (comment,) = server.comments(REPOSITORY, 5)
    assert "completed" in comment.body
    assert server.comments(REPOSITORY, 6) == []


def test_a_comment_that_somebody_deletes_is_created_anew(server: LocalGitHub, reporter: Reporter) -> None:
    server.add_pull_request(REPOSITORY, 5, HEAD)
    tell(reporter, state=State.RUNNING)
    (deleted,) = server.comments(REPOSITORY, 5)
    server.delete_comment(deleted.id)
    tell(reporter, state=State.COMPLETED)
    (comment,) = server.comments(REPOSITORY, 5)
    assert "completed" in comment.history[0]


def test_a_commit_of_several_pull_requests_is_told_of_on_each(server: LocalGitHub, reporter: Reporter) -> None:
    for number in (5, 6):
        server.add_pull_request(REPOSITORY, number, HEAD)
    server.fail("POST", "/issues/5/comments", 403, times=3, message="Unable to create comment because issue is locked.")
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


@dataclass
class Step:
    """A step's files, on which a reporter of main and one of post work."""

    server: LocalGitHub
    proxy: Proxy
    folder: Path
    log: io.StringIO = field(default_factory=io.StringIO)

    def workflow(self, **files: str) -> Workflow:
        return Workflow({"GITHUB_STATE": str(self.folder / "state"), **files}, self.log)

    def main(self, workflow: Workflow | None = None, look: Callable[[], None] = lambda: None) -> Reporter:
        event = Event.from_environ(ENVIRON)
        workflow = workflow or self.workflow()
        origin = Origin.of(event, Inputs.from_environ(ENVIRON))
        github = GitHub(self.proxy.url, self.server.token)
        return Reporter(workflow, Handover(workflow), github, event, origin, look=look)

    @property
    def left(self) -> Left:
        found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", (self.folder / "state").read_text(), re.M | re.S)
        return Left.from_environ({f"STATE_{name}": value for name, _, value in found})

    def post(self) -> None:
        saved, workflow = self.left.report, self.workflow()
        assert saved is not None
        # Beside the proxy, which keeps the thread of main, no longer there in truth, from telling after it.
        github = GitHub(self.server.url, self.server.token)
        reporter = Reporter.resumed(workflow, Handover(workflow), github, Event.from_environ(ENVIRON), saved)
        reporter.update(at_once=True)


@pytest.fixture
def step(server: LocalGitHub, tmp_path: Path) -> Iterator[Step]:
    server.add_pull_request(REPOSITORY, 5, HEAD)
    with Proxy("github", server.url, addresses={}) as proxy:
        yield Step(server, proxy, tmp_path)


FAULTS = {
    "mute": Fault.hang(60),
    "a page for people": Fault.html(),
    "without id": Fault.without("id"),
    "other types": Fault.wrong_types(),
    "nothing": Fault.body("null"),
    "cut": Fault.cut_short(),
    "secondary limit": Fault.status(403, message="You have exceeded a secondary rate limit.", retry_after="3600"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_whatever_github_answers_the_end_is_kept_for_post(step: Step, fault: Fault) -> None:
    rule = step.proxy.fault(fault)
    reporter = step.main()
    reporter.update(state=State.RUNNING)
    reporter.update(state=State.COMPLETED, patience=3)
    eventually(lambda: rule.seen)
    left = step.left
    assert left.report is not None
    assert (left.report.report.state, left.is_reported) == (State.COMPLETED, False)
    assert "fault of this action" not in step.log.getvalue()
    step.post()
    (comment,) = step.server.comments(REPOSITORY, 5)
    assert "completed" in comment.body


def test_whoever_follows_waits_for_nobody_and_the_newest_report_is_told(step: Step) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def look() -> None:
        asked.set()
        assert go_on.wait(300)

    reporter = step.main(look=look)
    reporter.update(state=State.STARTING, pipeline="a")
    assert asked.wait(300)
    # ZenML is silent, and these return.
    reporter.update(state=State.RUNNING, pipeline="b")
    reporter.update(state=State.RUNNING, pipeline="c")
    go_on.set()
    assert reporter.settle(300)
    (comment,) = step.server.comments(REPOSITORY, 5)
    # That of `b` was overtaken.
    assert "running" in comment.body
    assert [body for body in (*comment.history, comment.body) if "<code>b</code>" in body] == []


def test_a_fault_of_ours_is_logged_once_and_the_rest_is_told(step: Step) -> None:
    def look() -> None:
        raise KeyError("never thought of")

    reporter = step.main(look=look)
    for state in (State.STARTING, State.RUNNING, State.COMPLETED):
        tell(reporter, state=state)
    (comment,) = step.server.comments(REPOSITORY, 5)
    assert "completed" in comment.body
    assert step.log.getvalue().count("Traceback") == 1
    assert step.left.is_reported


@pytest.mark.parametrize("file", ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"])
def test_a_full_disk_is_told_of_once(step: Step, file: str) -> None:
    reporter = step.main(step.workflow(**{file: "/dev/full"}))
    for state in (State.STARTING, State.RUNNING, State.COMPLETED):
        tell(reporter, state=state)
    (comment,) = step.server.comments(REPOSITORY, 5)
    assert "completed" in comment.body
    assert step.log.getvalue().count(f"{file} can't be written") == 1


def test_no_netrc_replaces_the_token(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login octocat password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    tell(step.main(), state=State.COMPLETED)
    (comment,) = step.server.comments(REPOSITORY, 5)
    assert "completed" in comment.body
