from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.event import Event

HEAD, MERGE = "a" * 40, "b" * 40


def event(name: str, payload: Any, **environ: str) -> Event:
    variables = {
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": "/github/workflow/event.json",
        "GITHUB_REPOSITORY": "octo/repo",
        "GITHUB_SERVER_URL": "https://ghes.example",
        "GITHUB_API_URL": "https://ghes.example/api/v3/",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_WORKFLOW": "CI",
        "GITHUB_JOB": "train",
        "GITHUB_ACTOR": "alice",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": MERGE,
    }
    files = {"/github/workflow/event.json": json.dumps(payload)}
    return Event.from_environ({**variables, **environ}, read=lambda path: files[path])


def pull_request(head_repo: dict[str, str] | None) -> dict[str, Any]:
    head = {"sha": HEAD, "ref": "feature/x", "repo": head_repo}
    return {"action": "synchronize", "number": 5, "pull_request": {"number": 5, "head": head}}


def test_push() -> None:
    found = event("push", {"after": MERGE, "deleted": False})
    assert found == Event(
        name="push",
        repository="octo/repo",
        server_url="https://ghes.example",
        api_url="https://ghes.example/api/v3",
        run_id="77",
        run_attempt=1,
        workflow="CI",
        job="train",
        actor="alice",
        ref="refs/heads/main",
        branch="main",
        head_sha=MERGE,
        sha=MERGE,
        pull_requests=(),
        is_fork=False,
        is_dependabot=False,
        deleted=False,
    )
    assert found.run_url == "https://ghes.example/octo/repo/actions/runs/77"


def test_rerun_links_to_its_attempt() -> None:
    assert event("push", {}, GITHUB_RUN_ATTEMPT="2").run_url.endswith("/actions/runs/77/attempts/2")


def test_deleted_branch() -> None:
    assert event("push", {"deleted": True}).deleted
    assert event("delete", {}).deleted


def test_tag_has_no_branch() -> None:
    assert event("push", {}, GITHUB_REF="refs/tags/v1").branch == ""


@pytest.mark.parametrize("name", ["pull_request", "pull_request_target"])
def test_pull_request_is_of_its_head_not_of_the_merge(name: str) -> None:
    found = event(name, pull_request({"full_name": "Octo/Repo"}), GITHUB_REF="refs/pull/5/merge")
    assert (found.head_sha, found.branch, found.pull_requests) == (HEAD, "feature/x", (5,))
    assert not found.is_fork


@pytest.mark.parametrize("head_repo", [{"full_name": "mallory/repo"}, None])
def test_fork(head_repo: dict[str, str] | None) -> None:
    assert event("pull_request", pull_request(head_repo)).is_fork


def test_dependabot() -> None:
    assert event("push", {}, GITHUB_ACTOR="dependabot[bot]").is_dependabot
    # Started again by a person, it still gets no secrets but Dependabot's own.
    again = event("push", {"sender": {"login": "dependabot[bot]"}}, GITHUB_TRIGGERING_ACTOR="alice")
    assert again.is_dependabot
    assert not event("push", {"sender": {"login": "alice"}}).is_dependabot


def test_workflow_run_is_of_the_run_before() -> None:
    run = {
        "head_sha": HEAD,
        "head_branch": "feature/x",
        "head_repository": {"full_name": "mallory/repo"},
        # The head of pull requests here and in a repository that was forked from this one.
        "pull_requests": [{"number": 9, "base": {"repo": {"id": 1}}}, {"number": 2, "base": {"repo": {"id": 7}}}],
    }
    found = event("workflow_run", {"workflow_run": run, "repository": {"id": 1}})
    assert (found.head_sha, found.branch, found.pull_requests, found.is_fork) == (HEAD, "feature/x", (9,), True)


def test_comment_on_a_pull_request_names_it() -> None:
    assert event("issue_comment", {"issue": {"number": 3, "pull_request": {"url": "u"}}}).pull_requests == (3,)
    assert event("issue_comment", {"issue": {"number": 3}}).pull_requests == ()


def test_unreadable_payload_leaves_the_variables() -> None:
    def read(path: str) -> str:
        raise FileNotFoundError(path)

    found = Event.from_environ({"GITHUB_EVENT_NAME": "push", "GITHUB_SHA": MERGE, "GITHUB_REF": "refs/heads/x"}, read)
    assert "FileNotFoundError" in found.problem
    assert (found.head_sha, found.branch) == (MERGE, "x")
    assert found.server_url == "https://github.com"
    assert found.api_url == "https://api.github.com"


