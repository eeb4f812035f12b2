"""What a launch has cost, may cost, and what a budget is."""

from __future__ import annotations

import contextlib
import math
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.money.budget import Budget, Per, budgets
from lightning_zenml.action.money.estimate import Estimate
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.payload.protocol import STOP_GRACE, Meter
from lightning_zenml.launch.payload.records import JobRecord, append
from lightning_zenml.launch.payload.stop import Purse, Stop
from lightning_zenml.zenml_api.costs import uses
from lightning_zenml.zenml_api.models import METER, Run, Step

JOB = JobRecord(token="t", step="train", attempt=1, run_id="r", machine="T4", num_machines=2, price=1.0)
HOUR = 3600.0


def job(**changes: Any) -> JobRecord:
    return replace(JOB, **changes)


# What a machine costs


@pytest.mark.parametrize(
    ("spot_cost", "interruptible", "price"), [(3.0, False, 2.0), (3.0, True, 3.0), (0.5, True, 0.5), (None, True, 2.0)]
)
def test_a_spot_machine_has_its_own_price_be_it_dearer(
    spot_cost: float | None, interruptible: bool, price: float
) -> None:
    machine = Machine(name="T4", compute_name="t4", aliases=frozenset(), gpus=1, cost=2.0, spot_cost=spot_cost)
    assert machine.price(interruptible=interruptible) == price


def test_a_meter_counts_what_came_before_the_machine() -> None:
    meter = Meter(machine="T4", price=2.0, since=1000.0, before=0.5)
    assert meter.cost(1000.0 + HOUR) == 2.5
    assert meter.cost(900.0) == 0.5
    assert Meter(machine="T4", price=None, since=0.0).cost() is None


def test_a_job_costs_while_it_has_machines() -> None:
    assert job().cost == 0
    assert job(started=0.0, ended=HOUR).cost == 2
    assert job(earlier=HOUR).cost == 2
    assert job(started=0.0, ended=HOUR, earlier=HOUR).cost == 4
    # What Lightning tells late is nothing, and what it tells is no less than that.
    assert job(started=0.0, ended=HOUR, charged=2.5).cost == 2.5
    assert job(started=0.0, ended=HOUR, charged=0.1).cost == 2
    assert job(started=0.0, ended=HOUR, price=None).cost is None
    assert job(price=None).cost == 0


# `max-cost` on the studio


def purse(limit: float | None, folder: Path, *, price: float | None = 1.0, hours: float = 0.0) -> Purse:
    return Purse(limit, Meter(machine="T4", price=price, since=time.time() - hours * HOUR), folder / "jobs.jsonl")


def test_a_launch_is_stopped_when_what_is_left_pays_for_its_end(tmp_path: Path) -> None:
    purse(10, tmp_path, hours=9.9).look()
    with pytest.raises(Stop, match=r"has cost \$10.00, and `max-cost` allows \$10\."):
        purse(10, tmp_path, hours=9.999).look()
    assert purse(10, tmp_path).grace == STOP_GRACE
    # Where the end would be a large part of it, it must be quick.
    assert purse(0.002, tmp_path).grace == pytest.approx(0.05 * 0.002 * HOUR)
    assert purse(10, tmp_path).seconds_left == pytest.approx(10 * HOUR - STOP_GRACE, abs=60)


def test_jobs_count_as_long_as_they_run(tmp_path: Path) -> None:
    watched = purse(10, tmp_path, hours=5)
    watched.look()
    append(tmp_path / "jobs.jsonl", JOB)
    watched.look()
    now = time.time()
    append(tmp_path / "jobs.jsonl", job(started=now - HOUR))
    assert watched.seconds_left == pytest.approx((10 - 7) * HOUR / 3 - STOP_GRACE, abs=60)
    append(tmp_path / "jobs.jsonl", job(token="u", started=now - 2 * HOUR, ended=now))
    with pytest.raises(Stop):
        watched.look()


def test_what_has_no_limit_or_no_price_is_not_stopped(tmp_path: Path) -> None:
    for watched in (purse(None, tmp_path, hours=1000), purse(1, tmp_path, price=None, hours=1000)):
        watched.look()
        assert watched.seconds_left == float("inf")


