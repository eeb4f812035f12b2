from __future__ import annotations

import io
import json
import urllib.error
from collections.abc import Collection
from dataclasses import dataclass, field
from email.message import Message

import pytest

from lightning_zenml.zenml_api.run_end import END_OF_RUN, END_OF_TOKEN, FINISHED, end_run, says, spared


@dataclass
class Server:
    """A ZenML server's runs and steps, as far as their ends go.

    Args:
        runs: status of each run.
        children: runs of child pipelines, by their parents.
        steps: status of each step, by its run.
        with_tries_left: steps that are `retrying` when they fail.
    """

    runs: dict[str, str]
    children_of: dict[str, list[str]] = field(default_factory=dict)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    with_tries_left: Collection[str] = ()
    reasons: dict[str, str] = field(default_factory=dict)

    def status(self, run_id: str) -> str:
        return self.runs[run_id]

    def unfinished_steps(self, run_id: str) -> list[str]:
        return [step for step, status in self.steps.get(run_id, {}).items() if status not in FINISHED]

    def children(self, run_id: str) -> list[str]:
        return self.children_of.get(run_id, [])

    def update_run(self, run_id: str, status: str, reason: str | None) -> None:
        self.runs[run_id] = status
        if reason is not None:
            self.reasons[run_id] = reason

    def update_step(self, step_id: str, status: str) -> str:
        status = "retrying" if status == "failed" and step_id in self.with_tries_left else status
        (run_id,) = [run_id for run_id, steps in self.steps.items() if step_id in steps]
        self.steps[run_id][step_id] = status
        return status


def test_a_run_fails_with_its_children_and_all_their_steps() -> None:
    server = Server(
        runs={"parent": "running", "child": "running", "done": "completed"},
        children_of={"parent": ["child", "done"]},
        steps={"parent": {"a": "completed", "b": "running", "c": "running"}, "child": {"d": "running"}},
        with_tries_left={"c"},
    )

    end_run("parent", status="failed", reason="x" * 300, runs=server)

    assert server.runs == {"parent": "failed", "child": "failed", "done": "completed"}
    assert server.steps == {"parent": {"a": "completed", "b": "failed", "c": "stopped"}, "child": {"d": "failed"}}
    assert server.reasons == dict.fromkeys(("parent", "child"), "x" * 250)


@pytest.mark.parametrize(
    ("before", "after"), [("running", "failed"), ("stopping", "stopped"), ("completed", "completed")]
)
def test_what_a_run_becomes(before: str, after: str) -> None:
    server = Server(runs={"run": before})

    end_run("run", status="failed", reason="The controller was killed.", runs=server)

    assert server.runs == {"run": after}


@pytest.mark.parametrize(
    ("before", "has_begun", "after"),
    [
        ("paused", True, "paused"),
        ("paused", False, "paused"),
        ("resuming", True, "resuming"),
        ("resuming", False, "stopped"),
    ],
)
def test_a_run_between_two_launches_is_spared(before: str, has_begun: bool, after: str) -> None:
    server = Server(runs={"run": before})

    end_run("run", status="stopped", reason=None, runs=server, spared=spared(has_begun=has_begun))

    assert server.runs == {"run": after}
    assert server.reasons == {}


OVER = "The pipeline run 1 has finished and API tokens scoped to it are no longer valid."
OLD = "Authentication error: error decoding access token: Signature has expired"


@pytest.mark.parametrize(
    ("status", "told", "of_run", "of_token"),
    [
        (401, json.dumps({"detail": ["CredentialsNotValid", OVER]}), True, True),
        (401, json.dumps({"detail": ["CredentialsNotValid", OLD]}), False, True),
        (401, json.dumps({"detail": ["CredentialsNotValid", "Authentication error"]}), False, False),
        (401, json.dumps({"detail": OVER}), False, False),
        (404, json.dumps({"detail": ["KeyError", OVER]}), False, False),
        (401, f"<html>{OVER}</html>", False, False),
    ],
)
def test_only_zenml_itself_says_that_a_run_or_a_token_has_ended(
    status: int, told: str, of_run: bool, of_token: bool
) -> None:
    def error() -> urllib.error.HTTPError:
        return urllib.error.HTTPError("http://zenml", status, "", Message(), io.BytesIO(told.encode()))

    assert says(END_OF_RUN, error()) is of_run
    assert says(END_OF_TOKEN, error()) is of_token
