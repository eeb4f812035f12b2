"""The comment's life and the commit status, whatever happens on GitHub's side. Most runs end before they cost."""

from __future__ import annotations

import html
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud import tls
from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Finished, Step
from localcloud.stack import Stack
from scene import BRANCH, REPOSITORY, TINY, Actions, Laptop, wait_for

NO_STACK = "There is no ZenML stack"
"""What a run says that ends soon after its beginning, see `ending`."""


def ending(actions: Actions, **inputs: str) -> Step:
    """A step whose run has a comment, and ends before anything is started."""
    return actions.step(stack="nope", **inputs)


def twin(step: Step, name: str, **variables: str) -> Step:
    """The same step in another job or workflow run."""
    return replace(step, root=step.root.with_name(f"{step.root.name}-{name}"), env={**step.env, **variables})


def all_at_once(*steps: Step) -> list[Finished]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda step: step.run(), steps))


def test_the_legs_of_a_matrix_have_a_comment_and_a_status_each(actions: Actions, github: GitHub) -> None:
    step = ending(actions)
    legs = [replace(twin(step, leg), matrix={"leg": leg, "lr": 0.1}) for leg in ("one", "two")]
    all_at_once(*legs)
    keys = ["Train/train (leg=one, lr=0.1)", "Train/train (leg=two, lr=0.1)"]
    bodies = sorted(comment.body for comment in github.comments(REPOSITORY, actions.number))
    assert [re.match(r"<!-- lightning-zenml: (.*) \| run", body)[1] for body in bodies] == keys  # type: ignore[index]
    assert ["leg&#61;one" in body for body in bodies] == [True, False]
    assert {status.context for status in github.statuses(REPOSITORY, step.sha)} == set(keys)


def test_legs_that_share_a_comment_write_it_at_the_same_time(actions: Actions, github: GitHub) -> None:
    step = ending(actions, comment_key="sweep")
    rates = {"lr=0.1": 0.1, "lr=1": 1}
    legs = [replace(twin(step, leg), inputs={**step.inputs, "leg": leg}, matrix={"lr": rates[leg]}) for leg in rates]
    # Both find no comment, and none of both knows of the other's row.
    github.meet("GET", f"issues/{actions.number}/comments")
    finished = all_at_once(*legs)
    comment = html.unescape(actions.comment())
    assert "<code>sweep</code> on Lightning AI: 2 ❌ failed" in comment
    for leg, rate in rates.items():
        assert re.search(rf"<code>{leg}</code>.* \| ❌ failed \| {rate} \|", comment), leg
    (written,) = github.comments(REPOSITORY, actions.number)
    assert {one.outputs["comment-url"].rpartition("-")[2] for one in finished} == {str(written.id)}
    contexts = {status.context for status in github.statuses(REPOSITORY, step.sha)}
    assert contexts == {"sweep (lr=0.1)", "sweep (lr=1)"}


def test_two_runs_at_once_leave_one_comment(actions: Actions, github: GitHub) -> None:
    step = ending(actions)
    github.meet("GET", f"issues/{actions.number}/comments")
    both = all_at_once(step, twin(step, "twin"))
    assert NO_STACK in actions.comment()
    assert {finished.outputs["comment-url"] for finished in both} <= {
        f"https://github.com/{REPOSITORY}/pull/{actions.number}#issuecomment-{comment.id}".replace(
            "https://github.com", github.server_url
        )
        for comment in github.comments(REPOSITORY, actions.number)
    }


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/v1"])
def test_a_run_of_another_branch_or_tag_with_the_same_commit_leaves_the_comment(
    actions: Actions, github: GitHub, ref: str
) -> None:
    step = ending(actions, event_name="pull_request")
    step.run()
    own = actions.comment()
    head = step.event["pull_request"]["head"]["sha"]
    moved = replace(twin(step, "moved", GITHUB_RUN_ID="1658830000"), event_name="push", ref=ref, sha=head)
    finished = replace(moved, event={"ref": ref, "after": head}).run()
    assert NO_STACK in finished.log
    assert actions.comment() == own
    pushed = replace(moved, root=step.root.with_name("pushed"), ref=f"refs/heads/{BRANCH}", event={"after": head})
    pushed.run()
    assert actions.comment() != own


