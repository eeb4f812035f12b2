"""The pipelines of examples/, run from a laptop as their readers would, and by their workflows; some of it is slow."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, Laptop, wait_for

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


@pytest.mark.slow
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


WITHOUT_TORCH = sorted({path.parent.name for path in EXAMPLES.glob("*/run.py")} - {"gpu_training"})


@pytest.mark.slow
@pytest.mark.parametrize("example", [*WITHOUT_TORCH, "gpu_training"])
def test_its_workflow_trains(cloud: LightningCloud, actions: Actions, laptop: Laptop, example: str) -> None:
    if example == "gpu_training":
        pytest.importorskip("torch", reason="the locks have no PyTorch, which is some gigabytes")
    jobs = yaml.safe_load((EXAMPLES / example / ".github/workflows/train.yml").read_text())["jobs"]
    (given,) = (step["with"] for step in jobs["train"]["steps"] if "lightning-zenml-action" in step["uses"])
    matrix = {name: values[0] for name, values in jobs["train"].get("strategy", {}).get("matrix", {}).items()}
    inputs = {name: filled(value, matrix) for name, value in given.items() if not is_key(value)}
    files = {path.name: path.read_text() for path in (EXAMPLES / example).iterdir() if path.is_file()}
    step = replace(actions.step(files, **{"run": "", **inputs}), matrix=matrix or None)
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    wait_for(lambda: laptop.last_run()["status"] == "completed")
    wait_for(lambda: not cloud.running())


def filled(value: object, matrix: dict[str, object]) -> str:
    """An input with the values of the matrix, as GitHub fills them in; a YAML boolean as it is written."""
    text = {True: "true", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda found: str(matrix[found[1]]), text)


def is_key(value: object) -> bool:
    """What each installation has its own of."""
    return "secrets." in str(value) or "vars." in str(value)
