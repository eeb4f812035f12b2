"""The real client against the stand-in for GitHub, over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests

from lightning_zenml.action.github.admission import with_head
from lightning_zenml.action.github.client import (
    ForbiddenError,
    GitHub,
    GitHubError,
    InvalidError,
    NotFoundError,
    PullRequest,
    RateLimitedError,
    UnauthorizedError,
    UnreachableError,
)
from lightning_zenml.action.github.comments import Comment, Comments, Marker
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.rest import ATTEMPTS, GitHubRest
from lightning_zenml.action.github.workflow import Workflow
from localcloud import tls
from localcloud.chaos import Fault, Proxy
from localcloud.github import GitHub as LocalGitHub

REPOSITORY = "octo/repo"
HEAD, OLDER, MERGE, OTHER = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
RUN = Marker(key="CI/train", run_id=7, run_attempt=1)
MARKER = str(RUN)
BODY = f"{MARKER}\nstarting"


@pytest.fixture(params=["", "/api/v3"], ids=["github.com", "enterprise-server"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalGitHub]:
    with LocalGitHub(path=request.param) as server:
        server.add_pull_request(REPOSITORY, 5, HEAD, "feature/x", merge_commit_sha=MERGE, commits=(OLDER,))
        yield server
        assert server.refused == []


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the client would have slept."""
    return []


@pytest.fixture
def github(server: LocalGitHub, session: requests.Session, waits: list[float]) -> GitHub:
    return GitHub(server.url, server.token, session, sleep=waits.append)


@pytest.fixture
def comments(github: GitHub) -> Comments:
    return Comments(github, REPOSITORY, RUN)


def the_id(comment: Comment | None) -> int:
    assert comment
    return comment.id


def calls(server: LocalGitHub) -> list[str]:
    return [request.method for request in server.requests]