def test_an_older_run_that_ends_late_leaves_the_comment_of_a_newer_one(actions: Actions, github: GitHub) -> None:
    step = ending(actions)
    twin(step, "newer", GITHUB_RUN_ID="1002").run()
    newest = actions.comment()
    late = twin(step, "older", GITHUB_RUN_ID="1001").run()
    assert actions.comment() == newest
    assert "newer workflow run" in late.log
    assert NO_STACK.replace(" ", "") in re.sub(r"\s|&#\d+;", "", late.summary)
    twin(step, "again", GITHUB_RUN_ID="1002", GITHUB_RUN_ATTEMPT="2").run()
    assert actions.comment() != newest


@pytest.mark.parametrize(
    "wrong",
    [
        "lost answer",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("reset", "bad gateway", "secondary limit")),
        "primary limit",
    ],
)
def test_what_goes_wrong_for_a_moment_is_overcome(actions: Actions, github: GitHub, wrong: str) -> None:
    step = ending(actions)
    comments = f"/issues/({actions.number}/)?comments"
    if wrong == "lost answer":
        github.lose_answers("POST", comments)
    elif wrong == "reset":
        github.fail("PATCH", comments, None)
    elif wrong == "bad gateway":
        github.fail("GET", "/pulls", 502)
    elif wrong == "secondary limit":
        github.fail("POST", comments, 403, headers={"Retry-After": "1"}, message="Slow down")
    else:
        limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
        github.fail("POST", comments, 403, headers=limit, message="API rate limit exceeded")
    finished = step.run()
    assert NO_STACK in actions.comment()
    assert [level for level, _ in finished.annotations] == ["error"]


def test_an_hours_rate_limit_holds_nobody_up_and_post_tells_what_main_could_not(
    actions: Actions, github: GitHub
) -> None:
    step = ending(actions)
    # At the start and at the end of main.
    github.fail("POST", f"/issues/{actions.number}/comments", 429, times=2, headers={"Retry-After": "3600"})
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0)
    assert [level for level, text in finished.annotations if "Too many requests to GitHub" in text] == ["warning"]
    (comment,) = github.comments(REPOSITORY, actions.number)
    assert "failed" in comment.history[0]
    assert "nope" in comment.history[0]


def test_a_token_that_may_only_read(actions: Actions, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "read_only", True)
    finished = ending(actions).run()
    (warning,) = [text for level, text in finished.annotations if level == "warning"]
    assert "`pull-requests: write`" in warning
    assert "was not started" in finished.summary


def test_without_the_permission_for_it_there_is_no_status_and_no_fuss(
    actions: Actions, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "grants_statuses", False)
    step = ending(actions)
    finished = step.run()
    assert [level for level, _ in finished.annotations] == ["error"]
    assert "::debug::No commit status: " in finished.log
    assert github.statuses(REPOSITORY, step.sha) == []


def test_comment_off_leaves_the_status(actions: Actions, github: GitHub) -> None:
    step = ending(actions, comment="off")
    step.run()
    assert github.comments(REPOSITORY, actions.number) == []
    pending, failure = github.statuses(REPOSITORY, step.sha)
    assert (pending.state, failure.state) == ("pending", "failure")
    assert (pending.context, failure.context) == ("Train/train", "Train/train")
    assert failure.description
    assert failure.description.startswith(NO_STACK)
    assert "/actions/runs/" in (failure.target_url or "")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", pytest.param("SSL_CERT_FILE", marks=pytest.mark.slow)])