MEMBERS = (
    *("pull_request", "head", "base", "repo", "sha", "number", "issue", "workflow_run", "pull_requests", "check_run"),
    *("check_suite", "branches", "client_payload", "deployment", "merge_group"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
        )
    ),
)


NAMES = "push pull_request workflow_run check_run check_suite status deployment_status repository_dispatch merge_group"


@given(st.sampled_from([*NAMES.split(), "schedule", ""]), json_values)
def test_no_payload_crashes(name: str, payload: Any) -> None:
    found = event(name, payload)
    assert isinstance(found.head_sha, str)
    assert all(isinstance(number, int) for number in found.pull_requests)


PAYLOADS = json.loads(gzip.decompress((Path(__file__).parents[1] / "payloads" / "webhooks.json.gz").read_bytes()))
"""GitHub's published examples, see tests/payloads/README.md."""


def test_there_are_enough_examples() -> None:
    assert len(PAYLOADS) >= 200


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_published_payloads(number: int) -> None:
    name, payload = PAYLOADS[number]["event"], PAYLOADS[number]["payload"]
    repository = (payload.get("repository") or {}).get("full_name", "octo/repo")
    found = event(name, payload, GITHUB_REPOSITORY=repository)
    pull_request = payload.get("pull_request") or {}
    assert found.deleted == (name == "delete" or (name == "push" and payload["deleted"]))
    if name in ("pull_request", "pull_request_review"):
        assert found.head_sha == pull_request["head"]["sha"]
        assert found.branch == pull_request["head"]["ref"]
        assert found.pull_requests == (payload.get("number") or pull_request["number"],)
        same = (pull_request["head"]["repo"] or {}).get("full_name") == repository
        assert found.is_fork is not same
    elif name == "workflow_run":
        assert found.head_sha == payload["workflow_run"]["head_sha"]
    elif name == "merge_group":
        head = payload["merge_group"]["head_sha"]
        assert (found.head_sha, found.pull_requests, found.base_branch) == (head, (104,), "main")
    elif name in ("check_run", "check_suite"):
        check = payload[name]
        listed = check["pull_requests"] or check.get("check_suite", {}).get("pull_requests", [])
        assert found.head_sha == check["head_sha"]
        assert found.pull_requests == tuple(item["number"] for item in listed)
        assert found.is_settled is bool(listed)
        assert not found.is_fork
    elif name == "status":
        assert (found.head_sha, found.is_fork) == (payload["sha"], not payload["branches"])
    elif name in ("deployment", "deployment_status"):
        assert (found.head_sha, found.is_settled) == (payload["deployment"]["sha"], False)
    for has_secrets in (True, False):
        reason = found.reason_to_leave(has_secrets=has_secrets)
        assert reason is None or reason.endswith(("nothing to run.", "It cost nothing."))
    assert found.run_url.startswith(f"https://ghes.example/{repository}/")


FORK = {"full_name": "mallory/repo"}
OF_A_FORK = {"workflow_run": {"head_sha": HEAD, "head_repository": FORK}}


@pytest.mark.parametrize(
    ("name", "payload", "has_secrets", "words"),
    [
        ("push", {}, True, None),
        ("push", {}, False, None),
        ("push", {"deleted": True}, True, "deleted"),
        ("delete", {}, True, "deleted"),
        ("pull_request", pull_request({"full_name": "octo/repo"}), False, None),
        ("pull_request", pull_request(FORK), False, "gives no secrets"),
        # A private repository may be set to send its secrets to the pull requests of forks.
        ("pull_request", pull_request(FORK), True, None),
        ("pull_request_target", pull_request(FORK), True, "`pull_request_target` hands your secrets"),
        ("pull_request_target", pull_request(None), True, "a stranger's code would get your keys"),
        ("pull_request_target", pull_request({"full_name": "octo/repo"}), True, None),
        ("workflow_run", OF_A_FORK, True, "`workflow_run` hands your secrets"),
        ("schedule", {"schedule": "0 3 * * *"}, True, None),
        ("repository_dispatch", {"client_payload": {"deleted": True}}, True, None),
        ("release", {"action": "deleted", "deleted": True}, True, None),
    ],
)
def test_what_may_run(name: str, payload: Any, has_secrets: bool, words: str | None) -> None:
    reason = event(name, payload).reason_to_leave(has_secrets=has_secrets)
    assert (words in reason) if words and reason else reason is words


