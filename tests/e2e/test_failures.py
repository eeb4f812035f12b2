"""What goes wrong ends in one clear error, a non-zero exit, a comment that says so, and nothing left running."""

from __future__ import annotations

import html
import math

import pytest

from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.runner import Finished
from scene import REPOSITORY, TINY, Actions, Laptop

FAILING = {"run.py": TINY.replace("ARGUMENT", "'fail'")}


def errors(finished: Finished) -> list[str]:
    return [message for level, message in finished.annotations if level == "error"]


def one_error(finished: Finished) -> str:
    (message,) = errors(finished)
    return message


def test_a_failing_step(actions: Actions, laptop: Laptop) -> None:
    finished = actions.step(FAILING, studio_name="warm").run()
    assert finished.exit_code == 1
    assert finished.outputs["status"] == "failed"
    assert one_error(finished) == "Step `train` failed: ValueError: the loss is NaN"
    line = next(n for n, text in enumerate(FAILING["run.py"].splitlines(), 1) if "raise ValueError" in text)
    assert f"file=run.py,line={line}::" in finished.log
    assert "the loss is NaN" in finished.log
    comment = actions.comment()
    assert "failed" in comment
    assert "the loss is NaN" in comment
    assert laptop.last_run()["status"] == "failed"


def test_a_failing_command_is_named_with_its_output(actions: Actions) -> None:
    finished = actions.step(studio_name="warm", commands="true\necho out of luck; exit 3").run()
    assert finished.exit_code == 1
    assert "Command 2 of 2 failed with exit code 3: echo out of luck" in one_error(finished)
    assert "out of luck" in actions.comment()


def test_requirements_that_do_not_exist(actions: Actions) -> None:
    files = {"run.py": "", "requirements.txt": "lightning-zenml-no-such-package==1\n"}
    finished = actions.step(files, studio_name="warm", requirements="requirements.txt").run()
    assert finished.exit_code == 1
    assert "can't be installed" in one_error(finished)
    assert "no-such-package" in actions.comment()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"lightning_api_key": "wrong-key"}, "Lightning refuses the API key (401)"),
        ({"machine_type": "H10"}, "Unknown machine 'H10'. Did you mean"),
        ({"zenml_store_url": "http://127.0.0.1:9"}, "ZenML server http://127.0.0.1:9 can't be reached"),
        ({"zenml_store_api_key": "ZENKEY_wrong"}, "refuses the API key"),
        ({"stack": "nope"}, "There is no ZenML stack `nope`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_can_be_checked_before_anything_is_started(
    cloud: LightningCloud, actions: Actions, inputs: dict[str, str], words: str
) -> None:
    studios = len(cloud.studios)
    finished = actions.step(**inputs).run()
    assert finished.exit_code == 1
    assert words in one_error(finished)
    assert "Traceback" not in finished.log
    assert "failed" in actions.comment()
    assert len(cloud.studios) == studios


@pytest.mark.parametrize("event_name", ["push", "pull_request"])
def test_bad_inputs_are_all_reported(cloud: LightningCloud, github: GitHub, actions: Actions, event_name: str) -> None:
    studios = len(cloud.studios)
    step = actions.step(event_name=event_name, run="", keep_studio="maybe", **{"async": "yes"})
    finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (1, "failed")
    assert len(errors(finished)) == 3
    told = ("was not started", "<code>run</code> is required", "<code>maybe</code>", "<code>yes</code>")
    assert [words for words in told if words not in html.unescape(actions.comment())] == []
    head = step.event["pull_request"]["head"]["sha"] if event_name == "pull_request" else step.sha
    status = github.statuses(REPOSITORY, head)[-1]
    assert (status.state, (status.description or "")[:36]) == ("failure", "3 problems, the first: `run` is requ")
    assert len(cloud.studios) == studios