def test_an_enterprise_server_with_an_authority_of_its_own(actions: Actions, tmp_path: Path, variable: str) -> None:
    trusted, served = tls.certify(tmp_path)
    step = ending(actions)
    variables = {"REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": "", variable: str(trusted)}
    with GitHub(path="/api/v3", certificate=served) as server:
        server.add_pull_request(REPOSITORY, 5, head_sha=step.sha, head_ref=BRANCH)
        finished = replace(twin(step, "there", **variables), api_url=server.url).run()
        (comment,) = server.comments(REPOSITORY, 5)
        assert server.refused == []
    assert "failed" in comment.body
    assert [level for level, _ in finished.annotations] == ["error"]


def test_debugging_shows_every_call_and_no_secret(
    actions: Actions, cloud: LightningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = actions.step(studio_name="warm", run="true", variables={"RUNNER_DEBUG": "1"})
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    calls = [line for line in finished.log.splitlines() if re.match(r"::debug::\w+ [A-Z]+ /\S*: \w+ in \d+ ms$", line)]
    for begin in (
        f"GitHub POST /repos/{REPOSITORY}/issues/{actions.number}/comments: 201",
        "ZenML POST /api/v1/login: 200",
        "Lightning GET /v1/memberships: 200",
    ):
        assert [call for call in calls if call.startswith(f"::debug::{begin} in ")], begin
    for secret in (cloud.api_key, actions.stack.zenml_api_key, step.token):
        assert secret not in finished.log
    quiet = twin(ending(actions), "quiet").run()
    assert "::debug::GitHub" not in quiet.log


def comment_event(step: Step, number: int) -> Step:
    """`/train`, somebody writes on the pull request; the workflow runs on the default branch."""
    comment = {"body": "/train", "author_association": "MEMBER"}
    event = {"action": "created", "issue": {"number": number, "pull_request": {}}, "comment": comment}
    return replace(step, event_name="issue_comment", event=event, sha="e" * 40, ref="refs/heads/main")


def test_a_comment_on_a_pull_request_of_our_own_runs_its_head(actions: Actions, github: GitHub) -> None:
    step = ending(actions)
    comment_event(step, actions.number).run()
    assert step.sha[:7] in actions.comment()
    assert BRANCH in actions.comment()
    assert [status.state for status in github.statuses(REPOSITORY, step.sha)] == ["pending", "failure"]


def test_a_comment_on_a_forks_pull_request_runs_nothing(
    actions: Actions, github: GitHub, cloud: LightningCloud
) -> None:
    step, studios = ending(actions), len(cloud.studios)
    github.add_pull_request(REPOSITORY, actions.number, head_sha=step.sha, head_repo="mallory/model")
    finished = comment_event(step, actions.number).run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0)
    assert [level for level, text in finished.annotations if "fork" in text] == ["notice"]
    assert github.comments(REPOSITORY, actions.number) == []
    assert len(cloud.studios) == studios


@pytest.mark.parametrize("token", ["", "ghs_not_ours"])
def test_whose_code_it_is_must_be_known(actions: Actions, token: str) -> None:
    step = replace(ending(actions), token=token)
    finished = comment_event(step, actions.number).run()
    assert finished.exit_code == 1
    assert [level for level, text in finished.annotations if "can't be found out" in text] == ["error"]


def test_whose_code_it_is_must_be_known_and_the_pull_request_says_so(actions: Actions, github: GitHub) -> None:
    step = ending(actions)
    github.fail("GET", f"/pulls/{actions.number}$", 403, times=99)
    assert comment_event(step, actions.number).run().exit_code == 1
    assert "Whose code this is can't be found out" in html.unescape(actions.comment())
    # Nobody knows which commit that is: not that of the default branch, for which GitHub runs the workflow.
    assert github.statuses(REPOSITORY, "e" * 40) == []