def test_a_record_that_makes_no_sense_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"token": "t"}\n{"half')
    purse(1, tmp_path, hours=0.5).look()


# Budgets


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", ()),
        ("200 / month", (Budget(amount=200, per=Per.MONTH),)),
        ("$12.50/month", (Budget(amount=12.5, per=Per.MONTH),)),
        ("20 USD per pull-request", (Budget(amount=20, per=Per.PULL_REQUEST),)),
        (
            "200 / month, 20 / pull request",
            (Budget(amount=200, per=Per.MONTH), Budget(amount=20, per=Per.PULL_REQUEST)),
        ),
        (
            "20 / Pull Request\n200 / month\n",
            (Budget(amount=20, per=Per.PULL_REQUEST), Budget(amount=200, per=Per.MONTH)),
        ),
    ],
)
def test_budgets_are_read(text: str, read: tuple[Budget, ...]) -> None:
    assert budgets(text) == read


@pytest.mark.parametrize("text", ["200", "200 / week", "0 / month", "-1 / month", "1 / month, 2 / month", "a / month"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text.rpartition(", ")[2])):
        budgets(text)


@given(st.text())
def test_any_text_is_budgets_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(0 < budget.amount < math.inf for budget in budgets(text))


# What runs have had


class Server:
    """A ZenML server that knows the steps of runs."""

    def __init__(self, steps: dict[str, list[Step]]) -> None:
        self.known = steps

    def steps(self, run_id: str) -> list[Step]:
        return self.known.get(run_id, [])


def moment(hour: float) -> datetime:
    return datetime.fromtimestamp(hour * HOUR, UTC)


def run(run_id: str, *, start: float, end: float | None, launch: str = "zenml-a-00000000-1", **meter: Any) -> Run:
    told = Meter(machine="T4", price=2.0, since=0.0, **meter).to_json()
    return Run(
        id=run_id,
        name=run_id,
        status="completed",
        pipeline="p",
        url="",
        start=moment(start),
        end=None if end is None else moment(end),
        metadata={"orchestrator_run_id": f"{launch}-{run_id[:8]}", METER: told},
    )


def test_each_run_of_a_launch_has_its_studio_until_its_end() -> None:
    step = {METER: Meter(machine="L4", price=6.0, since=3 * HOUR, machines=2).to_json()}
    server: Any = Server({"run-0002": [Step(name="train", status="completed", end=moment(4), metadata=step)]})
    first = run("run-0001", start=1, end=2, before=0.25)
    second = run("run-0002", start=2, end=5, before=0.25)
    found = uses(server, [second, first])
    assert [one.run.id for one in found] == ["run-0001", "run-0002"]
    assert [one.cost for one in found] == [4.25, 6.0 + 6.0]
    assert found[1].jobs_cost == 6


def test_a_run_under_way_has_its_studio_until_now() -> None:
    server: Any = Server({})
    assert uses(server, [run("run-0001", start=1, end=None)], moment(3))[0].cost == 6


@pytest.mark.parametrize("meter", [None, "much", {"machine": "T4"}, {"machine": "T4", "price": "2", "since": 0}])
def test_a_run_whose_meter_makes_no_sense_is_of_unknown_cost(meter: object) -> None:
    server: Any = Server({})
    odd = run("run-0001", start=1, end=2)
    odd = Run(**{**vars(odd), "metadata": {**odd.metadata, METER: meter}})
    assert [one.cost for one in uses(server, [odd])] == [None]


def test_an_estimate_tells_its_range_and_what_it_is_made_of() -> None:
    told = Estimate(low=0.3, typical=1.2, high=2.0, launches=5, machine="T4", is_same_machine=True)
    assert str(told) == "$1.20 ($0.30 to $2.00, by the last 5 runs)"
    alone = Estimate(low=1.2, typical=1.2, high=1.2, launches=1, machine="T4", is_same_machine=False)
    assert str(alone) == "$1.20 (by the last run, which had another machine)"
