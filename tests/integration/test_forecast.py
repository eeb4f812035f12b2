"""What is told of a run's cost before it starts, from what a real ZenML server knows of the runs before it."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from cli_scene import Runs
from lightning_api import credentials
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.forecast import CostRefusedError, Forecast, Foreseen
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.zenml_api.server import ZenMLServer
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack

HOUR = 3600.0


@pytest.fixture(scope="module")
def runs(shared_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs.make(shared_services, tmp_path_factory.mktemp("runs"), 8)


@pytest.fixture
def lightning(shared_services: Stack) -> Lightning:
    cloud = shared_services.lightning
    assert isinstance(cloud, LightningCloud)
    return Lightning.connect(credentials(cloud), url=cloud.url)


@pytest.fixture
def event() -> Event:
    environ = {
        "GITHUB_REPOSITORY": f"octo/money-{uuid4().hex[:8]}",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/faster",
        "GITHUB_WORKFLOW": "Train",
        "GITHUB_JOB": "train",
        "GITHUB_SHA": "a" * 40,
    }
    return Event.from_environ(environ)


class Foresight:
    """A step's look at what its run will cost: what it finds, what it logs and what it gives out."""

    def __init__(self, stack: Stack, lightning: Lightning, event: Event, folder: Path, **given: str) -> None:
        names = {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()}
        self.inputs = Inputs.from_environ(
            {
                "INPUT_RUN": "python run.py",
                "INPUT_LIGHTNING-API-KEY": "key",
                "INPUT_ZENML-STORE-URL": stack.zenml.url,
                "INPUT_ZENML-STORE-API-KEY": stack.zenml.api_key,
                **names,
            }
        )
        self._event = event
        self._lightning = lightning
        self._outputs = folder / f"outputs-{uuid4().hex}"
        self._outputs.touch()
        self._log = io.StringIO()

    def settle(self) -> Foreseen:
        workflow = Workflow({"GITHUB_OUTPUT": str(self._outputs)}, self._log)
        zenml = ZenMLServer(self.inputs.zenml_store_url, self.inputs.zenml_store_api_key, retries=0)
        forecast = Forecast(self.inputs, self._event, zenml=zenml, workflow=workflow, log=Log(workflow))
        forecast.begin(self._lightning)
        return forecast.settle()

    @property
    def log(self) -> str:
        return self._log.getvalue()

    @property
    def outputs(self) -> str:
        return self._outputs.read_text()

    def numbers(self, name: str) -> list[float]:
        """Those in an output."""
        found = re.search(rf"^{name}(?:=|<<\S+\n)(.*)", self.outputs, re.MULTILINE)
        assert found, self.outputs
        return [float(number) for number in found[1].split("-")]


def of_action(event: Event, inputs: Inputs, **more: object) -> Mapping[str, object]:
    """What our orchestrator notes on the run of such a step."""
    return {
        "repository": event.repository,
        "branch": event.branch,
        "pull_request": None,
        "origin": Origin.of(event, inputs).as_json(),
        **more,
    }


def meter(hours: float, machine: str = "T4") -> Mapping[str, object]:
    """Of a studio that was started so long ago."""
    return {"machine": machine, "price": 1.0, "since": time.time() - hours * HOUR}


def test_a_run_is_told_its_cost_and_refused_where_it_does_not_fit(
    shared_services: Stack, runs: Runs, lightning: Lightning, event: Event, tmp_path: Path
) -> None:
    def look(**given: str) -> Foresight:
        return Foresight(shared_services, lightning, event, tmp_path, **{"machine_type": "T4", **given})

    first = look()
    # Nothing is known yet, and nothing is said.
    assert first.settle() == Foreseen()
    assert (first.log, first.outputs) == ("", "")

    provenance = of_action(event, first.inputs)
    runs.of("zenml-a-00000000-00000001", "completed", provenance, meter(2))
    runs.of("zenml-a-00000000-00000002", "failed", provenance, meter(0.1))
    runs.of("zenml-a-00000000-00000003", "completed", provenance, meter(4))
    other = of_action(replace(event, job="another"), first.inputs)
    runs.of("zenml-a-00000000-00000004", "completed", other, meter(100))

    # By the catalog's price, which is another than that of then: 0.98 on the default cloud account.
    second = look(max_cost="3", budget="200 / month, 150 / pull request")
    foreseen = second.settle()
    low, high = second.numbers("estimated-cost-range")
    assert (low, high) == (pytest.approx(1.96, rel=0.02), pytest.approx(3.92, rel=0.02))
    assert second.numbers("estimated-cost") == [pytest.approx(2.94, rel=0.02)]
    assert f"Estimated cost: {foreseen.estimate}, on T4" in second.log
    assert "by the last 2 runs" in str(foreseen.estimate)
    # The studios that all four had cost a dollar an hour.
    assert second.numbers("budget-left") == [pytest.approx(150 - 106.1, abs=0.1)]
    assert foreseen.budget is not None
    assert "left of $200.00 / month" in foreseen.budget
    spot = look(settings="interruptible: true")
    spot.settle()
    assert spot.numbers("estimated-cost") == [pytest.approx(1.18, rel=0.02)]

    with pytest.raises(
        CostRefusedError, match=r"`max-cost`, which allows \$1.9: by the last 2 runs.*Nothing was started"
    ):
        look(max_cost="1.9").settle()
    with pytest.raises(CostRefusedError, match=r"The budget is used up: \$0.00 left of \$100.00 / month \(4 runs of"):
        look(budget="100 / month").settle()
    with pytest.raises(CostRefusedError, match=r"does not fit into what is left of the budget.*\$1\."):
        look(budget="108 / month").settle()
    # What takes hours on a T4 may take minutes on another machine.
    other_machine = look(max_cost="0.01", machine_type="L4").settle()
    assert other_machine.estimate is not None
    assert "which had another machine" in other_machine.estimate


def test_a_pull_request_has_a_budget_of_its_own(
    shared_services: Stack, runs: Runs, lightning: Lightning, event: Event, tmp_path: Path
) -> None:
    def look(event: Event) -> Foresight:
        return Foresight(shared_services, lightning, event, tmp_path, budget="3 / pull request")

    twelve = replace(event, pull_requests=(12,))
    inputs = look(event).inputs
    runs.of("zenml-b-00000000-00000001", "failed", of_action(event, inputs, pull_request=12), meter(2.5))
    runs.of("zenml-b-00000000-00000002", "failed", of_action(event, inputs, pull_request=11), meter(100))
    left = look(twelve).settle()
    assert re.match(r"\$0\.[45]\d+ left of \$3\.00 / pull request", str(left.budget))
    # The default branch is no pull request's.
    assert look(replace(event, branch="main", default_branch="main")).settle() == Foreseen()


def test_where_zenml_does_not_tell_a_run_starts_without_an_estimate_but_not_on_a_budget(
    shared_services: Stack, lightning: Lightning, event: Event, tmp_path: Path
) -> None:
    nowhere = {"zenml_store_url": "http://127.0.0.1:9"}
    silent = Foresight(shared_services, lightning, event, tmp_path, max_cost="1", **nowhere)
    assert silent.settle() == Foreseen()
    assert silent.log == ""
    with pytest.raises(CostRefusedError, match=r"can't be counted, so nothing was started.*Run again"):
        Foresight(shared_services, lightning, event, tmp_path, budget="1 / month", **nowhere).settle()
