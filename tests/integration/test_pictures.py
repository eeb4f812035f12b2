"""Pictures on a branch of the repository: the real client against the stand-in for GitHub, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from lightning_zenml.action.github.client import ForbiddenError, GitHub, GitHubError, UnreachableError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.report.visualizations.branch import PicturesOnBranch
from lightning_zenml.action.report.visualizations.records import VisualizationFile
from localcloud.github import GitHub as LocalGitHub

REPOSITORY = "octo/repo"
NOVEMBER = datetime(2026, 11, 29, tzinfo=UTC).timestamp()
BRANCH = "refs/heads/lightning-zenml-pictures/2026-11"


@pytest.fixture
def server() -> Iterator[LocalGitHub]:
    with LocalGitHub() as server:
        server.add_repository(REPOSITORY)
        yield server
        assert server.refused == []


def pictures(server: LocalGitHub, moment: float = NOVEMBER) -> PicturesOnBranch:
    variables = {
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SERVER_URL": server.server_url,
        "GITHUB_API_URL": server.url,
        "GITHUB_RUN_ID": "7",
    }
    github = GitHub(server.url, server.token, sleep=lambda seconds: None)
    return PicturesOnBranch(github, Event.from_environ(variables), clock=lambda: moment)


def publish(pictures: PicturesOnBranch, *contents: bytes, ending: str = "png") -> tuple[str, ...]:
    """Puts pictures onto the branch; their addresses."""
    files = [
        VisualizationFile(run="train-1", artifact="plot", name="plot", ending=ending, content=content)
        for content in contents
    ]
    published = pictures.publish(files)
    assert {one.path for one in published} == {""}
    return tuple(one.url for one in published)


def behind(server: LocalGitHub, address: str) -> bytes | None:
    """What the page at an address shows."""
    assert address.startswith(f"{server.server_url}/{REPOSITORY}/blob/")
    assert address.endswith("?raw=true")
    *_, sha, name = urlsplit(address).path.split("/")
    return server.objects.file(sha, name)


def test_a_link_shows_its_picture_whatever_comes_later(server: LocalGitHub) -> None:
    first = publish(pictures(server), b"one", b"two", b"one", ending="jpg")
    second = publish(pictures(server), b"three")
    assert [behind(server, address) for address in (*first, *second)] == [b"one", b"two", b"one", b"three"]
    assert first[0] == first[2]
    (branch,) = server.objects.references(REPOSITORY)
    assert branch == BRANCH
    head = server.objects.commit(server.objects.references(REPOSITORY)[BRANCH])
    assert head
    assert "[skip ci]" in head.message
    assert len(server.objects.tree(head.tree) or ()) == 3


def test_all_who_write_at_once_get_theirs_in(server: LocalGitHub) -> None:
    contents = [f"picture {number}".encode() for number in range(5)]
    server.meet("GET", "/git/matching-refs/", parties=5)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda content: publish(pictures(server), content), contents))
    assert [behind(server, address) for (address,) in found] == contents
    head = server.objects.references(REPOSITORY)[BRANCH]
    commit = server.objects.commit(head)
    assert commit
    assert len(server.objects.tree(commit.tree) or ()) == 5
    assert {request.body.get("force") for request in server.requests if request.method == "PATCH"} == {False}


@pytest.mark.parametrize("path", ["/git/refs", "/git/refs/heads/", "/git/blobs", "/git/trees", "/git/commits"])
def test_a_lost_answer_is_no_matter(server: LocalGitHub, path: str) -> None:
    publish(pictures(server), b"before" if path.endswith("heads/") else b"x")
    if path == "/git/refs":
        server.objects.refer(REPOSITORY, BRANCH, None)
    server.lose_answers("PATCH" if path.endswith("heads/") else "POST", f"{path}")
    (address,) = publish(pictures(server), b"one")
    assert behind(server, address) == b"one"


def test_a_branch_that_is_gone_meanwhile_is_made_anew(server: LocalGitHub) -> None:
    publish(pictures(server), b"one")
    server.fail("PATCH", "/git/refs/", 422, message="Reference does not exist")
    (address,) = publish(pictures(server), b"two")
    assert behind(server, address) == b"two"


def test_without_the_permission_the_error_names_it(server: LocalGitHub) -> None:
    server.grants_contents = False
    with pytest.raises(ForbiddenError, match="`contents: write`"):
        publish(pictures(server), b"one")
    assert server.objects.references(REPOSITORY) == {}


def test_github_that_is_away_is_not_asked_for_ever(server: LocalGitHub) -> None:
    server.fail("POST", "/git/blobs", 502, times=100)
    with pytest.raises(UnreachableError):
        publish(pictures(server), b"one")
    assert len(server.requests) <= 4


def test_a_branch_that_rules_protect_is_given_up(server: LocalGitHub) -> None:
    server.fail("POST", "/git/refs$", 422, times=100, message="Repository rule violations found")
    with pytest.raises(GitHubError, match="rule violations"):
        publish(pictures(server), b"one")
    assert len(server.requests) < 50


def test_branches_of_months_long_over_are_deleted_and_no_others(server: LocalGitHub) -> None:
    for month in (6, 7, 8, 9, 10):
        publish(pictures(server, datetime(2026, month, 1, tzinfo=UTC).timestamp()), b"old")
    head = next(iter(server.objects.references(REPOSITORY).values()))
    for other in ("refs/heads/lightning-zenml-pictures/mine", "refs/heads/2026-01"):
        server.objects.refer(REPOSITORY, other, head)
    server.lose_answers("DELETE", "2026-06")
    pictures(server).clean_up()
    beginning = "refs/heads/lightning-zenml-pictures"
    left = [name.removeprefix(beginning) for name in server.objects.references(REPOSITORY)]
    assert left == ["refs/heads/2026-01", "/2026-08", "/2026-09", "/2026-10", "/mine"]
    january = datetime(2027, 1, 2, tzinfo=UTC).timestamp()
    pictures(server, january).clean_up()
    left = [name.removeprefix(beginning) for name in server.objects.references(REPOSITORY)]
    assert left == ["refs/heads/2026-01", "/2026-10", "/mine"]
