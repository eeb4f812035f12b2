"""A cheaper machine is named where it would have done, and nothing is said without good reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lightning_zenml.action.report.usage.advice import advise
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage
from lightning_zenml.zenml_api.models import Run, Step


def machine(name: str, family: str, gpus: int, cpus: float, cost: float, **more: Any) -> Machine:
    return Machine(
        name=name, compute_name=name, aliases=frozenset(), gpus=gpus, cost=cost, family=family, cpus=cpus, **more
    )


T4 = machine("T4", "T4", 1, 8, 0.98, spot_cost=0.39)
L4 = machine("L4", "L4", 1, 8, 1.58, spot_cost=0.63)
MACHINES = (
    machine("CPU", "CPU", 0, 4, 0.44),
    machine("CPU_X_16", "CPU", 0, 16, 1.76),
    T4,
    machine("T4_X_4", "T4", 4, 32, 3.92),
    L4,
    machine("A100", "A100", 1, 8, 5.68),
    machine("H100", "H100", 1, 8, 12.34),
)
HOUR = 3600.0


def gpu(busy: float = 31.0, peak: float = 6.1e9, size: float = 24.1e9, samples: int = 720, index: int = 0) -> GpuUsage:
    return GpuUsage(index=index, name="GPU", samples=samples, busy=busy, memory=size, memory_peak=peak)


def usage(*gpus: GpuUsage, **changes: Any) -> Usage:
    known: dict[str, Any] = {"cpus": 8.0, "cpu": 10.0, "memory": 32e9, "memory_peak": 3e9, "samples": 720}
    return Usage(**{"since": 0.0, "until": HOUR, **known, "gpus": gpus, **changes})


def advice(
    used: Usage,
    on: str,
    *,
    price: float | None = None,
    machines: Sequence[Machine] = MACHINES,
    status: str = "completed",
    in_studio: bool = False,
) -> str:
    cost = next((one.cost for one in machines if one.name == on), 1.0) if price is None else price
    meter = {"lightning_meter": Meter(machine=on, price=cost, since=0.0).to_json()}
    own = {} if in_studio else meter
    steps = [
        Step(name="train", status="completed", metadata={"lightning_usage": used.to_json(), **own}),
        Step(name="load", status="cached", metadata={"lightning_usage": used.to_json()}),
    ]
    run = Run(id="1", name="run", status=status, pipeline="p", url="", metadata=meter if in_studio else {})
    return " ".join(advise([(run, steps)], lambda: machines))


def test_a_gpu_that_was_too_large_has_a_smaller_one_named() -> None:
    assert advice(usage(gpu()), "L4") == (
        "`train` on L4: peak 6.1 of 24 GB, 31 % busy. "
        "A T4 would do: about $0.34 less a run, and at most 1.3 times as long."
    )
    assert advice(usage(gpu()), "L4", in_studio=True).startswith("The studio on L4: peak 6.1 of 24 GB, 31 % busy. A T4")


def test_a_gpu_that_did_nothing_needs_none() -> None:
    told = advice(usage(gpu(busy=0.0, peak=0.45e9)), "L4")
    assert told == "`train` on L4: its GPU did nothing. A CPU would do: about $1.14 less a run."
    # Somebody holds its memory, and may have a reason.
    assert "A T4 would do" in advice(usage(gpu(busy=0.0)), "L4")


def test_of_several_gpus_as_many_as_were_used_would_do() -> None:
    idle = [gpu(busy=0.0, peak=1e6, size=16e9, index=index) for index in (1, 2, 3)]
    told = advice(usage(gpu(busy=96.0, size=16e9), *idle), "T4_X_4")
    assert told == (
        "`train` on T4_X_4: 1 of 4 GPUs in use, peak 6.1 of 16 GB, 96 % busy. A T4 would do: about $2.94 less a run."
    )


def test_a_cpu_machine_is_judged_by_its_cores_and_memory() -> None:
    told = advice(usage(cpus=16.0, cpu=5.0), "CPU_X_16")
    assert told == (
        "`train` on CPU_X_16: peak 3.0 of 32 GB of memory, 5 % of 16 cores busy. "
        "A CPU would do: about $1.32 less a run."
    )
    assert advice(usage(cpus=16.0, cpu=50.0), "CPU_X_16") == ""
    # It has 4 cores, and nobody knows of more than 8 GB.
    assert advice(usage(cpus=16.0, cpu=5.0, memory_peak=7e9), "CPU_X_16") == ""
    told = tuple(replace(one, memory=16_000.0) for one in MACHINES)
    assert "A CPU would do" in advice(usage(cpus=16.0, cpu=5.0, memory_peak=7e9), "CPU_X_16", machines=told)


def test_spot_machines_are_compared_with_spot_machines() -> None:
    assert "A T4 would do: about $0.14 less" in advice(usage(gpu(busy=30.0)), "L4", price=0.63)


@pytest.mark.parametrize(
    ("used", "on", "more"),
    [
        pytest.param(usage(gpu()), "L4", {"status": "failed"}, id="a run that failed"),
        pytest.param(usage(gpu(samples=20), samples=20), "L4", {}, id="too few samples"),
        pytest.param(usage(gpu(), until=200.0), "L4", {}, id="not long enough"),
        pytest.param(usage(gpu(samples=300)), "L4", {}, id="too many odd answers"),
        pytest.param(usage(), "L4", {}, id="no answer of the GPU"),
        pytest.param(usage(gpu(), gpu(index=1)), "L4", {}, id="another number of GPUs"),
        pytest.param(usage(gpu(peak=13.5e9)), "L4", {}, id="too little memory to spare"),
        pytest.param(usage(gpu(busy=80.0)), "L4", {}, id="it would take too long, or save nothing"),
        pytest.param(usage(gpu(), cpu=60.0), "L4", {}, id="the cores were busy"),
        pytest.param(usage(gpu(), memory_peak=14e9), "L4", {}, id="main memory that a smaller one may not have"),
        pytest.param(usage(gpu(size=16e9)), "T4", {}, id="the cheapest already"),
        pytest.param(usage(gpu()), "L4", {"price": 3.16}, id="several machines"),
        pytest.param(usage(gpu()), "M5", {}, id="a machine that the catalog doesn't have"),
        pytest.param(usage(gpu()), "L4", {"machines": ()}, id="no catalog"),
        pytest.param(usage(gpu()), "L4", {"machines": (L4, replace(T4, out_of_capacity=True))}, id="none to be had"),
        pytest.param(usage(gpu()), "L4", {"machines": (L4, replace(T4, family="M60"))}, id="an unknown kind"),
        pytest.param(usage(gpu(), until=301.0), "L4", {"machines": (L4, replace(T4, cost=1.5))}, id="some cents"),
    ],
)
def test_nothing_is_said_without_good_reason(used: Usage, on: str, more: dict[str, Any]) -> None:
    assert advice(used, on, **more) == ""


def test_the_catalog_is_asked_only_where_there_is_something_to_judge() -> None:
    def fail() -> Sequence[Machine]:
        raise AssertionError

    short = Step(name="train", status="completed", metadata={"lightning_usage": usage(until=20.0).to_json()})
    run = Run(id="1", name="run", status="completed", pipeline="p", url="", metadata={"lightning_meter": "odd"})
    assert advise([(run, [short])], fail) == ()
