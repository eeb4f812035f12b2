"""Commands in comments against GitHub's stand-in: who may give one, what is trained, and what its author sees."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lightning_zenml.action.commands.admission import Admitted, admitted
from lightning_zenml.action.commands.command import Verb
from lightning_zenml.action.github.admission import github_of
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.main import main
from localcloud.github import GitHub
from localcloud.schemas.objects import Comment

REPOSITORY, BRANCH, NUMBER = "octo/model", "better", 5
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ZEROS, OLDER, NEWER = "0" * 40, "b" * 40, "e" * 40


@pytest.fixture
def server() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server
        assert server.refused == []


@dataclass
class Scene:
    """A pull request whose head is checked out, and comments on it."""

    server: GitHub
    folder: Path
    head: str
    written: datetime = NOON

    def environ(self, comment: Comment, **more: str) -> dict[str, str]:
        event = self.folder / "event.json"
        payload: dict[str, Any] = {
            "action": "created",
            "issue": {"number": NUMBER, "pull_request": {"url": "u"}},
            "comment": {
                "id": comment.id,
                "body": comment.body,
                "created_at": self.written.isoformat(),
                "user": {"login": comment.login, "type": "Bot" if comment.login.endswith("[bot]") else "User"},
                "author_association": comment.association,
            },
            "sender": {"login": comment.login},
            "repository": {"full_name": REPOSITORY, "default_branch": "main"},
        }
        event.write_text(json.dumps(payload))
        return {
            "GITHUB_EVENT_NAME": "issue_comment",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_API_URL": self.server.url,
            "GITHUB_SERVER_URL": self.server.server_url,
            "GITHUB_WORKFLOW": "Commands",
            "GITHUB_JOB": "train",
            "GITHUB_RUN_ID": "7",
            "GITHUB_SHA": "d" * 40,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_WORKSPACE": str(self.folder / "checkout"),
            "INPUT_COMMAND-FROM": "comment",
            "INPUT_COMMAND-PARAMETERS": "lr: number",
            "INPUT_RUN": "python run.py",
            "INPUT_MACHINE-TYPE": "T4, H100",
            "INPUT_ENV": "COMMAND_LR=0.5\nOTHER=1",
            "INPUT_LIGHTNING-API-KEY": "key",
            "INPUT_ZENML-STORE-URL": "http://127.0.0.1:9",
            "INPUT_ZENML-STORE-API-KEY": "key",
            "INPUT_GITHUB-TOKEN": self.server.token,
            **more,
        }

    def comment(self, body: str, login: str = "alice", association: str = "MEMBER") -> Comment:
        return self.server.add_comment(REPOSITORY, NUMBER, body, login=login, association=association)

    def main(self, comment: Comment, **more: str) -> tuple[int, str]:
        log = io.StringIO()
        environ = self.environ(comment, **more)
        return main(environ, Workflow(environ, log)), log.getvalue()

    def admitted(self, comment: Comment, **more: str) -> Admitted | int:
        environ = self.environ(comment, **more)
        workflow, event = Workflow(environ, io.StringIO()), Event.from_environ(environ)
        inputs = Inputs.from_environ(environ)
        github = github_of(inputs, event)
        assert github
        github.rest.pause = lambda seconds: None  # type: ignore[method-assign]
        return admitted(event, inputs, environ, self.folder / "checkout", github, workflow)

    def replies(self) -> list[str]:
        return [one.body for one in self.server.comments(REPOSITORY, NUMBER) if one.login == self.server.login]


@pytest.fixture
def scene(server: GitHub, tmp_path: Path) -> Scene:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git = ("git", "-c", "user.name=alice", "-c", "user.email=a@example.com", "-C", str(checkout))
    subprocess.run([*git, "init", "-q", f"--initial-branch={BRANCH}"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "A commit"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    server.add_pull_request(REPOSITORY, NUMBER, OLDER, BRANCH)
    server.push(REPOSITORY, BRANCH, ZEROS, OLDER, NOON - timedelta(hours=2))
    server.push(REPOSITORY, BRANCH, OLDER, head, NOON - timedelta(seconds=1))
    server.add_collaborator(REPOSITORY, "alice", "write")
    return Scene(server, tmp_path, head)


def test_a_writers_command_sets_what_is_allowed_on_the_commit_that_they_saw(scene: Scene) -> None:
    asked = scene.admitted(scene.comment("/train machine=h100 lr=0.1"))
    assert isinstance(asked, Admitted)
    assert (asked.command.verb, asked.event.head_sha, asked.event.branch) == (Verb.TRAIN, scene.head, BRANCH)
    assert asked.inputs.machine_type == ("H100",)
    assert asked.inputs.env == {"COMMAND_LR": "0.1", "OTHER": "1"}
    assert (asked.event.pull_requests, asked.event.base_branch) == ((NUMBER,), "main")
    # Below the command, and one commit status for all of them.
    origin = Origin.of(asked.event, asked.inputs)
    assert (origin.comment_key, origin.command) == ("Commands/train", "/train machine=h100 lr=0.1")
    assert " in answer to " in str(origin.marker)
    assert Origin.from_json(origin.as_json()) == origin


@pytest.mark.parametrize("role", ["admin", "maintain", "write"])
def test_who_may_write_may_command_whatever_the_event_calls_them(scene: Scene, role: str) -> None:
    # A member of the organisation who keeps that to themselves is called a contributor.
    scene.server.add_collaborator(REPOSITORY, "bob", role)
    assert isinstance(scene.admitted(scene.comment("/train", "bob", "CONTRIBUTOR")), Admitted)
    assert scene.replies() == []


def refusal(scene: Scene, comment: Comment, **more: str) -> str:
    """Runs main, which must refuse, once however often it runs; the reply."""
    for _ in range(2):
        exit_code, log = scene.main(comment, **more)
        assert (exit_code, "::notice title=Nothing was started::" in log) == (0, True), log
    assert comment.reactions == [(scene.server.login, "-1")]
    (reply,) = scene.replies()
    assert "**Refused.**" in reply
    assert "/actions/runs/7" in reply
    return reply


@pytest.mark.parametrize("role", ["triage", "read", None])
@pytest.mark.parametrize("verb", ["train", "stop", "attach"])
def test_who_may_not_write_is_refused_though_the_event_calls_them_a_member(
    scene: Scene, role: str | None, verb: str
) -> None:
    if role:
        scene.server.add_collaborator(REPOSITORY, "mallory", role)
    assert "may write to" in refusal(scene, scene.comment(f"/{verb}", "mallory"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("/train epochs=3", "can&#39;t be set from a comment"),
        ("/train lr=$(id)", "lr</code> can&#39;t be <code>&#36;&#40;id&#41;</code>"),
        ("/train machine=H200", "one of <code>T4</code>, <code>H100</code>"),
        ("/train @octocat", "&#64;octocat"),
        ("/train\n\n/stop", "has several"),
        ("/stop now", "the id of one launch"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_reason(scene: Scene, body: str, words: str) -> None:
    assert words in refusal(scene, scene.comment(body))


def test_a_forks_pull_request_is_refused(scene: Scene) -> None:
    scene.server.add_pull_request(REPOSITORY, NUMBER, scene.head, BRANCH, head_repo="mallory/model")
    assert "comes from a fork" in refusal(scene, scene.comment("/train"))


def test_what_was_seen_is_trained_though_more_was_pushed_after_the_checkout(scene: Scene) -> None:
    scene.server.push(REPOSITORY, BRANCH, scene.head, NEWER, NOON)
    scene.server.push(REPOSITORY, BRANCH, NEWER, OLDER, NOON + timedelta(seconds=30))
    asked = scene.admitted(scene.comment("/train"))
    assert isinstance(asked, Admitted)
    assert asked.event.head_sha == scene.head


@pytest.mark.parametrize("seconds", [1, 60])
def test_what_was_pushed_after_the_comment_is_not_trained(scene: Scene, seconds: int) -> None:
    scene.written = NOON - timedelta(seconds=seconds)
    reply = refusal(scene, scene.comment("/train"))
    assert "was pushed after the comment was written, which saw <code>bbbbbbb</code>" in reply


def test_another_commit_than_the_head_is_refused(scene: Scene) -> None:
    scene.server.push(REPOSITORY, BRANCH, scene.head, NEWER, NOON - timedelta(milliseconds=900))
    assert "needs <code>actions/checkout</code> with" in refusal(scene, scene.comment("/train"))


def test_a_list_of_pushes_that_lags_behind_decides_nothing(scene: Scene) -> None:
    (pull_request,) = scene.server.pull_requests(REPOSITORY)
    pull_request.head_sha = NEWER
    comment = scene.comment("/train")
    assert scene.admitted(comment) == 0
    (reply,) = scene.replies()
    assert "tell when <code>eeeeeee</code> was pushed" in reply
    assert sum(request.path.endswith("/activity") for request in scene.server.requests) == 4


def test_whoever_github_says_nothing_of_starts_nothing(scene: Scene) -> None:
    for status, told in ((403, "not accessible by integration"), (404, "Not Found")):
        comment = scene.comment("/train")
        scene.server.fail("GET", "/permission", status, times=3, message=f"Resource {told}")
        assert scene.admitted(comment) == 1
        assert comment.reactions == [(scene.server.login, "-1")]
    assert len(scene.replies()) == 2


def test_an_answer_that_cant_be_given_changes_nothing(scene: Scene) -> None:
    scene.server.read_only = True
    exit_code, log = scene.main(scene.comment("/train", "mallory"))
    assert exit_code == 0
    assert log.count("::warning title=No re") == 2


@pytest.mark.parametrize(
    ("body", "login", "event"),
    [
        ("Nice!", "alice", "issue_comment"),
        ("```\n/train\n```", "alice", "issue_comment"),
        ("/train", "renovate[bot]", "issue_comment"),
        ("/train", "alice", "pull_request_review_comment"),
    ],
)
def test_what_is_no_command_costs_no_request_and_is_green(scene: Scene, body: str, login: str, event: str) -> None:
    # Whatever else is wrong with the workflow.
    exit_code, log = scene.main(scene.comment(body, login), GITHUB_EVENT_NAME=event, INPUT_RUN="")
    assert (exit_code, log.count("::notice title=Nothing was started::")) == (0, 1), log
    assert scene.server.requests == []


def test_without_a_token_nobody_can_be_asked(scene: Scene) -> None:
    exit_code, log = scene.main(scene.comment("/train"), **{"INPUT_GITHUB-TOKEN": ""})
    assert (exit_code, "no `github-token`" in log) == (1, True)
