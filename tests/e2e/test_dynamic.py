"""Dynamic pipelines from a laptop's client that don't end well; test_examples.py has one that does."""

from __future__ import annotations

import sys

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Laptop, wait_for

DYNAMIC = """
import os, sys, time
from zenml import CommandStep, pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}


@step
def fail() -> None:
    raise ValueError("the loss is NaN")


@step(settings=on(machine_type="T4"))
def hang() -> None:
    time.sleep(600)


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU"))
def failing():
    CommandStep(name="tell", command=["bash", "-c", "echo COMMANDED at $LIGHTNING_ZENML_MACHINE"])()
    fail()


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU", async_mode=True))
def hanging():
    hang()


if __name__ == "__main__":
    globals()[sys.argv[1]].with_options(run_name=sys.argv[1])()
"""


def run(laptop: Laptop, pipeline: str, *, check: bool = True) -> str:
    (laptop.folder / "run.py").write_text(DYNAMIC)
    completed = laptop.run(sys.executable, "run.py", pipeline, check=check)
    assert check or completed.returncode != 0
    return completed.stdout + completed.stderr


def test_a_dynamic_pipeline_that_fails(cloud: LightningCloud, laptop: Laptop) -> None:
    log = run(laptop, "failing", check=False)
    assert laptop.last_run()["status"] == "failed"
    assert "[tell] COMMANDED at CPU" in log
    assert "the loss is NaN" in log
    wait_for(lambda: not cloud.running())


def test_a_dynamic_pipeline_is_stopped_through_zenml(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run(laptop, "hanging")
    run_id = laptop.last_run()["id"]
    wait_for(lambda: any(name.startswith("hanging-hang") for name in cloud.running()), 120)
    laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--yes")
    wait_for(lambda: stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "stopped", 120)
    wait_for(lambda: not cloud.running())
