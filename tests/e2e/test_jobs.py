"""Steps on machines of their own: Lightning jobs, from a laptop's client."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from localcloud.lightning import LightningCloud
from localcloud.lightning.jobs.job_entities import Job
from localcloud.stack import Stack
from scene import Laptop, wait_for

HEAD = """
import os, sys, time
from zenml import get_step_context, pipeline, step
from zenml.config import ResourceSettings
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}
"""

DIAMOND = (
    HEAD
    + """

@step
def load() -> int:
    return 1


@step(settings=on(machine_type="T4"))
def gpu(x: int) -> int:
    assert os.environ["LIGHTNING_ZENML_MACHINE"] == "T4"
    print("GPU at work")
    return x + 1


@step(settings=on(machine_type="L4"))
def big(x: int) -> int:
    return x + 2


@step
def small(x: int) -> int:
    return x + 3


@step(settings=on(machine_type="T4"))
def train(a: int, b: int) -> int:
    return a + b


@step
def report(a: int, b: int) -> None:
    print("SUM", a + b)


@pipeline(enable_cache=False, settings=on(machine_type="CPU"))
def diamond():
    x = load()
    report(train(gpu(x), big(x)), small(x))


if __name__ == "__main__":
    diamond()
"""
)


def run(laptop: Laptop, code: str, **more: Any) -> str:
    (laptop.folder / "run.py").write_text(code)
    completed = laptop.run(sys.executable, "run.py", **more)
    return completed.stdout + completed.stderr


def test_a_diamond_over_three_machine_types(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    before = len(cloud.intervals)
    log = run(laptop, DIAMOND)
    assert laptop.last_run()["status"] == "completed"
    assert "[gpu] GPU at work" in log
    assert "[report] SUM 9" in log
    wait_for(lambda: not cloud.running())
    intervals = {interval.name.rpartition("-")[2]: interval for interval in cloud.intervals[before:]}
    gpu, big, train = intervals["gpu"], intervals["big"], intervals["train"]
    assert (gpu.machine, big.machine, train.machine) == ("T4", "L4", "T4")
    # Side by side, and released when their step had ended: before the step that needs both.
    assert max(gpu.start, big.start) < min(gpu.end, big.end) <= max(gpu.end, big.end) <= train.start
    # What the command line tells of it is what was paid, but for the time that machines take to come and go.
    (told,) = json.loads(laptop.run("lightning-zenml", "cost", laptop.last_run()["id"], "--json").stdout)
    paid = sum(interval.cost for interval in (gpu, big, train))
    assert 0 < told["jobs"] <= paid
    assert told["studio"] > 0
    # Nor is it kept until the run has ended.
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={laptop.last_run()['id']}&name=report")["items"]
    assert train.end < datetime.fromisoformat(steps[0]["body"]["end_time"]).replace(tzinfo=UTC).timestamp()
    assert [job.name for job in cloud.jobs if job.deleted is None and job.name.startswith("diamond-")] == []


FEATURES = (
    HEAD
    + """

@step(settings={"resources": ResourceSettings(gpu_count=1)})
def cheapest(x: int) -> str:
    return os.environ["LIGHTNING_ZENML_MACHINE"]


@step(settings={"resources": ResourceSettings(cpu_count=2)})
def enough(x: int) -> str:
    return os.environ["LIGHTNING_ZENML_MACHINE"]


@step(settings=on(custom_commands=["echo $TOLD > told.txt"], environment={"TOLD": "studio"}))
def in_studio(x: int) -> str:
    return open("told.txt").read()


@step(settings=on(machine_type="T4", custom_commands=["echo $TOLD > told.txt"], environment={"TOLD": "job"}))
def in_job(x: int) -> str:
    open(os.path.expanduser("~/model.bin"), "w").write("weights")
    return open("told.txt").read() + os.environ["FROM_COMMANDS"]


@step
def load() -> int:
    return 41


@step
def show(cheapest: str, enough: str, in_studio: str, in_job: str) -> None:
    print("SHOWN", [cheapest, enough, in_studio, in_job])


@pipeline(enable_cache=False, settings=on(custom_commands=["export FROM_COMMANDS=exported"], keep_studio="stop"))
def features():
    x = load()
    show(cheapest(x), enough(x), in_studio(x), in_job(x))


if __name__ == "__main__":
    features.with_options(run_name="features")()
"""
)


def test_what_a_step_may_ask_for(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    log = run(laptop, FEATURES)
    assert "SHOWN ['T4_SMALL', 'CPU', 'studio\\n', 'job\\nexported']" in log
    jobs = {job.name: job for job in cloud.jobs if job.name.startswith("features-")}
    assert {"features-cheapest", "features-in-job"} <= set(jobs)
    # `keep_studio` keeps jobs as well, so that what they leave can be looked at: it holds no secret.
    kept = cloud.artifacts(jobs["features-in-job"])
    assert "model.bin" in kept
    tokens = [value for name, value in laptop.environment().items() if name == "ZENML_STORE_API_KEY"] + [cloud.api_key]
    for job in jobs.values():
        told = job.spec["command"] + "".join(cloud.artifacts(job).values())
        assert not [token for token in (*tokens, *secrets_of(job)) if token in told]


def secrets_of(job: Job) -> list[str]:
    return [variable["value"] for variable in job.spec["env"] if "TOKEN" in variable["name"]]


LOSSES = (
    HEAD
    + """