def test_dependabot_runs_with_secrets_of_its_own_only() -> None:
    found = event("pull_request", pull_request({"full_name": "octo/repo"}), GITHUB_ACTOR="dependabot[bot]")
    assert "Dependabot's secrets" in (found.reason_to_leave(has_secrets=False) or "")
    assert found.reason_to_leave(has_secrets=True) is None


HERE = {"id": 1, "full_name": "octo/repo"}
OURS = {"number": 4, "head": {"ref": "x", "repo": {"id": 1}}, "base": {"ref": "main", "repo": {"id": 1}}}
THEIRS = {**OURS, "head": {"ref": "x", "repo": {"id": 9}}}
DISPATCHED = {**pull_request(FORK)["pull_request"]}


@pytest.mark.parametrize(
    ("name", "payload", "runs", "asks"),
    [
        ("check_suite", {"check_suite": {"head_sha": HEAD, "head_branch": "x", "pull_requests": [OURS]}}, True, False),
        (
            "check_suite",
            {"check_suite": {"head_sha": HEAD, "head_branch": "x", "pull_requests": [THEIRS]}},
            False,
            False,
        ),
        ("check_suite", {"check_suite": {"head_sha": HEAD, "head_branch": "x", "pull_requests": []}}, True, True),
        # GitHub says nothing of the branch and the pull requests of forks.
        ("check_suite", {"check_suite": {"head_sha": HEAD, "head_branch": None, "pull_requests": []}}, False, False),
        ("check_run", {"check_run": {"head_sha": HEAD, "check_suite": {"head_branch": None}}}, False, False),
        ("check_run", {"check_run": {"head_sha": HEAD, "pull_requests": [OURS]}}, True, False),
        ("check_run", {"check_run": {"head_sha": HEAD, "pull_requests": [THEIRS]}}, False, False),
        ("status", {"sha": HEAD, "branches": []}, False, False),
        ("status", {"sha": HEAD, "branches": [{"name": "x", "commit": {"sha": HEAD}}]}, True, False),
        ("status", {"sha": HEAD}, True, True),
        ("deployment_status", {"deployment": {"sha": HEAD, "ref": "x"}}, True, True),
        ("pull_request_review", {"review": {"author_association": "MEMBER"}, **pull_request(FORK)}, False, False),
        ("repository_dispatch", {"client_payload": {"pull_request": DISPATCHED}}, False, False),
        ("repository_dispatch", {"client_payload": {"pull_request": {"number": 5}}}, True, True),
        ("repository_dispatch", {"client_payload": {"pull_request": "5"}}, True, True),
        ("repository_dispatch", {"client_payload": {"epochs": 3}}, True, False),
    ],
)
def test_a_forks_commit_is_refused_whatever_event_brings_it(name: str, payload: Any, runs: bool, asks: bool) -> None:
    found = event(name, {"repository": HERE, **payload})
    assert (found.reason_to_leave(has_secrets=True) is None, not found.is_settled) == (runs, asks)
    assert "a stranger's code" in (replace(found, is_fork=True).reason_to_leave(has_secrets=True) or "")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("issue_comment", "comment"),
        ("commit_comment", "comment"),
        ("pull_request_review", "review"),
        ("pull_request_review_comment", "comment"),
        ("discussion", "discussion"),
        ("discussion_comment", "comment"),
        ("issues", "issue"),
    ],
)
def test_what_strangers_write_starts_nothing(name: str, where: str) -> None:
    def reason(association: str | None) -> str | None:
        payload = {"action": "opened", where: {"author_association": association}}
        return event(name, payload).reason_to_leave(has_secrets=True)

    assert {reason(association) for association in ("OWNER", "MEMBER", "COLLABORATOR")} == {None}
    for association in ("NONE", "CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR", "FIRST_TIMER", "MANNEQUIN", None):
        assert "owner, member or collaborator" in (reason(association) or "")


def test_a_label_on_a_strangers_issue_is_a_members() -> None:
    labeled = event("issues", {"action": "labeled", "issue": {"author_association": "NONE"}})
    assert labeled.reason_to_leave(has_secrets=True) is None