def test_post_tells_all_that_a_killed_main_knew(actions: Actions, github: GitHub, cloud: LightningCloud) -> None:
    run = "python run.py; echo the run is over; sleep 60"
    on_a_gpu = '@step(settings={"orchestrator.lightning": {"machine_type": "T4"}})\ndef train'
    script = TINY.replace("ARGUMENT", "None").replace("@step\ndef train", on_a_gpu)
    both = {"check_run": "true", "deployment": "true"}
    step = actions.step({"run.py": script}, studio_name="warm", machine_type="cpu", run=run, **both)
    finished = step.run(interrupt=lambda line: signal.SIGKILL if line.startswith("the run is over") else None)
    assert (finished.exit_code, finished.post_exit_code) == (-signal.SIGKILL, 0), finished.log
    comment = actions.comment()
    assert "was cancelled" in comment
    told = ["warm", "CPU", "T4", finished.outputs["launch-id"], finished.outputs["run-url"], "<code>train</code>"]
    assert [word for word in told if word not in comment] == []
    assert [status.state for status in github.statuses(REPOSITORY, step.sha)][-1] == "error"
    (check_run,) = github.check_runs(REPOSITORY, step.sha)
    assert (check_run.conclusion, [word for word in told if word not in check_run.summaries[-1]]) == ("cancelled", [])
    (deployment,) = [one for one in github.deployments(REPOSITORY) if one.sha == step.sha]
    assert deployment.statuses[-1].state == "inactive"
    wait_for(lambda: not cloud.running())


SLOW = {
    "run.py": "import time\nfrom zenml import pipeline, step\n"
    "@step\ndef wait() -> None:\n    time.sleep(300)\n"
    "@pipeline(enable_cache=False)\ndef slow():\n    wait()\nslow()\n"
}


def attaching(step: Step, earlier: Finished, name: str) -> Step:
    """A step of another workflow that follows what the earlier one left."""
    gone = ("run", "async", "studio-name", "keep-studio", "check-run", "deployment")
    inputs = {key: value for key, value in step.inputs.items() if key not in gone}
    other = {"GITHUB_WORKFLOW": "Follow", "GITHUB_JOB": "follow", "GITHUB_RUN_ID": "1658829999"}
    return replace(twin(step, name, **other), inputs={**inputs, "attach": earlier.outputs["launch-id"]})


@pytest.mark.slow
def test_another_workflow_finishes_comment_and_status(actions: Actions, github: GitHub, cloud: LightningCloud) -> None:
    go = "python run.py; while ! test -e ~/go; do sleep 0.1; done; rm ~/go"
    both = {"check_run": "true", "deployment": "true"}
    step = actions.step(**{"async": "true"}, studio_name="warm", run=go, **both)
    left = step.run()
    assert left.outputs["status"] == "running", left.log
    assert "is running" in actions.comment()
    (check_run,) = github.check_runs(REPOSITORY, step.sha)
    assert (check_run.status, check_run.details_url) == ("in_progress", left.outputs["orchestrator-url"])
    (deployment,) = [one for one in github.deployments(REPOSITORY) if one.sha == step.sha]
    assert deployment.statuses[-1].environment_url == left.outputs["orchestrator-url"]
    assert left.outputs["orchestrator-url"] in actions.comment()
    (*_, status) = github.statuses(REPOSITORY, step.sha)
    assert (status.state, status.target_url) == ("pending", left.outputs["orchestrator-url"])

    (cloud.studio("warm").home / "go").touch()
    follower = replace(attaching(step, left, "follow"), event_name="workflow_dispatch", event={}, sha="e" * 40)
    attached = follower.run()
    assert (attached.exit_code, attached.outputs["status"]) == (0, "completed"), attached.log
    assert "completed" in actions.comment()
    assert step.sha[:7] in actions.comment()
    assert attached.outputs["comment-url"] == left.outputs["comment-url"]
    (*_, status) = github.statuses(REPOSITORY, step.sha)
    assert (status.state, status.context) == ("success", "Train/train")
    assert (check_run.conclusion, deployment.statuses[-1].state) == ("success", "success")
    assert len(github.check_runs(REPOSITORY, step.sha)) == 1
    assert github.statuses(REPOSITORY, "e" * 40) == []
    assert github.check_runs(REPOSITORY, "e" * 40) == []


