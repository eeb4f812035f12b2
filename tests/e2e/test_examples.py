"""The pipelines of examples/, run from a laptop as their readers would; the Action's tests run the quickstart."""

from __future__ import annotations

import sys
from pathlib import Path

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Laptop, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(laptop: Laptop, example: str, *arguments: str) -> str:
    (laptop.folder / "run.py").write_text((EXAMPLES / example / "run.py").read_text())
    completed = laptop.run(sys.executable, "run.py", *arguments)
    return completed.stdout + completed.stderr


def test_a_gpu_is_paid_for_while_its_step_runs(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    before = len(cloud.intervals)
    log = run(laptop, "gpu_step")
    assert "[train] Training on T4" in log
    assert "[evaluate] Error: 25.0" in log
    wait_for(lambda: not cloud.running())
    intervals = {interval.machine: interval for interval in cloud.intervals[before:]}
    # The smallest machine has taken the snapshot meanwhile.
    assert set(intervals) == {"CPU", "T4", "CPU_SMALL"}
    studio, gpu = intervals["CPU"], intervals["T4"]
    assert studio.start < gpu.start
    assert gpu.end is not None
    assert studio.end is not None
    assert gpu.end < studio.end


def test_an_asynchronous_client_leaves_and_everything_is_released(cloud: LightningCloud, laptop: Laptop) -> None:
    log = run(laptop, "gpu_step", "--async")
    assert "The run goes on in the studio" in " ".join(log.split())
    assert "Error:" not in log
    wait_for(lambda: laptop.last_run()["status"] == "completed")
    wait_for(lambda: not cloud.running())


def test_a_dynamic_pipeline_over_two_machine_types(cloud: LightningCloud, laptop: Laptop) -> None:
    before = len(cloud.jobs)
    log = run(laptop, "dynamic")
    assert laptop.last_run()["status"] == "completed"
    assert "[train] Training at 0.1 on T4" in log
    assert "[train_2] Training at 0.2 on T4" in log
    assert "[publish] Best: 0.9" in log
    wait_for(lambda: not cloud.running())
    assert [job.name for job in cloud.jobs[before:] if job.deleted is None] == []


def test_one_step_on_two_machines(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    log = run(laptop, "multi_machine")
    assert "[add_up] Rank 0 of 2 has 20" in log
    assert "[add_up] Rank 1 of 2 has 25" in log
    assert "[show] Total: 45" in log
    # One record, although two machines have worked.
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={laptop.last_run()['id']}&size=100")["items"]
    assert sorted(step["name"] for step in steps) == ["add_up", "load", "show"]
    wait_for(lambda: not cloud.running())
