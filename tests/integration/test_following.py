"""Following a launch that can't be followed to its end: whatever is wrong with us, nothing of it is stopped."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lightning_zenml.action.earlier_launch import EarlierLaunch
from lightning_zenml.action.following import Following
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.report import State
from lightning_zenml.action.report.ending import Ending
from lightning_zenml.action.report.metrics.baseline import Baseline
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs
from lightning_zenml.action.starter import Starter
from lightning_zenml.launch.errors import UnfollowableError
from lightning_zenml.launch.spec import Phase, Status, Update
from lightning_zenml.zenml_api.server import ZenMLServer

ENVIRON = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": "octo/repo",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_RUN_ID": "7",
    "INPUT_RUN": "python run.py",
    "INPUT_LIGHTNING-API-KEY": "key",
    # Nobody listens there.
    "INPUT_ZENML-STORE-URL": "http://127.0.0.1:9",
    "INPUT_ZENML-STORE-API-KEY": "key",
}
ENDED = Update(status=Status(phase=Phase.FINISHED, exit_code=0))


@dataclass
class Launch:
    """A launch on a studio, as far as it tells."""

    tells: list[Any]
    done: list[str] = field(default_factory=list)
    id: str = "zenml-x-1"
    studio_name: str = "x"
    studio_url: str = "https://lightning.example/x"
    machine: str = "CPU"
    warmth: str = ""
    deletes_studio: bool = True
    cost: float | None = None
    release_notice: str = "released"

    def follow(self) -> Iterator[Update]:
        for told in self.tells:
            if isinstance(told, Exception):
                raise told
            yield told

    def machines(self) -> list[Any]:
        return []

    def leave(self) -> None:
        self.done.append("left")

    def end(self, *, grace: float) -> None:
        self.done.append("ended")

    def stop(self, *, grace: float = 0) -> None:
        self.done.append("stopped")

    def release(self) -> None:
        self.done.append("released")


@dataclass
class Step:
    folder: Path
    log: io.StringIO = field(default_factory=io.StringIO)

    def follow(self, launch: Launch) -> int:
        workflow = Workflow({"GITHUB_STATE": str(self.folder / "state")}, self.log)
        inputs, event = Inputs.from_environ(ENVIRON), Event.from_environ(ENVIRON)
        handover, log = Handover(workflow), Log(workflow)
        zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key, timeout=1, retries=0)
        runs = Runs(zenml, workflow, baseline=Baseline(zenml, event, None, inputs.report), settings=inputs.report)
        reporter = Reporter(workflow, handover, None, event, Origin.of(event, inputs), with_runs=runs.added_to)
        return Following(
            inputs,
            Starter.of_workflow(event, inputs),
            zenml=zenml,
            workflow=workflow,
            handover=handover,
            log=log,
            reporter=reporter,
            runs=runs,
            ending=Ending(workflow, handover, log, reporter, runs, self.folder),
            earlier=EarlierLaunch(inputs, event, zenml=zenml, reporter=reporter, handover=handover, log=log),
        ).follow(launch)

    @property
    def left(self) -> Left:
        found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", (self.folder / "state").read_text(), re.M | re.S)
        return Left.from_environ({f"STATE_{name}": value for name, _, value in found})


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


@pytest.mark.parametrize(
    "error", [UnfollowableError("Lightning AI refuses the key."), KeyError("a fault of ours")], ids=["refused", "fault"]
)
def test_what_cannot_be_followed_is_left_to_its_payload(step: Step, error: Exception) -> None:
    launch = Launch([Update(status=Status(phase=Phase.RUNNING), log="it runs\n"), error])
    assert step.follow(launch) == 1
    assert launch.done == ["left"]
    (told,) = re.findall(r"^::error[^:]*::(.*)$", step.log.getvalue(), re.M)
    assert "Nothing was stopped" in told
    assert "`attach: zenml-x-1`" in told
    # Nor does post stop it.
    left = step.left
    assert left.report is not None
    assert (left.is_finished, left.report.report.state) == (True, State.RUNNING)


def test_a_fault_in_showing_ends_nothing(step: Step) -> None:
    odd: Any = Update(status=Status(phase=Phase.RUNNING), runs=(object(),), jobs=(object(),))  # type: ignore[arg-type]
    launch = Launch([odd, odd, ENDED])
    assert step.follow(launch) == 0
    assert launch.done == ["released"]
    # One of each kind, not one of each time.
    assert step.log.getvalue().count("Traceback") == 2
    assert step.left.is_finished