@pytest.mark.parametrize("name", ["fork", "watch"])
def test_a_click_that_anybody_may_make_starts_nothing(name: str) -> None:
    assert "starts no paid machine" in (event(name, {}).reason_to_leave(has_secrets=True) or "")


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"check_run": {"head_sha": HEAD, "pull_requests": [OURS]}}, (HEAD, "x", (4,), "main")),
        ({"check_suite": {"head_sha": HEAD, "head_branch": "x", "pull_requests": [OURS]}}, (HEAD, "x", (4,), "main")),
        (
            {"merge_group": {"head_sha": HEAD, "head_ref": f"refs/heads/gh-readonly-queue/main/pr-8-{MERGE}"}},
            (HEAD, f"gh-readonly-queue/main/pr-8-{MERGE}", (8,), ""),
        ),
        ({"client_payload": {"pull_request": DISPATCHED}}, (HEAD, "feature/x", (5,), "")),
    ],
)
def test_commit_branch_and_pull_request_of_other_events(payload: Any, found: tuple[Any, ...]) -> None:
    (name,) = payload
    one = event("repository_dispatch" if name == "client_payload" else name, {"repository": HERE, **payload})
    assert (one.head_sha, one.branch, one.pull_requests, one.base_branch) == found
    # The default branch was checked out, as actions/checkout does unless told.
    assert (one.of_checkout(MERGE).head_sha, one.of_checkout(MERGE).pull_requests) == (MERGE, one.pull_requests)


@pytest.mark.parametrize(
    ("name", "commit", "runs"),
    [
        ("pull_request_target", HEAD, (HEAD, "feature/x")),
        ("pull_request_target", MERGE, (MERGE, "main")),
        # The test merge stands for the head, and the workflow's own choice for what it is about.
        ("pull_request", MERGE, (HEAD, "feature/x")),
        ("pull_request_target", "c" * 40, (HEAD, "feature/x")),
        ("pull_request_target", None, (HEAD, "feature/x")),
    ],
)
def test_the_commit_that_is_checked_out_is_the_one_that_runs(
    name: str, commit: str | None, runs: tuple[str, str]
) -> None:
    found = event(name, pull_request({"full_name": "octo/repo"})).of_checkout(commit)
    assert (found.head_sha, found.branch, found.pull_requests) == (*runs, (5,))


WHOLE = {"number": 5, "head": {"sha": HEAD, "ref": "x", "repo": HERE}, "base": {"ref": "main", "repo": HERE}}
ELSEWHERE = {"id": 2, "full_name": "octo/other"}
QUEUED = f"gh-readonly-queue/release/1.0/pr-8-{MERGE}"
NOTHING = (MERGE, (), True, False)


