"""The real client against the stand-in for GitHub, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from lightning_zenml.action.github import (
    Comment,
    ForbiddenError,
    GitHub,
    InvalidError,
    NotFoundError,
    PullRequest,
    RateLimitedError,
    UnauthorizedError,
    UnreachableError,
    new_session,
)
from localcloud.github import GitHub as LocalGitHub

REPOSITORY = "octo/repo"
HEAD, OLDER, MERGE, OTHER = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
MARKER = "<!-- lightning-zenml: CI/train -->"
BODY = f"{MARKER}\nstarting"


@pytest.fixture(params=["", "/api/v3"], ids=["github.com", "enterprise-server"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalGitHub]:
    with LocalGitHub(path=request.param) as server:
        server.add_pull_request(REPOSITORY, 5, HEAD, "feature/x", merge_commit_sha=MERGE, commits=(OLDER,))
        yield server
        assert server.refused == []


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with new_session(backoff=0) as session:
        yield session


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the client would have slept."""
    return []


@pytest.fixture
def github(server: LocalGitHub, session: requests.Session, waits: list[float]) -> GitHub:
    return GitHub(server.url, server.token, session, sleep=waits.append)


def calls(server: LocalGitHub) -> list[str]:
    return [request.method for request in server.requests]


class TestPullRequestsOfCommit:
    @pytest.mark.parametrize("sha", [HEAD, MERGE])
    def test_head_and_merge(self, github: GitHub, server: LocalGitHub, sha: str) -> None:
        assert github.pull_requests_of_commit("Octo/Repo", sha) == (
            PullRequest(number=5, url=f"{server.server_url}/octo/repo/pull/5", head_sha=HEAD, base_ref="main"),
        )

    @pytest.mark.parametrize("sha", [OLDER, OTHER, "not-a-sha"])
    def test_other_commits(self, github: GitHub, sha: str) -> None:
        assert github.pull_requests_of_commit(REPOSITORY, sha) == ()

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


class TestUpsert:
    def test_creates_then_edits(self, github: GitHub, server: LocalGitHub) -> None:
        created = github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert created == Comment(created.id, f"{server.server_url}/octo/repo/pull/5#issuecomment-{created.id}")
        assert github.upsert_comment(REPOSITORY, 5, MARKER, f"{MARKER}\nrunning") == created
        assert github.upsert_comment(REPOSITORY, 5, MARKER, f"{MARKER}\ndone", created.id) == created
        (comment,) = server.comments(REPOSITORY, 5)
        assert comment.history == [BODY, f"{MARKER}\nrunning", f"{MARKER}\ndone"]
        assert calls(server) == ["GET", "POST", "GET", "PATCH", "PATCH"]

    def test_finds_it_on_a_later_page(self, github: GitHub, server: LocalGitHub) -> None:
        for number in range(150):
            server.add_comment(REPOSITORY, 5, f"chat {number}", login="alice", association="MEMBER")
        mine = server.add_comment(REPOSITORY, 5, BODY)
        assert github.upsert_comment(REPOSITORY, 5, MARKER, BODY).id == mine.id

    def test_other_markers_are_other_comments(self, github: GitHub, server: LocalGitHub) -> None:
        server.add_comment(REPOSITORY, 5, "<!-- lightning-zenml: CI/train2 -->\nx")
        server.add_comment(REPOSITORY, 5, f"> {BODY}", login="alice", association="OWNER")
        github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert len(server.comments(REPOSITORY, 5)) == 3

    def test_outsiders_cannot_offer_a_comment(self, github: GitHub, server: LocalGitHub) -> None:
        theirs = server.add_comment(REPOSITORY, 5, BODY, login="mallory", association="CONTRIBUTOR")
        assert github.upsert_comment(REPOSITORY, 5, MARKER, BODY).id != theirs.id
        assert theirs.history == [BODY]

    def test_comment_of_a_person_with_a_token(self, github: GitHub, server: LocalGitHub) -> None:
        mine = server.add_comment(REPOSITORY, 5, BODY, login="alice", association="COLLABORATOR")
        assert github.upsert_comment(REPOSITORY, 5, MARKER, BODY).id == mine.id

    def test_of_two_the_older_is_edited(self, github: GitHub, server: LocalGitHub) -> None:
        older, newer = (server.add_comment(REPOSITORY, 5, BODY) for _ in range(2))
        github.upsert_comment(REPOSITORY, 5, MARKER, f"{MARKER}\nx")
        assert (len(older.history), len(newer.history)) == (2, 1)

    def test_deleted_meanwhile(self, github: GitHub, server: LocalGitHub) -> None:
        created = github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        server.delete_comment(created.id)
        again = github.upsert_comment(REPOSITORY, 5, MARKER, BODY, created.id)
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [again.id]
        assert again.id != created.id

    def test_comment_that_may_not_be_edited(self, github: GitHub, server: LocalGitHub) -> None:
        theirs = server.add_comment(REPOSITORY, 5, BODY, login="other[bot]")
        server.fail("PATCH", f"comments/{theirs.id}$", 403, message="Must have admin rights to Repository.")
        assert github.upsert_comment(REPOSITORY, 5, MARKER, BODY).id != theirs.id