class TestPullRequestsOfCommit:
    @pytest.mark.parametrize("sha", [HEAD, MERGE])
    def test_head_and_merge(self, github: GitHub, server: LocalGitHub, sha: str) -> None:
        assert github.pull_requests_of_commit("Octo/Repo", sha) == (
            PullRequest(
                number=5,
                url=f"{server.server_url}/octo/repo/pull/5",
                head_sha=HEAD,
                head_ref="feature/x",
                base_ref="main",
                is_fork=False,
            ),
        )

    @pytest.mark.parametrize("sha", [OLDER, OTHER, "not-a-sha"])
    def test_other_commits(self, github: GitHub, sha: str) -> None:
        assert github.pull_requests_of_commit(REPOSITORY, sha) == ()

    def test_an_older_commit_counts_where_it_is_asked_for(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_pull_request(REPOSITORY, 6, HEAD, state="closed", commits=(OLDER,))
        assert [found.number for found in github.pull_requests_of_commit(REPOSITORY, OLDER, as_older=True)] == [5]
        assert github.pull_requests_of_commit(REPOSITORY, OTHER, as_older=True) == ()

    def test_closed_ones_do_not_count(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_pull_request(REPOSITORY, 6, HEAD, state="closed")
        assert [found.number for found in github.pull_requests_of_commit(REPOSITORY, HEAD)] == [5]

    def test_all_pages_are_read(self, github: GitHub, server: LocalGitHub) -> None:
        for number in range(100, 250):
            server.add_pull_request(REPOSITORY, number, HEAD)
        assert len(github.pull_requests_of_commit(REPOSITORY, HEAD)) == 151
        assert [request.query["per_page"] for request in server.requests] == ["100", "100"]

    def test_forks_pull_request_is_one_of_this_repository(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_pull_request(REPOSITORY, 7, OTHER, head_repo="mallory/repo")
        assert [found.number for found in github.pull_requests_of_commit(REPOSITORY, OTHER)] == [7]


class TestCommitsBetween:
    def test_those_of_the_one_that_the_other_has_not(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_branch(REPOSITORY, "main", OLDER, OTHER, MERGE)
        server.add_branch(REPOSITORY, "feature", OLDER, HEAD)
        assert github.commits_between(REPOSITORY, OLDER, "main") == 2
        assert github.commits_between(REPOSITORY, "feature", MERGE) == 2
        assert github.commits_between(REPOSITORY, "main", "main") == 0
        with pytest.raises(NotFoundError):
            github.commits_between(REPOSITORY, "5" * 40, "main")


class TestPullRequest:
    def test_its_head_and_whose_it_is(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_pull_request(REPOSITORY, 8, OTHER, "theirs", head_repo="mallory/repo")
        theirs, ours = github.pull_request(REPOSITORY, 8), github.pull_request("Octo/Repo", 5)
        assert (theirs.head_sha, theirs.head_ref, theirs.is_fork) == (OTHER, "theirs", True)
        assert (ours.head_sha, ours.base_ref, ours.is_fork) == (HEAD, "main", False)


class TestComment:
    def test_creates_then_edits(self, comments: Comments, server: LocalGitHub) -> None:
        created = comments.put(5, BODY)
        assert created
        assert created.url == f"{server.server_url}/octo/repo/pull/5#issuecomment-{created.id}"
        assert the_id(comments.put(5, f"{MARKER}\nrunning")) == created.id
        assert the_id(comments.put(5, f"{MARKER}\ndone", created.id)) == created.id
        (comment,) = server.comments(REPOSITORY, 5)
        assert comment.history == [BODY, f"{MARKER}\nrunning", f"{MARKER}\ndone"]
        # Created: look, post, look whether somebody did so too. Who it belongs to is asked once, when there is one.
        asked = ["GET", "POST", "GET", "POST"]
        assert calls(server) == [*asked, "GET", "PATCH", "GET", "PATCH"]

    def test_finds_it_on_a_later_page(self, comments: Comments, server: LocalGitHub) -> None:
        for number in range(150):
            server.add_comment(REPOSITORY, 5, f"chat {number}", login="alice", association="MEMBER")
        mine = server.add_comment(REPOSITORY, 5, BODY)
        assert the_id(comments.put(5, BODY)) == mine.id

    def test_other_keys_are_other_comments(self, comments: Comments, server: LocalGitHub) -> None:
        server.add_comment(REPOSITORY, 5, f"{Marker(key='CI/train2', run_id=7, run_attempt=1)}\nx")
        server.add_comment(REPOSITORY, 5, f"> {BODY}")
        comments.put(5, BODY)
        assert len(server.comments(REPOSITORY, 5)) == 3

    @pytest.mark.parametrize(("login", "association"), [("alice", "OWNER"), ("other[bot]", "NONE")])
    def test_nobody_elses_comment_is_touched(
        self, comments: Comments, server: LocalGitHub, login: str, association: str
    ) -> None:
        theirs = server.add_comment(REPOSITORY, 5, BODY, login=login, association=association)
        assert the_id(comments.put(5, f"{MARKER}\nours")) != theirs.id
        assert theirs.history == [BODY]

    @pytest.mark.parametrize(
        ("login", "association", "ours"),
        [("alice", "COLLABORATOR", True), ("some[bot]", "NONE", True), ("mallory", "CONTRIBUTOR", False)],
    )
    def test_where_github_does_not_say_who_we_are(
        self, comments: Comments, server: LocalGitHub, login: str, association: str, ours: bool
    ) -> None:
        server.fail("POST", "graphql", 403, times=3, message="Resource not accessible")
        found = server.add_comment(REPOSITORY, 5, BODY, login=login, association=association)
        assert (the_id(comments.put(5, BODY)) == found.id) is ours

    def test_of_two_the_older_is_edited_and_stays(self, comments: Comments, server: LocalGitHub) -> None:
        older, _ = (server.add_comment(REPOSITORY, 5, BODY) for _ in range(2))
        comments.put(5, f"{MARKER}\nx")
        assert server.comments(REPOSITORY, 5) == [older]
        assert older.history == [BODY, f"{MARKER}\nx"]

    def test_an_empty_list_and_no_answer_to_the_next_look_leave_one_comment(
        self, comments: Comments, server: LocalGitHub
    ) -> None:
        """The list that is read at once after a creation tells that there was one before."""
        before = server.add_comment(REPOSITORY, 5, BODY)
        with Proxy("github", server.url) as proxied:
            mine = Comments(GitHub(proxied.url, server.token, sleep=lambda _: None), REPOSITORY, RUN)
            proxied.fault(Fault.body("[]"), "GET", ".*/issues/{id}/comments", nth=1)
            for nth in range(2, 2 + ATTEMPTS):
                proxied.fault(Fault.status(503), "GET", ".*/issues/{id}/comments", nth=nth)
            mine.put(5, f"{MARKER}\nx")
        assert server.comments(REPOSITORY, 5) == [before]
        assert before.body == f"{MARKER}\nx"

    def test_deleted_meanwhile(self, comments: Comments, server: LocalGitHub) -> None:
        created = the_id(comments.put(5, BODY))
        server.delete_comment(created)
        again = the_id(comments.put(5, BODY, created))
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [again]
        assert again != created

    @pytest.mark.parametrize("status", [403, 404])
    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    def test_one_odd_answer_makes_no_second_comment(
        self, comments: Comments, server: LocalGitHub, method: str, status: int
    ) -> None:
        created = the_id(comments.put(5, BODY))
        server.fail(method, f"comments/{created}$", status)
        with suppress(GitHubError):
            comments.put(5, f"{MARKER}\nx", created)
        comments.put(5, f"{MARKER}\ny", created)
        assert [comment.body for comment in server.comments(REPOSITORY, 5)] == [f"{MARKER}\ny"]

    def test_comment_that_may_not_be_edited(self, comments: Comments, server: LocalGitHub) -> None:
        found = server.add_comment(REPOSITORY, 5, BODY)
        server.fail("PATCH", f"comments/{found.id}$", 403, times=99, message="Must have admin rights to Repository.")
        assert the_id(comments.put(5, f"{MARKER}\nx")) != found.id
        assert [comment.body for comment in server.comments(REPOSITORY, 5)] == [BODY, f"{MARKER}\nx"]


class TestSeveralRuns:
    @pytest.mark.parametrize(("run_id", "run_attempt"), [(8, 1), (7, 2), (10, 1)])
    def test_an_older_run_leaves_a_newer_ones_comment(
        self, github: GitHub, comments: Comments, server: LocalGitHub, run_id: int, run_attempt: int
    ) -> None:
        newer = Marker(key=RUN.key, run_id=run_id, run_attempt=run_attempt)
        mine = the_id(comments.put(5, BODY))
        assert the_id(Comments(github, REPOSITORY, newer).put(5, f"{newer}\nnewer")) == mine
        assert comments.put(5, f"{MARKER}\nlate", mine) is None
        assert comments.put(5, f"{MARKER}\nlate") is None
        assert server.comments(REPOSITORY, 5)[0].history == [BODY, f"{newer}\nnewer"]

    @pytest.mark.parametrize("first", [0, 1])
    def test_two_at_once_leave_one_comment(self, server: LocalGitHub, session: requests.Session, first: int) -> None:
        server.meet("GET", "issues/5/comments")
        markers = [Marker(key=RUN.key, run_id=run_id, run_attempt=1) for run_id in (7, 8)]
        if first:
            server.meet("POST", "issues/5/comments")
        with requests.Session() as other, ThreadPoolExecutor() as pool:
            clients = [GitHub(server.url, server.token, one, sleep=lambda _: None) for one in (session, other)]
            list(
                pool.map(
                    lambda client, marker: Comments(client, REPOSITORY, marker).put(5, f"{marker}\nx"), clients, markers
                )
            )
        assert sum(request.method == "POST" and "issues" in request.path for request in server.requests) == 2
        (comment,) = server.comments(REPOSITORY, 5)
        assert comment.body == f"{markers[1]}\nx"


class TestLostAnswers:
    def test_creation_is_not_repeated(self, comments: Comments, server: LocalGitHub, waits: list[float]) -> None:
        server.lose_answers("POST", "comments")
        created = the_id(comments.put(5, BODY))
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [created]
        assert waits == [2.0]

    @pytest.mark.parametrize("status", [None, 500, 502])
    def test_creation_that_never_happened_is_repeated(
        self, comments: Comments, server: LocalGitHub, status: int | None
    ) -> None:
        server.fail("POST", "comments", status)
        created = the_id(comments.put(5, BODY))
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [created]
        assert calls(server)[:4] == ["GET", "POST", "GET", "POST"]

    def test_creation_is_given_up_in_the_end(self, comments: Comments, server: LocalGitHub, waits: list[float]) -> None:
        server.fail("POST", "comments", None, times=99)
        with pytest.raises(UnreachableError, match="doesn't answer"):
            comments.put(5, BODY)
        assert calls(server).count("POST") == 6
        assert waits == [2.0, 4.0, 8.0, 16.0, 32.0]

    def test_edit_is_repeated(self, comments: Comments, server: LocalGitHub) -> None:
        created = the_id(comments.put(5, BODY))
        server.lose_answers("PATCH", "comments")
        assert the_id(comments.put(5, "x", created)) == created
        assert server.comments(REPOSITORY, 5)[0].history == [BODY, "x", "x"]

    def test_deletion_of_the_second_comment_is_repeated(
        self, server: LocalGitHub, session: requests.Session, github: GitHub, comments: Comments
    ) -> None:
        server.meet("GET", "issues/5/comments")
        server.lose_answers("DELETE", "comments")
        with requests.Session() as other, ThreadPoolExecutor() as pool:
            twin = Comments(GitHub(server.url, server.token, other, sleep=lambda _: None), REPOSITORY, RUN)
            list(pool.map(lambda one: one.put(5, BODY), [comments, twin]))
        assert len(server.comments(REPOSITORY, 5)) == 1


class TestRetries:
    @pytest.mark.parametrize("status", [None, 500, 502, 503, 504])
    def test_reads_and_edits_are_repeated(
        self, comments: Comments, server: LocalGitHub, waits: list[float], status: int | None
    ) -> None:
        mine = server.add_comment(REPOSITORY, 5, BODY)
        server.fail("GET", "comments", status, times=2)
        server.fail("PATCH", "comments", status, times=2)
        assert the_id(comments.put(5, BODY)) == mine.id
        assert calls(server) == ["GET"] * 3 + ["POST"] + ["PATCH"] * 3
        assert waits == [1, 2, 1, 2]

    def test_secondary_rate_limits_are_waited_for(
        self, comments: Comments, server: LocalGitHub, waits: list[float]
    ) -> None:
        server.fail("GET", "comments", 403, message="You have exceeded a secondary rate limit.")
        server.fail("POST", "comments", 403, headers={"Retry-After": "7"}, message="Slow down")
        comments.put(5, BODY)
        assert waits == [60, 7]
        assert len(server.comments(REPOSITORY, 5)) == 1

    def test_the_primary_rate_limit_is_waited_for_until_its_reset(
        self, server: LocalGitHub, session: requests.Session, waits: list[float]
    ) -> None:
        rest = GitHubRest(server.url, server.token, session, sleep=waits.append, clock=lambda: 1_000_000.0)
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000030"}
        server.fail("GET", "pulls/5", 403, headers=headers, message="API rate limit exceeded for installation.")
        assert rest.get(f"/repos/{REPOSITORY}/pulls/5")["number"] == 5
        assert waits == [31]

    @pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "3600"}), (403, {"Retry-After": "121"})])
    def test_nobody_waits_for_an_hour(
        self, comments: Comments, server: LocalGitHub, waits: list[float], status: int, headers: dict[str, str]
    ) -> None:
        server.fail("POST", "comments", status, headers=headers)
        with pytest.raises(RateLimitedError, match="Too many requests") as caught:
            comments.put(5, BODY)
        assert caught.value.retry_after == float(headers["Retry-After"])
        assert waits == []

    def test_who_has_no_time_does_not_wait(
        self, github: GitHub, server: LocalGitHub, comments: Comments, waits: list[float]
    ) -> None:
        github.rest.patience = 5
        server.fail("GET", "comments", 503, times=99)
        with pytest.raises(UnreachableError, match="503"):
            comments.put(5, BODY)
        assert waits == [1, 2]

    def test_reads_are_given_up_in_the_end(self, github: GitHub, server: LocalGitHub) -> None:
        server.fail("GET", "pulls", 503, times=99)
        with pytest.raises(UnreachableError, match="503"):
            github.pull_requests_of_commit(REPOSITORY, HEAD)
        assert calls(server) == ["GET"] * 6


class TestStatus:
    def test_is_set(self, github: GitHub, server: LocalGitHub) -> None:
        for state in ("pending", "success"):
            github.set_status(
                REPOSITORY, HEAD, context="CI/train", state=state, target_url="https://x.org", description="w" * 200
            )
        pending, done = server.statuses(REPOSITORY, HEAD)
        assert (pending.state, done.state, done.context, done.target_url) == (
            "pending",
            "success",
            "CI/train",
            "https://x.org",
        )
        assert done.description == "w" * 139 + "…"

    def test_missing_permission_is_named(self, github: GitHub, server: LocalGitHub) -> None:
        server.grants_statuses = False
        with pytest.raises(ForbiddenError, match="`statuses: write`"):
            github.set_status(REPOSITORY, HEAD, context="x", state="pending", target_url=None, description="x")


class TestErrors:
    def test_bad_token(self, server: LocalGitHub, session: requests.Session) -> None:
        with pytest.raises(UnauthorizedError, match=r"not valid.*401: Bad credentials"):
            GitHub(server.url, "wrong", session).pull_requests_of_commit(REPOSITORY, HEAD)

    def test_an_answer_of_another_shape_is_asked_for_again(
        self, comments: Comments, github: GitHub, server: LocalGitHub
    ) -> None:
        comments.put(5, BODY)
        with Proxy("github", server.url, addresses={}) as proxy:
            odd = proxy.fault(Fault.body("{}"), "GET", ".*/issues/{id}/comments", times=2)
            asking = GitHub(proxy.url, server.token, sleep=lambda seconds: None)
            Comments(asking, REPOSITORY, RUN).put(5, f"{MARKER}\nx")
            empty = proxy.fault(Fault.body("[]"), "GET", ".*/pulls", times=1)
            assert not asking.is_of_fork(REPOSITORY, HEAD)
        assert (odd.met, empty.met, empty.seen) == (2, 1, 2)
        (comment,) = server.comments(REPOSITORY, 5)
        assert comment.history == [BODY, f"{MARKER}\nx"]

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_one_refusal_decides_nothing(
        self, comments: Comments, github: GitHub, server: LocalGitHub, status: int
    ) -> None:
        server.fail("GET|POST", "comments|statuses", status, times=2)
        github.set_status(REPOSITORY, HEAD, context="x", state="pending", target_url=None, description="x")
        server.fail("POST", "comments", status, times=2)
        comments.put(5, BODY)
        assert [comment.body for comment in server.comments(REPOSITORY, 5)] == [BODY]

    def test_missing_permission_is_named(self, comments: Comments, server: LocalGitHub) -> None:
        server.read_only = True
        with pytest.raises(ForbiddenError, match="`pull-requests: write`"):
            comments.put(5, BODY)
        server.add_comment(REPOSITORY, 5, BODY)
        with pytest.raises(ForbiddenError, match="`pull-requests: write`"):
            comments.put(5, BODY)

    def test_who_may_not_even_read_is_told_of_all_that_is_missing(self, github: GitHub, server: LocalGitHub) -> None:
        server.grants_reading = False
        with pytest.raises(ForbiddenError, match="`pull-requests: write` and `contents: read`"):
            github.pull_requests_of_commit(REPOSITORY, HEAD)

    def test_locked_conversation_is_not_a_missing_permission(self, comments: Comments, server: LocalGitHub) -> None:
        server.fail("POST", "comments", 403, times=3, message="Unable to create comment because issue is locked.")
        with pytest.raises(ForbiddenError, match="issue is locked") as caught:
            comments.put(5, BODY)
        assert "permissions" not in str(caught.value)

    def test_unknown_pull_request(self, comments: Comments) -> None:
        with pytest.raises(NotFoundError, match="repos/octo/repo/issues/99/comments"):
            comments.put(99, BODY)

    def test_unknown_repository(self, github: GitHub) -> None:
        with pytest.raises(NotFoundError, match="`contents: read`"):
            github.pull_requests_of_commit("octo/other", HEAD)

    @pytest.mark.parametrize(("body", "reason"), [("x" * 65_537, "too long"), (" ", "cannot be blank")])
    def test_body_that_github_refuses(self, comments: Comments, body: str, reason: str) -> None:
        with pytest.raises(InvalidError, match=f"Validation Failed; .*{reason}"):
            comments.put(5, body)

    def test_longest_body_is_taken(self, comments: Comments) -> None:
        comments.put(5, "x" * 65_536)

    def test_nobody_listens(self, session: requests.Session, waits: list[float]) -> None:
        with LocalGitHub() as server:
            pass
        with pytest.raises(UnreachableError, match="doesn't answer"):
            GitHub(server.url, "t", session, sleep=waits.append).pull_requests_of_commit(REPOSITORY, HEAD)

    def test_an_authority_of_ones_own(self, session: requests.Session, tmp_path: Path) -> None:
        trusted, served = tls.certify(tmp_path)
        with LocalGitHub(path="/api/v3", certificate=served) as server:
            server.add_repository(REPOSITORY)
            github = GitHub(server.url, server.token, session)
            session.trust_env, session.verify = False, str(trusted)
            assert github.pull_requests_of_commit(REPOSITORY, HEAD) == ()
            session.verify = certifi.where()
            with pytest.raises(GitHubError, match="REQUESTS_CA_BUNDLE"):
                github.pull_requests_of_commit(REPOSITORY, HEAD)

    def test_token_is_in_no_error(self, session: requests.Session, waits: list[float]) -> None:
        with LocalGitHub(token="ghs_very_secret") as server:
            github = GitHub(server.url, server.token, session, sleep=waits.append)
            server.fail("GET", "", None, times=6)
            with pytest.raises(UnreachableError) as caught:
                github.pull_requests_of_commit(REPOSITORY, HEAD)
        assert "very_secret" not in str(caught.value)


class TestStandIn:
    """What the client never asks for, but the stand-in must know."""

    @pytest.mark.parametrize("body", [{}, {"body": 5}, {"bdy": "x"}])
    def test_wrong_bodies(self, server: LocalGitHub, session: requests.Session, body: object) -> None:
        url = f"{server.url}/repos/{REPOSITORY}/issues/5/comments"
        answer = session.post(url, json=body, headers={"Authorization": f"token {server.token}"})
        assert (answer.status_code, answer.json()["status"]) == (422, "422")

    def test_get_and_delete(self, server: LocalGitHub, session: requests.Session) -> None:
        comment = server.add_comment(REPOSITORY, 5, BODY)
        url = f"{server.url}/repos/{REPOSITORY}/issues/comments/{comment.id}"
        headers = {"Authorization": f"Bearer {server.token}"}
        assert session.get(url, headers=headers).json()["body"] == BODY
        assert session.delete(url, headers=headers).status_code == 204
        assert session.get(url, headers=headers).status_code == 404

    def test_unknown_routes_are_refused_and_recorded(self, session: requests.Session) -> None:
        with LocalGitHub() as server:
            answer = session.get(f"{server.url}/user", headers={"Authorization": f"Bearer {server.token}"})
            assert answer.status_code == 404
            assert [request.path for request in server.refused] == ["/user"]


@pytest.mark.parametrize(
    ("name", "payload", "sha", "found"),
    [
        # Since then the pull request has got another commit.
        ("check_run", {"check_run": {"head_sha": OLDER, "pull_requests": [{"number": 5}]}}, OTHER, (OLDER, (5,))),
        # A deployment of GitHub Actions has the test merge.
        ("deployment_status", {"deployment": {"sha": MERGE, "ref": "refs/pull/5/merge"}}, MERGE, (HEAD, (5,))),
        ("repository_dispatch", {"client_payload": {"pr": "5"}}, OTHER, (HEAD, (5,))),
        # ... of whatever else has numbers.
        ("workflow_dispatch", {"inputs": {"pr": "99"}}, OTHER, (OTHER, ())),
    ],
)
def test_what_a_payload_leaves_out_is_asked_for(
    github: GitHub, name: str, payload: dict[str, Any], sha: str, found: tuple[str, tuple[int, ...]]
) -> None:
    environ = {"GITHUB_EVENT_NAME": name, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_SHA": sha}
    event = Event.from_environ(environ, read=lambda path: json.dumps(payload))
    told = with_head(event, github, Workflow(environ, io.StringIO()))
    assert (told.head_sha, told.pull_requests) == found
    assert (told.is_settled, told.is_fork) == (True, False)