@pytest.mark.parametrize(
    ("name", "payload", "found"),
    [
        # Commit, pull requests, whether GitHub need not be asked, and whether it is a fork's.
        ("pull_request", {"pull_request": None, "number": 5}, (MERGE, (5,), False, False)),
        ("pull_request_target", {"pull_request": None}, (MERGE, (), False, False)),
        ("pull_request", {"number": 5, "pull_request": {**WHOLE, "number": None}}, (HEAD, (5,), True, False)),
        ("pull_request", {"pull_request": {**WHOLE, "head": None}}, (MERGE, (5,), False, False)),
        ("pull_request", {"pull_request": {**WHOLE, "head": {"sha": HEAD}}}, (MERGE, (5,), False, False)),
        ("pull_request", {"pull_request": {**WHOLE, "head": {"sha": None, "repo": HERE}}}, (MERGE, (5,), False, False)),
        ("pull_request", {"pull_request": {}}, (MERGE, (), True, True)),
        (
            "pull_request_review",
            {"pull_request": {**WHOLE, "head": {"sha": HEAD, "repo": None}}},
            (HEAD, (5,), True, True),
        ),
        # Renamed since the workflow ran first: the ids are what they were.
        (
            "pull_request",
            {"pull_request": {**WHOLE, "head": {"sha": HEAD, "repo": {"id": 1, "full_name": "octo/old"}}}},
            (HEAD, (5,), True, False),
        ),
        ("workflow_run", {"workflow_run": {"head_sha": HEAD, "head_repository": None}}, (HEAD, (), True, True)),
        ("workflow_run", {"workflow_run": {"head_sha": HEAD}}, (HEAD, (), False, False)),
        (
            "workflow_run",
            {
                "workflow_run": {
                    "head_sha": HEAD,
                    "head_repository": HERE,
                    "pull_requests": [None, OURS, 3, {"number": 0}],
                }
            },
            (HEAD, (4,), True, False),
        ),
        (
            "check_run",
            {"check_run": {"head_sha": HEAD, "check_suite": None, "pull_requests": [{"number": 4}]}},
            (HEAD, (4,), False, False),
        ),
        (
            "check_suite",
            {"check_suite": {"head_sha": HEAD, "head_branch": "x", "pull_requests": [THEIRS, {**OURS, "number": 6}]}},
            (HEAD, (4, 6), True, False),
        ),
        ("merge_group", {"merge_group": {"head_sha": HEAD, "head_ref": QUEUED}}, (HEAD, (8,), True, False)),
        ("merge_group", {"merge_group": None}, NOTHING),
        ("deployment_status", {"deployment": {"sha": HEAD, "ref": "refs/pull/5/merge"}}, (HEAD, (5,), False, False)),
        ("deployment", {"deployment": {"sha": HEAD, "ref": "5/merge"}}, (HEAD, (5,), False, False)),
        ("status", {"sha": HEAD, "branches": 1}, (HEAD, (), False, False)),
        ("deployment_status", {"deployment": None}, (MERGE, (), False, False)),
        *(
            (name, {member: values}, (MERGE, (5,), False, False))
            for name, member in (("repository_dispatch", "client_payload"), ("workflow_dispatch", "inputs"))
            for values in (
                {"pull_request": 5},
                {"pr_number": "#5"},
                {"pullRequestNumber": 5.0},
                {"pull_request": {"number": "5"}},
                {"pull_request": {"number": 5, "head": {"sha": HEAD}}},
                {"pr_url": "https://ghes.example/Octo/Repo/pull/5/files"},
                {"pull_request_url": "https://ghes.example/api/v3/repos/octo/repo/pulls/5"},
                {"issue": {"number": 5, "pull_request": {"url": "u"}}},
            )
        ),
        ("repository_dispatch", {"client_payload": {"pull_request": WHOLE}}, (HEAD, (5,), True, False)),
        *(
            ("repository_dispatch", {"client_payload": values}, NOTHING)
            for values in (
                None,
                [5],
                {"pr": True},
                {"pr": 0},
                {"pr": -5},
                {"pr": "9" * 5000},
                {"pr": "main"},
                {"pull_request": {"title": "It"}},
                {"issue": {"number": 5}},
                # Of another repository, whose numbers mean something else here.
                {"pull_request": {**WHOLE, "base": {"ref": "main", "repo": ELSEWHERE}}},
                {"pull_request": {"number": 5, "html_url": "https://ghes.example/octo/other/pull/5"}},
                {"pr_url": "https://ghes.example/octo/other/pull/5"},
            )
        ),
    ],
)
def test_payloads_that_are_cut_odd_or_of_another_repository(name: str, payload: Any, found: tuple[Any, ...]) -> None:
    one = event(name, {"repository": HERE, **payload})
    assert (one.head_sha, one.pull_requests, one.is_settled, one.is_fork) == found


def test_the_number_of_a_pull_request_may_stand_in_the_ref_alone() -> None:
    assert event("pull_request", {}, GITHUB_REF="refs/pull/5/merge").pull_requests == (5,)
    assert event("merge_group", {}, GITHUB_REF=f"refs/heads/{QUEUED}").pull_requests == (8,)
    queued = event("merge_group", {"merge_group": {"head_sha": HEAD, "head_ref": QUEUED, "base_ref": "release/1.0"}})
    assert (queued.branch, queued.base_branch) == (QUEUED, "release/1.0")


def test_what_runs_once_it_is_merged_is_the_base() -> None:
    merged = {"action": "closed", "pull_request": {**WHOLE, "merged": True}}
    found = event("pull_request", merged, GITHUB_HEAD_REF="x", GITHUB_REF="refs/heads/main")
    assert (found.head_sha, found.branch, found.pull_requests) == (MERGE, "main", (5,))
    closed = {"action": "closed", "pull_request": {**WHOLE, "merged": False}}
    found = event("pull_request", closed, GITHUB_HEAD_REF="x", GITHUB_REF="refs/pull/5/merge")
    assert (found.head_sha, found.branch, found.pull_requests) == (HEAD, "x", (5,))
