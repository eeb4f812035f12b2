"""Dynamic pipelines from a laptop's client that don't end well; test_examples.py has one that does."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from dataclasses import replace

import pytest

from localcloud.chaos import Fault, chaos
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Laptop, controllers, wait_for

DYNAMIC = """
import contextlib, os, socket, sys, time
from zenml import CommandStep, get_step_context, log_metadata, pipeline, step, wait
from zenml.client import Client
from zenml.config.retry_config import StepRetryConfig
from zenml.enums import StepRuntime
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


def hang_once(seconds) -> None:
    if "began" not in get_step_context().step_run.run_metadata:
        log_metadata({"began": True})
        time.sleep(seconds)


@step(runtime=StepRuntime.ISOLATED)
def apart() -> int:
    hang_once(600)
    return 1


@step(settings=on(machine_type="T4"))
def job() -> int:
    hang_once(60)
    return 2


@step
def add(a: int, b: int) -> None:
    print("SUM", a + b)


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU", async_mode=True))
def lasting():
    a, b = apart.submit(), job.submit()
    add(a, b)


@step(settings=on(machine_type="T4"))
def train() -> None:
    print("Parent")


@step(name="train", settings=on(machine_type="T4", num_machines=2))
def train_on_two() -> None:
    print("Child, rank", os.environ["RANK"], os.environ["LIGHTNING_ZENML_ORCHESTRATOR_RUN_ID"], flush=True)
    # As in any training on several machines, none is done before the others.
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    if os.environ["RANK"] == "0":
        with socket.create_server(address) as server:
            server.accept()
        return
    while True:
        with contextlib.suppress(OSError):
            return socket.create_connection(address).close()
        time.sleep(0.1)


@pipeline(dynamic=True, enable_cache=False)
def child():
    train_on_two()


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU"))
def parent():
    train()
    child()


@step(settings=on(machine_type="T4"), retry=StepRetryConfig(max_retries=2))
def refused() -> None: ...


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU"))
def refusal():
    refused.submit()


@step
def go_on() -> None:
    log_metadata({"again": True}, run_id_name_or_prefix=get_step_context().pipeline_run.id)
    time.sleep(600)


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU", async_mode=True))
def retried():
    run = Client().get_pipeline_run("retried")
    if "tried" not in run.run_metadata:
        log_metadata({"tried": True}, run_id_name_or_prefix=run.id)
        raise ValueError("not yet")
    go_on()


@step(settings=on(machine_type="T4"))
def measure() -> int:
    return 7


@pipeline(dynamic=True, enable_cache=False, depends_on=[measure], settings=on(machine_type="CPU"))
def approved():
    measured = measure.submit()
    # ZenML pauses the run once nothing else is left to do.
    print("APPROVED", wait(schema=bool, timeout=0, question="Deploy it?", after=measured))


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


