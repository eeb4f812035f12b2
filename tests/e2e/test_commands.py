"""Commands in comments, through the Action's entrypoint."""

from __future__ import annotations

import html
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Step
from localcloud.schemas.objects import Comment
from scene import BRANCH, REPOSITORY, TINY, Actions, Laptop, wait_for

SLOW = TINY.replace("ARGUMENT", "None").replace('print("loading")', "import time; time.sleep(600)")


def commented(step: Step, comment: Comment, name: str) -> Step:
    """The step in a workflow that the comment has started, with the pull request's head checked out."""
    event = {
        "action": "created",
        "issue": {"number": comment.number, "pull_request": {"url": "u"}},
        "comment": {
            "id": comment.id,
            "body": comment.body,
            "created_at": datetime.now(UTC).isoformat(),
            "user": {"login": comment.login, "type": "User"},
            "author_association": "MEMBER",
        },
    }
    inputs = {**step.inputs, "command-from": "comment", "command-parameters": "lr: number"}
    root = step.root.with_name(name)
    return replace(
        step, root=root, event_name="issue_comment", event=event, ref="refs/heads/main", sha="d" * 40, inputs=inputs
    )


def test_a_comment_trains_another_follows_and_a_third_one_stops(
    cloud: LightningCloud, github: GitHub, actions: Actions, laptop: Laptop
) -> None:
    step = actions.step({"run.py": SLOW}, run='echo "lr is $COMMAND_LR" && python run.py', studio_name="warm")
    step = replace(step, inputs={**step.inputs, "async": "true"})
    github.push(REPOSITORY, BRANCH, "0" * 40, step.sha, datetime.now(UTC) - timedelta(minutes=1))
    github.add_collaborator(REPOSITORY, "alice", "write")
    asked = github.add_comment(REPOSITORY, actions.number, "/train lr=1e-3\n\nLooks good.", login="alice")
    left = commented(step, asked, "train").run()
    assert (left.exit_code, left.outputs["status"]) == (0, "running"), left.log
    assert "lr is 1e-3" in left.log
    assert asked.reactions == [(github.login, "rocket")]
    told = github.comments(REPOSITORY, actions.number)[1]
    assert "<code>/train lr&#61;1e-3</code>" in told.body
    run = laptop.last_run()
    assert run["metadata"]["github"]["sha"] == step.sha
    assert run["metadata"]["github"]["pull_request"] == actions.number
    following, attach = threading.Event(), github.add_comment(REPOSITORY, actions.number, "/attach", login="alice")

    def look(line: str) -> None:
        if "lr is 1e-3" in line:
            following.set()

    with ThreadPoolExecutor() as pool:
        attaching = pool.submit(commented(step, attach, "attach").run, interrupt=look)
        wait_for(lambda: following.is_set() or attaching.done())
        assert not attaching.done(), attaching.result().log
        stop = github.add_comment(REPOSITORY, actions.number, "/stop", login="alice")
        stopped = commented(step, stop, "stop").run()
        attached = attaching.result()
    assert (stopped.exit_code, stopped.post_exit_code) == (0, 0), stopped.log
    assert stop.reactions == attach.reactions == [(github.login, "rocket")]
    assert (attached.exit_code, attached.outputs["status"]) == (1, "stopped"), attached.log
    assert attached.outputs["launch-id"] == left.outputs["launch-id"]
    assert "was stopped" in told.body
    wait_for(lambda: laptop.last_run()["status"] == "stopped")
    wait_for(lambda: not cloud.running())
    again = github.add_comment(REPOSITORY, actions.number, "/attach", login="alice")
    refused = commented(step, again, "again").run()
    assert (refused.exit_code, again.reactions) == (0, [(github.login, "-1")]), refused.log
    assert "Nothing runs" in github.comments(REPOSITORY, actions.number)[-1].body


def test_a_run_that_nobody_follows_is_told_as_stopped_by_what_stops_it(
    cloud: LightningCloud, github: GitHub, actions: Actions, laptop: Laptop
) -> None:
    both = {"check_run": "true", "deployment": "true"}
    step = actions.step({"run.py": SLOW}, **{"async": "true"}, **both)
    left = step.run()
    assert (left.exit_code, left.outputs["status"]) == (0, "running"), left.log
    github.add_collaborator(REPOSITORY, "bob", "write")
    asked = github.add_comment(REPOSITORY, actions.number, f"/stop {left.outputs['launch-id']}", login="bob")
    stopped = commented(step, asked, "stop").run()
    assert (stopped.exit_code, stopped.post_exit_code) == (0, 0), stopped.log
    assert stopped.annotations == []
    assert asked.reactions == [(github.login, "rocket")]
    assert not cloud.running()
    assert laptop.last_run()["status"] == "stopped"
    told, command = github.comments(REPOSITORY, actions.number)
    assert (command, "was stopped" in told.body) == (asked, True)
    assert "(deleted with its studio)" in told.body
    assert "| **Cost**" in told.body
    (*_, status) = github.statuses(REPOSITORY, step.sha)
    assert (status.state, status.context) == ("error", "Train/train")
    (check_run,) = github.check_runs(REPOSITORY, step.sha)
    (deployment,) = [one for one in github.deployments(REPOSITORY) if one.sha == step.sha]
    assert (check_run.conclusion, deployment.statuses[-1].state) == ("cancelled", "error")


def test_a_command_to_a_workflow_with_bad_inputs_is_answered(github: GitHub, actions: Actions) -> None:
    step = actions.step(zenml_store_api_key="", lightning_api_key="")
    asked = github.add_comment(REPOSITORY, actions.number, "/train", login="alice")
    finished = commented(step, asked, "train").run()
    assert (finished.exit_code, [level for level, _ in finished.annotations]) == (1, ["error", "error"])
    (_, answer) = github.comments(REPOSITORY, actions.number)
    assert [
        name
        for name in ("lightning-api-key", "zenml-store-api-key")
        if f"<code>{name}" not in html.unescape(answer.body)
    ] == []
