"""A push to a pull request's branch runs a ZenML pipeline on Lightning AI through the Action."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Finished, Step
from localcloud.stack import Stack
from scene import Actions, Laptop, wait_for

QUICKSTART = Path(__file__).parents[2] / "examples/quickstart"


def test_a_push_trains_and_the_pull_request_links_to_the_run(
    stack: Stack, cloud: LightningCloud, github: GitHub, actions: Actions, laptop: Laptop
) -> None:
    requests_before = len(cloud.requests)
    files = {path.name: path.read_text() for path in QUICKSTART.iterdir() if path.is_file()}
    step = actions.step(
        files,
        machine_type="cpu",
        requirements="requirements.txt",
        commands='export WORD=carried\necho "the word is $WORD on $LIGHTNING_ZENML_MACHINE"',
        env="MY_PASSWORD=correct-horse-battery",
        run='test -n "$MY_PASSWORD" && echo "still $WORD" && python run.py',
    )
    finished = step.run()

    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    outputs = finished.outputs
    assert outputs["status"] == "completed"
    assert outputs["studio-name"].startswith("zenml-model-")
    assert "the word is carried on CPU" in finished.log
    assert "still carried" in finished.log
    assert re.search(r"^::group::Command 2 of 2: echo", finished.log, re.MULTILINE)

    run = laptop.last_run()
    assert (run["id"], run["status"]) == (outputs["run-id"], "completed")
    assert run["metadata"]["orchestrator_url"] == outputs["orchestrator-url"]
    assert run["metadata"]["github"]["sha"] == step.sha
    target, token = f"octo/model#{actions.number}", {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": github.token}
    costs = json.loads(laptop.run("lightning-zenml", "cost", target, "--json", **token).stdout)
    # Other tests push to that branch, too.
    assert next(one["studio"] for one in costs if one["run_id"] == run["id"]) > 0

    comment = actions.comment()
    assert outputs["orchestrator-url"] in comment
    assert "completed" in comment
    assert "evaluate" in comment
    history = github.comments("octo/model", actions.number)[0].history
    assert "is starting" in history[0]
    assert outputs["comment-url"].endswith(f"#issuecomment-{github.comments('octo/model', actions.number)[0].id}")
    assert outputs["orchestrator-url"] in finished.summary

    assert cloud.studio(outputs["studio-name"]).deleted
    _no_secret_anywhere(stack, cloud, finished.log, comment, requests_before, step.workspace)


def _no_secret_anywhere(
    stack: Stack, cloud: LightningCloud, log: str, comment: str, requests_before: int, workspace: Path
) -> None:
    secrets = ["correct-horse-battery", stack.zenml_api_key, cloud.api_key]
    for secret in secrets:
        assert secret not in log
        assert secret not in comment
        told = [r.path for r in cloud.requests[requests_before:] if secret in f"{r.query}{r.body!r}"]
        assert told == []
    assert not [r for r in cloud.requests if "command-history" in r.path]
    assert not list(workspace.rglob("*.pyc"))


def test_async_leaves_and_the_run_completes_with_no_client_left(
    cloud: LightningCloud, actions: Actions, laptop: Laptop
) -> None:
    go = "python run.py; while ! test -e ~/go; do sleep 0.1; done; exit 3"
    step = actions.step(**{"async": "true"}, run=go)
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    assert finished.outputs["status"] == "running"
    assert finished.outputs["run-id"]
    assert "is running" in actions.comment()
    assert f"To follow it, run this action with `attach: {finished.outputs['launch-id']}`.\n" in finished.log
    (cloud.studio(finished.outputs["studio-name"]).home / "go").touch()
    wait_for(lambda: cloud.studio(finished.outputs["studio-name"]).deleted)
    run = laptop.last_run()
    assert (run["id"], run["status"]) == (finished.outputs["run-id"], "completed")

    # The studio is gone and the record with it: how the command ended, the run in ZenML tells.
    attached = replace(step, root=step.root.with_name("late"), inputs=attaching(step, finished)).run()
    assert (attached.exit_code, attached.outputs["status"]) == (1, "failed"), attached.log
    assert any("exit code 3" in message for level, message in attached.annotations if level == "error")


def test_a_later_step_attaches_and_finishes_the_same_comment(cloud: LightningCloud, actions: Actions) -> None:
    go = "python run.py; while ! test -e ~/go; do sleep 0.1; done"
    step = actions.step(**{"async": "true"}, studio_name="warm", run=go)
    left = step.run()
    assert left.outputs["status"] == "running", left.log
    later = replace(step, root=step.root.with_name("later"), inputs=attaching(step, left))
    go_on = cloud.studio("warm").home / "go"
    # It ends under the eyes of whoever follows it.
    attached = later.run(interrupt=lambda line: go_on.touch() if "Run: python run.py" in line else None)
    go_on.unlink()
    assert (attached.exit_code, attached.outputs["status"]) == (0, "completed"), attached.log
    assert attached.outputs["run-id"] == left.outputs["run-id"]
    comment = actions.comment()
    assert "completed" in comment
    assert "**Machine**" in comment
    assert "**Cost**" in comment
    assert re.search(r"cost \$0\.\d+", attached.log), attached.log
    wait_for(lambda: not cloud.running())

    again = replace(step, root=step.root.with_name("again"), inputs=attaching(step, left)).run()
    assert (again.exit_code, again.outputs["status"]) == (0, "completed"), again.log


def attaching(step: Step, earlier: Finished) -> dict[str, str]:
    """The inputs of a step that follows what an earlier one left."""
    without = {name: value for name, value in step.inputs.items() if name not in ("run", "async", "studio-name")}
    return {**without, "attach": earlier.outputs["launch-id"]}


def test_a_pull_request_event_names_its_head_commit(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(event_name="pull_request", studio_name="warm", run="echo no pipeline here")
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    head = step.event["pull_request"]["head"]["sha"]
    assert head[:7] in actions.comment()
    assert "fffffff" not in actions.comment()
    assert [level for level, text in finished.annotations if "no pipeline ran" in text] == ["warning"]


def test_a_named_studio_installs_once_and_is_stopped_again(cloud: LightningCloud, actions: Actions) -> None:
    first = actions.step(studio_name="warm").run()
    second = actions.step(studio_name="warm").run()
    assert (first.exit_code, second.exit_code) == (0, 0), first.log + second.log
    assert "unchanged on this studio" in second.log
    wait_for(lambda: not cloud.running())
    assert not cloud.studio("warm").deleted


def test_a_fork_costs_nothing(cloud: LightningCloud, actions: Actions) -> None:
    studios = len(cloud.studios)
    step = actions.step(event_name="pull_request", lightning_api_key="", zenml_store_api_key="")
    step.event["pull_request"]["head"]["repo"]["full_name"] = "stranger/model"
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0)
    assert [level for level, text in finished.annotations if "fork" in text] == ["notice"]
    assert len(cloud.studios) == studios