class TestLostAnswers:
    def test_creation_is_not_repeated(self, github: GitHub, server: LocalGitHub, waits: list[float]) -> None:
        server.lose_answers("POST", "comments")
        created = github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [created.id]
        assert calls(server) == ["GET", "POST", "GET", "PATCH"]
        assert waits == [2.0]

    @pytest.mark.parametrize("status", [None, 500, 502])
    def test_creation_that_never_happened_is_repeated(
        self, github: GitHub, server: LocalGitHub, status: int | None
    ) -> None:
        server.fail("POST", "comments", status)
        created = github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert [comment.id for comment in server.comments(REPOSITORY, 5)] == [created.id]
        assert calls(server) == ["GET", "POST", "GET", "POST"]

    def test_creation_is_given_up_in_the_end(self, github: GitHub, server: LocalGitHub, waits: list[float]) -> None:
        server.fail("POST", "comments", None, times=99)
        with pytest.raises(UnreachableError, match="doesn't answer"):
            github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert calls(server).count("POST") == 4
        assert waits == [2.0, 4.0, 8.0]

    def test_edit_is_repeated(self, github: GitHub, server: LocalGitHub) -> None:
        created = github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        server.lose_answers("PATCH", "comments")
        assert github.upsert_comment(REPOSITORY, 5, MARKER, "x", created.id) == created
        assert server.comments(REPOSITORY, 5)[0].history == [BODY, "x", "x"]


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_reads_and_edits_are_repeated(self, github: GitHub, server: LocalGitHub, status: int) -> None:
        mine = server.add_comment(REPOSITORY, 5, BODY)
        server.fail("GET", "comments", status, times=2, headers={"Retry-After": "0"})
        server.fail("PATCH", "comments", status, times=2)
        assert github.upsert_comment(REPOSITORY, 5, MARKER, BODY).id == mine.id
        assert calls(server) == ["GET"] * 3 + ["PATCH"] * 3

    def test_secondary_rate_limit_is_waited_for(self, github: GitHub, server: LocalGitHub, waits: list[float]) -> None:
        limit = {"headers": {"Retry-After": "0"}, "message": "You have exceeded a secondary rate limit."}
        server.fail("GET", "comments", 403, **limit)
        server.fail("POST", "comments", 403, headers={"Retry-After": "7"}, message="Slow down")
        github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert calls(server) == ["GET", "GET", "POST", "GET", "POST"]
        assert waits == [7]

    def test_an_hours_wait_is_cut(self, github: GitHub, server: LocalGitHub, waits: list[float]) -> None:
        server.fail("POST", "comments", 429, headers={"Retry-After": "3600"})
        github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert waits == [60]

    def test_reads_are_given_up_in_the_end(self, github: GitHub, server: LocalGitHub) -> None:
        server.fail("GET", "pulls", 503, times=99)
        with pytest.raises(UnreachableError, match="503"):
            github.pull_requests_of_commit(REPOSITORY, HEAD)
        assert calls(server) == ["GET"] * 4

    def test_rate_limit_is_not_taken_for_a_missing_permission(self, github: GitHub, server: LocalGitHub) -> None:
        server.fail("GET", "pulls", 403, message="API rate limit exceeded for installation.")
        with pytest.raises(RateLimitedError, match="Too many requests"):
            github.pull_requests_of_commit(REPOSITORY, HEAD)


class TestErrors:
    def test_bad_token(self, server: LocalGitHub, session: requests.Session) -> None:
        with pytest.raises(UnauthorizedError, match=r"not valid.*401: Bad credentials"):
            GitHub(server.url, "wrong", session).pull_requests_of_commit(REPOSITORY, HEAD)

    def test_missing_permission_is_named(self, github: GitHub, server: LocalGitHub) -> None:
        server.read_only = True
        with pytest.raises(ForbiddenError, match="`pull-requests: write`"):
            github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        server.add_comment(REPOSITORY, 5, BODY)
        with pytest.raises(ForbiddenError, match="`pull-requests: write`"):
            github.upsert_comment(REPOSITORY, 5, MARKER, BODY)

    def test_locked_conversation_is_not_a_missing_permission(self, github: GitHub, server: LocalGitHub) -> None:
        server.fail("POST", "comments", 403, message="Unable to create comment because issue is locked.")
        with pytest.raises(ForbiddenError, match="issue is locked") as caught:
            github.upsert_comment(REPOSITORY, 5, MARKER, BODY)
        assert "permissions" not in str(caught.value)

    def test_unknown_pull_request(self, github: GitHub) -> None:
        with pytest.raises(NotFoundError, match="repos/octo/repo/issues/99/comments"):
            github.upsert_comment(REPOSITORY, 99, MARKER, BODY)

    def test_unknown_repository(self, github: GitHub) -> None:
        with pytest.raises(NotFoundError, match="`contents: read`"):
            github.pull_requests_of_commit("octo/other", HEAD)

    @pytest.mark.parametrize(("body", "reason"), [("x" * 65_537, "too long"), (" ", "cannot be blank")])
    def test_body_that_github_refuses(self, github: GitHub, body: str, reason: str) -> None:
        with pytest.raises(InvalidError, match=f"Validation Failed; .*{reason}"):
            github.upsert_comment(REPOSITORY, 5, MARKER, body)

    def test_longest_body_is_taken(self, github: GitHub) -> None:
        github.upsert_comment(REPOSITORY, 5, MARKER, "x" * 65_536)

    def test_nobody_listens(self, session: requests.Session) -> None:
        with LocalGitHub() as server:
            pass
        with pytest.raises(UnreachableError, match="doesn't answer"):
            GitHub(server.url, "t", session).pull_requests_of_commit(REPOSITORY, HEAD)

    def test_token_is_in_no_error(self, session: requests.Session) -> None:
        with LocalGitHub(token="ghs_very_secret") as server:
            github = GitHub(server.url, server.token, session, sleep=lambda _: None)
            server.fail("GET", "", None, times=4)
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