@pytest.mark.slow
def test_a_launch_that_failed_after_its_run_is_not_taken_for_a_success(actions: Actions, cloud: LightningCloud) -> None:
    run = "python run.py; while ! test -e ~/go; do sleep 0.1; done; exit 3"
    step = actions.step(**{"async": "true"}, studio_name="kept", keep_studio="keep", run=run)
    left = step.run()
    studio = cloud.studio("kept")
    (studio.home / "go").touch()
    record = studio.home / ".lightning_zenml/launches" / left.outputs["launch-id"] / "status.json"
    wait_for(lambda: '"finished"' in record.read_text())
    attached = attaching(step, left, "late").run()
    assert (attached.exit_code, attached.outputs["status"]) == (1, "failed"), attached.log
    assert "exit code 3" in actions.comment()
    actions.step(studio_name="kept", keep_studio="delete", run="true").run()


@pytest.mark.slow
def test_a_launch_whose_studio_was_lost_in_the_middle_has_failed(actions: Actions, cloud: LightningCloud) -> None:
    step = actions.step(SLOW, **{"async": "true"}, studio_name="lost", keep_studio="delete")
    left = step.run()
    assert left.outputs["status"] == "running", left.log
    told = actions.comment()
    refused = attaching(step, left, "refused")
    refused.inputs = {**refused.inputs, "lightning-api-key": "wrong"}
    assert refused.run().exit_code == 1
    assert actions.comment() == told, "a launch that can't be attached to goes on"

    cloud.knobs.vanish = {"lost"}
    attached = attaching(step, left, "late").run()
    assert (attached.exit_code, attached.outputs["status"]) == (1, "failed"), attached.log
    assert "in the middle of its run" in actions.comment()


WAITING = {
    "run.py": "import time\nfrom zenml import pipeline, step, wait\n"
    "@step\ndef deploy() -> None:\n    time.sleep(20)\n"
    "@pipeline(dynamic=True, enable_cache=False)\ndef approved():\n    wait(schema=bool, timeout=0)\n    deploy()\n"
    "if __name__ == '__main__':\n    approved()\n"
}


@pytest.mark.slow
def test_a_run_that_waits_for_somebody_is_paused_and_its_comment_goes_on_where_it_is_resumed(
    actions: Actions, github: GitHub, stack: Stack
) -> None:
    step = actions.step(WAITING, studio_name="warm")
    finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (1, "paused"), finished.log
    assert "is paused" in actions.comment()
    assert "zenml pipeline runs resume approved-" in finished.log
    assert [status.state for status in github.statuses(REPOSITORY, step.sha)][-1] == "pending"

    attached = attaching(step, finished, "late").run()
    assert (attached.exit_code, attached.outputs["status"]) == (1, "paused"), attached.log

    (condition,) = stack.zenml.request("GET", f"run_wait_conditions?pipeline_run={finished.outputs['run-id']}")["items"]
    answer = {"resolution": "continue", "result": True}
    stack.zenml.request("PUT", f"run_wait_conditions/{condition['id']}/resolve", answer)
    laptop = Laptop(stack, step.workspace)
    with laptop.start("zenml", "pipeline", "runs", "resume", finished.outputs["run-id"]) as resuming:
        wait_for(lambda: laptop.last_run()["status"] == "running")
        attached = attaching(step, finished, "resumed").run()
        resuming.communicate(timeout=300)
    assert (attached.exit_code, attached.outputs["status"]) == (0, "completed"), attached.log
    assert "completed" in actions.comment()