@pytest.mark.parametrize("secret", ["lightning_api_key", "zenml_store_api_key"])
def test_a_secret_that_is_not_set_is_told_in_the_pull_request(
    cloud: LightningCloud, github: GitHub, actions: Actions, secret: str
) -> None:
    step = actions.step(**{secret: ""})
    finished = step.run()
    name = secret.replace("_", "-")
    assert one_error(finished).startswith(f"`{name}` is required")
    assert f"<code>{name}</code> is required" in html.unescape(actions.comment())
    (*_, status) = github.statuses(REPOSITORY, step.sha)
    assert (status.state, (status.description or "").partition(":")[0]) == ("failure", f"`{name}` is required")
    assert cloud.running() == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"zenml_store_api_key": "ZENKEY_wrong", "machine_type": "T4, T5"},
            ["refuses the API key", "Unknown machine 'T5'. Did you mean T4"],
        ),
        (
            {"lightning_api_key": "", "stack": "nope", "machine_type": "cpu, T5"},
            ["`lightning-api-key` is", "stack `nope`", "`T5`"],
        ),
        (
            {"zenml_store_url": "http://127.0.0.1:9", "lightning_api_key": "wrong", "keep_studio": "maybe"},
            ["`maybe`", "can't be reached", "Lightning refuses the API key"],
        ),
        ({"zenml_store_api_key": "", "lightning_teamspace": "nope"}, ["`zenml-store-api-key` is", "none matches"]),
        ({"budget": "0.000001 / month", "machine_type": "T5", "project": "nope"}, ["project", "Unknown machine 'T5'"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_all_that_is_wrong_is_told_at_once(
    cloud: LightningCloud, actions: Actions, inputs: dict[str, str], words: list[str]
) -> None:
    studios = len(cloud.studios)
    finished = actions.step(**inputs).run()
    assert [text for text, word in zip(errors(finished), words, strict=True) if word not in text] == [], finished.log
    comment = html.unescape(actions.comment()).replace("<code>", "`").replace("</code>", "`")
    assert [word for word in words if word not in comment] == []
    assert len(cloud.studios) == studios


def test_an_event_that_cannot_be_read_is_told_in_the_pull_request(actions: Actions) -> None:
    step = actions.step(event_name="pull_request", variables={"GITHUB_EVENT_PATH": "/nowhere"})
    assert "payload at GITHUB_EVENT_PATH can't be read" in one_error(step.run())
    assert "was not started" in actions.comment()


def test_a_secret_that_is_not_set_is_told_by_post_where_github_was_away(github: GitHub, actions: Actions) -> None:
    step = actions.step(lightning_api_key="")
    github.fail("POST", f"/issues/{actions.number}/comments", 429, times=2, headers={"Retry-After": "3600"})
    assert step.run().exit_code == 1
    assert "lightning-api-key" in html.unescape(actions.comment())


def test_a_gpu_that_comes_up_as_a_cpu(cloud: LightningCloud, actions: Actions) -> None:
    cloud.knobs.gpu_comes_up_as_cpu = True
    finished = actions.step(machine_type="T4").run()
    assert finished.exit_code == 1
    assert "Asked for T4 with 1 GPU(s)" in one_error(finished)
    assert "T4" in actions.comment()
    assert cloud.studio(finished.outputs["studio-name"]).deleted


def test_what_main_could_not_release_post_does_and_the_comment_keeps_its_reason(
    cloud: LightningCloud, actions: Actions
) -> None:
    cloud.knobs.gpu_comes_up_as_cpu = True
    cloud.knobs.fail = [("DELETE", r"/cloudspaces/[^/]+$", 503, 6)]
    finished = actions.step(machine_type="T4").run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0)
    assert cloud.studio(finished.outputs["studio-name"]).deleted
    assert "failed" in actions.comment()
    assert "cancelled" not in actions.comment()


def test_a_run_that_completed_is_no_failure_because_its_studio_cannot_be_released_at_once(
    cloud: LightningCloud, actions: Actions
) -> None:
    cloud.knobs.fail = [("DELETE", r"/cloudspaces/[^/]+$", 403, 3)]
    finished = actions.step(studio_name="dear", keep_studio="delete", run="true").run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "completed"
    assert "completed" in actions.comment()
    assert cloud.studio("dear").deleted


def test_a_run_that_costs_too_much_is_warned_of_and_stopped(cloud: LightningCloud, actions: Actions) -> None:
    # Some 36 dollars an hour: a cent each second.
    inputs = {"machine_type": "H100_X_8", "max_cost": "0.20", "keep_studio": "delete"}
    finished = actions.step(studio_name="dear", run="sleep 600", **inputs).run()
    assert (finished.exit_code, finished.outputs["status"]) == (1, "stopped")
    assert "`max-cost` allows $0.2." in one_error(finished)
    assert {level for level, text in finished.annotations if "of the $0.2" in text} <= {"warning"}
    assert "max-cost" in actions.comment()
    assert cloud.studio("dear").deleted


def test_a_run_that_takes_too_long_is_stopped(actions: Actions) -> None:
    finished = actions.step(studio_name="warm", run="sleep 600", timeout_minutes="0.05").run()
    assert finished.exit_code == 1
    assert "timeout of 0.05 minutes" in one_error(finished)


def test_a_studio_that_never_becomes_ready(cloud: LightningCloud, actions: Actions) -> None:
    cloud.knobs.setup_seconds = math.inf
    finished = actions.step(variables={"LIGHTNING_ZENML_SETUP_TIMEOUT": "2"}).run()
    assert finished.exit_code == 1
    assert "did not finish their set-up" in one_error(finished)
    assert "set-up" in actions.comment()


def test_a_studio_lost_in_the_middle_of_the_run(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(studio_name="warm", run="echo now; sleep 60", keep_studio="delete")

    def vanish(line: str) -> None:
        if line.startswith("now"):
            cloud.knobs.vanish = {"warm"}

    finished = step.run(interrupt=vanish)
    assert finished.exit_code == 1
    assert "warm" in one_error(finished)
    assert "gone" in one_error(finished)