def test_a_job_that_is_refused_counts_as_a_try_in_a_dynamic_pipeline_too(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    cloud.knobs.fail.append(("POST", "/jobs$", 403, 3))
    run(laptop, "refusal")
    run_id = laptop.last_run()["id"]
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={run_id}&size=100&hydrate=true")["items"]
    assert sorted(step["body"]["status"] for step in steps) == ["completed", "retried"]
    (reason,) = [step["metadata"]["exception_info"]["message"] for step in steps if step["body"]["status"] == "retried"]
    assert "Can't start the job" in reason


@pytest.mark.slow
def test_a_dynamic_pipeline_is_stopped_through_zenml(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run(laptop, "hanging")
    run_id = laptop.last_run()["id"]
    wait_for(lambda: any(name.startswith("hanging-hang") for name in cloud.running()))
    laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--yes")
    wait_for(lambda: stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "stopped")
    wait_for(lambda: not cloud.running())


def test_a_killed_controller_of_a_dynamic_pipeline_goes_on_with_its_isolated_steps(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    def steps() -> dict[str, tuple[str, bool]]:
        found = stack.zenml.request("GET", f"steps?pipeline_run_id={run_id}&size=100&hydrate=true")["items"]
        return {step["name"]: (step["body"]["status"], "began" in step["metadata"]["run_metadata"]) for step in found}

    run(laptop, "lasting")
    run_id = laptop.last_run()["id"]
    wait_for(lambda: steps() == dict.fromkeys(("apart", "job"), ("running", True)))
    (controller,) = controllers(run_id)
    os.kill(controller, signal.SIGKILL)
    wait_for(lambda: stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"] == "completed")
    assert steps() == {"apart": ("completed", True), "job": ("completed", True), "add": ("completed", False)}
    assert len([job for job in cloud.jobs if job.name.startswith("lasting-job")]) == 1
    wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_the_steps_of_a_child_pipeline_have_jobs_of_their_own(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    log = run(laptop, "parent")
    assert "[train] Parent" in log
    ranks = re.findall(r"\[train\] Child, rank (\d) (\S+)", log)
    # ZenML knows a child's run by its parent's orchestrator run id.
    (root,) = {root for _, root in ranks}
    assert {rank for rank, _ in ranks} == {"0", "1"}
    (found,) = stack.zenml.request("GET", "runs?name=parent")["items"]
    assert root.endswith(found["id"][:8])
    wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_a_paused_run_costs_nothing_and_is_resumed(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run(laptop, "approved")
    run_id = laptop.last_run()["id"]
    assert laptop.last_run()["status"] == "paused"
    wait_for(lambda: not cloud.running())
    (condition,) = stack.zenml.request("GET", f"run_wait_conditions?pipeline_run={run_id}")["items"]
    resolve = ("resolve", condition["id"], "--resolution", "continue", "--result", "true")
    laptop.run("zenml", "pipeline", "runs", "wait-conditions", *resolve)
    elsewhere = Laptop(stack, laptop.folder.parent / "elsewhere")
    elsewhere.folder.mkdir()
    refused = elsewhere.run("zenml", "pipeline", "runs", "resume", run_id, check=False)
    assert "there is no module `run`, which holds `approved`" in " ".join((refused.stdout + refused.stderr).split())
    assert laptop.last_run()["status"] == "paused"
    log = laptop.run("zenml", "pipeline", "runs", "resume", run_id)
    assert "APPROVED True" in log.stdout + log.stderr
    assert laptop.last_run()["status"] == "completed"
    assert len([job for job in cloud.jobs if job.name.startswith("approved-measure")]) == 1
    # As the pipeline says which steps it may call, the snapshot was taken ahead of its time.
    assert cloud.job("approved-snapshot").deleted is not None
    wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_a_run_that_is_retried_is_found_where_it_runs_now(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    def metadata() -> dict[str, object]:
        found: dict[str, object] = stack.zenml.request("GET", f"runs/{run_id}?hydrate=true")["metadata"]["run_metadata"]
        return found

    run(laptop, "retried")
    run_id = laptop.last_run()["id"]
    wait_for(lambda: laptop.last_run()["status"] == "failed")
    wait_for(lambda: not cloud.running())
    first = metadata()
    laptop.run("zenml", "pipeline", "runs", "retry", run_id)
    wait_for(lambda: "again" in metadata())
    (studio,) = cloud.running()
    assert str(metadata()["orchestrator_url"]).endswith(f"/{studio}/code")
    assert metadata()["orchestrator_url"] != first["orchestrator_url"]
    laptop.run("zenml", "pipeline", "runs", "refresh", run_id)
    assert laptop.last_run()["status"] == "running"
    laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--yes")
    wait_for(lambda: not cloud.running(), 60)
    assert laptop.last_run()["status"] == "stopped"


FAULTY = """
from zenml import pipeline, step
from zenml.enums import StepRuntime
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}


@step
def load() -> int:
    return 20


@step(runtime=StepRuntime.ISOLATED)
def apart(number: int) -> int:
    return number + 1


@step(settings=on(machine_type="T4"))
def job(number: int) -> int:
    return number * 2


@step
def add(a: int, b: int) -> None:
    print("SUM", a + b)


@pipeline(dynamic=True, enable_cache=False, settings=on(machine_type="CPU"))
def faulty():
    number = load()
    a, b = apart.submit(number), job.submit(number)
    add(a, b)


if __name__ == "__main__":
    faulty.with_options(run_name="faulty")()
"""
LOST = (
    Fault.reset(after=True),
    Fault.cut_short(),
    Fault.html().after_execution(),
    Fault.status(502).after_execution(),
    Fault.body("{}"),
)
"""The request is carried out, and its answer never comes."""


@pytest.mark.slow
def test_whatever_answers_a_dynamic_pipeline_loses_it_runs_once_and_to_its_end(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    """Of ZenML every second answer to what creates something, and of Lightning the first of each kind."""
    (laptop.folder / "run.py").write_text(FAULTY)
    studios, jobs = len(cloud.studios), len(cloud.jobs)
    with chaos(stack) as proxied:
        for turn, fault in zip(range(60), itertools.cycle(LOST), strict=False):
            proxied.zenml.fault(fault, "POST", "/api/v1/(?!login).*", nth=2 * turn + 1)
        for turn, fault in enumerate((*LOST, Fault.status(500), Fault.status(403))):
            proxied.zenml.fault(fault, "GET|PUT", "/api/v1/(runs|steps)(/{id})?", nth=4 * turn + 2)
        for route in (".*/cloudspaces", ".*/cloudspaces/{id}/start", ".*/jobs"):
            proxied.lightning.fault(Fault.reset(after=True), "POST", route, nth=1)
        far = replace(laptop, stack=replace(stack, environment=proxied.environment))
        completed = far.run(sys.executable, "run.py", check=False)
        met = {call.service for call in proxied.calls if call.fault}

    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert met >= {"zenml", "lightning"}
    run = laptop.last_run()
    assert (run["name"], run["status"]) == ("faulty", "completed")
    runs = stack.zenml.request("GET", "runs?pipeline_name=faulty")["items"]
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={run['id']}&size=50")["items"]
    assert len(runs) == 1
    assert sorted(step["name"].partition(":")[0] for step in steps) == ["add", "apart", "job", "load"]
    assert {step["body"]["status"] for step in steps} == {"completed"}
    wait_for(lambda: not cloud.running())
    made = [job.name for job in cloud.jobs[jobs:]]
    # One takes the snapshot that the other one's machine starts from.
    assert (len(cloud.studios) - studios, len(made) <= 2) == (1, True), made
