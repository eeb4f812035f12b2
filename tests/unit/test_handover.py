"""What main leaves, post finds."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left, SavedReport
from lightning_zenml.action.report import Report, State
from lightning_zenml.launch.launcher import Hold
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.spec import Failure, Phase

HOLD = Hold(launch_id="zenml-x-1", studio_id="s", studio_name="x", cluster="c", release="delete")
RUN = RunRecord(run_id="1", run_name="a run", pipeline="a", run_url=None, orchestrator_url="https://lightning.example")
JOB = JobRecord(token="t", step="train", attempt=1, run_id="1", machine="T4", num_machines=2, price=0.5)
REPORT = SavedReport(
    origin=Origin(sha="a", branch="b", pull_requests=(4,), comment_key="k", leg="", run_id=7, run_attempt=1),
    started=1000.0,
    ended=None,
    comments={4: 17},
    report=Report(
        state=State.FAILED,
        pipeline="a",
        studio_name="x",
        cost=1.5,
        failure=Failure(phase=Phase.RUNNING, message="Too hot.", exit_code=3),
    ),
)


class Step:
    """A step whose runner keeps its state in a file."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.handover = Handover(Workflow({"GITHUB_STATE": str(state)}, io.StringIO()))

    @property
    def text(self) -> str:
        return self._state.read_text() if self._state.exists() else ""

    @property
    def values(self) -> dict[str, str]:
        found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", self.text, re.MULTILINE | re.DOTALL)
        return {name: value for name, _, value in found}

    @property
    def left(self) -> Left:
        return Left.from_environ({f"STATE_{name}": value for name, value in self.values.items()})


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path / "state")


def test_a_main_that_did_nothing_leaves_nothing(step: Step) -> None:
    assert step.left.is_nothing


def test_all_that_is_noted_is_found(step: Step) -> None:
    step.handover.note_hold(HOLD)
    step.handover.note_teamspace("acme/ml")
    step.handover.note_run_id("0")
    step.handover.note_run(RUN)
    step.handover.note_jobs([JOB])
    step.handover.note_report(REPORT)
    left = step.left
    assert (left.holds, left.teamspace, left.run_ids) == ((HOLD,), "acme/ml", ("0", "1"))
    assert (left.runs, left.jobs, left.report) == ((RUN,), (JOB,), REPORT)
    assert not left.is_nothing
    assert not left.is_finished


def test_what_is_released_is_not_left(step: Step) -> None:
    step.handover.note_hold(HOLD)
    assert step.handover.has_holds
    step.handover.note_hold(HOLD.released())
    assert not step.handover.has_holds
    assert step.left.holds == ()


def test_nothing_is_left_once_all_is_released_and_told(step: Step) -> None:
    step.handover.note_report(REPORT)
    step.handover.note_finished()
    assert not step.left.is_nothing
    step.handover.note_reported()
    assert step.left.is_nothing


def test_more_jobs_than_a_variable_holds_are_none(step: Step) -> None:
    step.handover.note_jobs([JOB])
    step.handover.note_jobs([JOB] * 1000)
    assert step.left.jobs == ()


def test_post_can_be_started_whatever_one_command_did(step: Step) -> None:
    runs = [replace(RUN, run_id=f"{number:08}-0000-4000-8000-000000000000", run_url="u" * 120) for number in range(413)]
    for number, run in enumerate(runs):
        step.handover.note_hold(replace(HOLD, launch_id=f"zenml-x-{number}"))
        step.handover.note_run(run)
    step.handover.note_jobs([JOB] * 413)
    long = Failure(phase=Phase.RUNNING, message="m" * 10_000, output="\u2028" * 10_000)
    step.handover.note_report(replace(REPORT, report=replace(REPORT.report, pipeline="p" * 50_000, failure=long)))
    values = step.values
    # Linux starts no program with a variable of more than 128 KiB.
    assert sum(map(len, values.values())) < 100_000
    left = step.left
    assert left.run_ids == tuple(run.run_id for run in runs)
    # Of the others, what came last.
    assert left.holds[-1].launch_id == "zenml-x-412"
    assert left.runs[-1] == runs[-1]
    assert left.report is not None
    assert left.report.report.state is State.FAILED


def test_what_cannot_be_read_keeps_nothing_else_from_being_released(step: Step) -> None:
    step.handover.note_hold(HOLD)
    values = {**step.values, "report": "{", "runs": "[1, {}]", "jobs": "7"}
    holds = json.loads(values["holds"])
    left = Left.from_environ({f"STATE_{n}": v for n, v in {**values, "holds": json.dumps([{}, *holds])}.items()})
    assert (left.holds, left.runs, left.jobs, left.report) == ((HOLD,), (), (), None)


def test_what_is_known_already_is_not_noted_again(step: Step) -> None:
    step.handover.note_jobs([JOB])
    before = step.text
    step.handover.note_jobs([JOB])
    assert step.text == before


def test_a_report_goes_on_with_what_the_new_process_knows_itself() -> None:
    mine = Report(state=State.STARTING, pipeline="", workflow_run_url="https://github.example/runs/7")
    both = REPORT.added_to(mine)
    assert (both.state, both.pipeline, both.cost) == (State.FAILED, "a", 1.5)
    assert both.workflow_run_url == mine.workflow_run_url