from zenml import log_metadata
from zenml.client import Client
from zenml.config.retry_config import StepRetryConfig


@step(settings=on(machine_type="T4", interruptible=True, max_run_attempts=1), retry=StepRetryConfig(max_retries=1))
def repeated() -> None:
    context = get_step_context()
    attempts = Client().list_run_steps(name="repeated", pipeline_run_id=context.pipeline_run.id).total
    if attempts == 1:
        time.sleep(600)


@step(settings=on(machine_type="L4", interruptible=True, max_run_attempts=2))
def restarted() -> None:
    if "waited" not in get_step_context().step_run.run_metadata:
        log_metadata({"waited": True})
        time.sleep(600)


@step(settings=on(machine_type="T4", num_machines=2), retry=StepRetryConfig(max_retries=1))
def together() -> None:
    attempts = Client().list_run_steps(name="together", pipeline_run_id=get_step_context().pipeline_run.id).total
    if attempts == 1 and os.environ["RANK"] == "0":
        raise RuntimeError("it went wrong on one of two")


@pipeline(enable_cache=False, settings=on(machine_type="CPU", async_mode=True))
def losses():
    repeated()
    restarted()
    together(after=["repeated", "restarted"])


if __name__ == "__main__":
    losses.with_options(run_name="losses")()
"""
)


def test_lost_machines_cost_a_run_no_more_than_the_time(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run(laptop, LOSSES)
    run_id = laptop.last_run()["id"]

    def steps() -> dict[str, Any]:
        found = stack.zenml.request("GET", f"steps?pipeline_run_id={run_id}&size=100&hydrate=true")["items"]
        return {step["name"]: step for step in found if step["body"]["status"] != "retried"}

    def statuses() -> dict[str, str]:
        return {name: step["body"]["status"] for name, step in steps().items()}

    # A step whose machine is lost before it has noted that it waited would wait once more.
    wait_for(lambda: "restarted" in steps() and "waited" in steps()["restarted"]["metadata"]["run_metadata"])
    wait_for(lambda: statuses() == {"repeated": "running", "restarted": "running"})
    cloud.knobs.preempt |= {"losses-repeated", "losses-restarted"}
    wait_for(lambda: stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed")
    assert statuses() == dict.fromkeys(("repeated", "restarted", "together"), "completed")
    # ZenML's retry took a second job, Lightning's attempt the same one.
    assert [job.attempt for job in cloud.jobs if job.name == "losses-repeated"] == [1, 1]
    assert [job.attempt for job in cloud.jobs if job.name == "losses-restarted"] == [2]
    # What failed on one machine was tried again on both.
    assert [len(job.nodes) for job in cloud.jobs if job.name == "losses-together"] == [2, 2]
    wait_for(lambda: not cloud.running())


REFUSED = (
    HEAD
    + """
from zenml.config.retry_config import StepRetryConfig


@step(settings=on(machine_type="T4"), retry=StepRetryConfig(max_retries=1))
def refused() -> None: ...


@pipeline(
    enable_cache=False, settings=on(machine_type="CPU", environment={"LIGHTNING_ZENML_START_TIMEOUT": "2"})
)
def refusal():
    refused()


if __name__ == "__main__":
    refusal()
"""
)


def test_a_job_that_is_refused_or_never_comes_fails_its_step_and_says_why(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    cloud.knobs.fail.append(("POST", "/jobs$", 403, 3))
    cloud.knobs.never_come = {"T4"}
    (laptop.folder / "run.py").write_text(REFUSED)
    log = laptop.run(sys.executable, "run.py", check=False)
    run = laptop.last_run()
    assert run["status"] == "failed", log.stdout + log.stderr
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={run['id']}&size=100&hydrate=true")["items"]
    reasons = {step["body"]["status"]: step["metadata"]["exception_info"]["message"] for step in steps}
    assert "Can't start the job" in reasons["retried"]
    assert "403" in reasons["retried"]
    assert "No T4 within 2 s" in reasons["failed"]
    assert "Steps failed: refused. refused: No T4 within 2 s" in " ".join((log.stdout + log.stderr).split())
    reason = stack.zenml.request("GET", f"runs/{run['id']}?hydrate=true")["body"]["status_reason"]
    assert reason.startswith("Steps failed: refused. refused: No T4 within 2 s")
    assert [job.name for job in cloud.jobs if job.deleted is None and job.name.startswith("refusal")] == []
