"""However a run with Lightning jobs ends, no job outlives it; a controller that is killed finds its jobs again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, Laptop, controllers, wait_for

HANGING = """
import os, sys, time
from zenml import get_step_context, log_metadata, pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}


def hang_once(seconds):
    if "began" not in get_step_context().step_run.run_metadata:
        log_metadata({"began": True})
        time.sleep(seconds)


@step
def before() -> int:
    return 1


@step
def beside(x: int) -> int:
    hang_once(600)
    return x + 1


@step(settings=on(machine_type="T4"))
def job(x: int) -> int:
    hang_once(SECONDS)
    return x + 1


@step
def after(a: int, b: int) -> None:
    print("SUM", a + b, os.environ["GREETING"])


@pipeline(enable_cache=False, settings=on(machine_type="CPU", custom_commands=["export GREETING='hello there'"]))
def hanging():
    x = before()
    after(beside(x), job(x))


if __name__ == "__main__":
    hanging.with_options(settings=on(async_mode=True) if "--async" in sys.argv else {})()
"""


TRIES = 6
"""Times that the controller asks Lightning for one thing."""


def status_of(stack: Stack, run_id: str) -> str:
    found: str = stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"]
    return found


def began(stack: Stack, run_id: str) -> bool:
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={run_id}&size=100&hydrate=true")["items"]
    return {step["name"] for step in steps if "began" in step["metadata"]["run_metadata"]} == {"beside", "job"}


def submit(stack: Stack, laptop: Laptop, *, seconds: float = 600) -> str:
    (laptop.folder / "run.py").write_text(HANGING.replace("SECONDS", str(seconds)))
    laptop.run(sys.executable, "run.py", "--async")
    run_id: str = laptop.last_run()["id"]
    wait_for(lambda: began(stack, run_id))
    return run_id


@contextmanager
def followed(stack: Stack, laptop: Laptop) -> Iterator[str]:
    """As `submit`, with a client that follows the run and, at its end, releases what there is; waits for the client."""
    (laptop.folder / "run.py").write_text(HANGING.replace("SECONDS", "600"))
    newest = "runs?sort_by=desc:created&size=1"
    before = stack.zenml.request("GET", newest)["items"]
    with laptop.start(sys.executable, "run.py") as client:
        wait_for(lambda: stack.zenml.request("GET", newest)["items"] != before)
        run_id = stack.zenml.request("GET", newest)["items"][0]["id"]
        wait_for(lambda: began(stack, run_id))
        yield run_id
        client.communicate(timeout=300)


def refuse_to_end_jobs(cloud: LightningCloud, deletions: int) -> None:
    """Lightning stops no job, and deletes none so many times."""
    cloud.knobs.fail += [("PUT", "/jobs/", 503, 1000), ("DELETE", "/jobs/", 503, deletions)]


@pytest.mark.slow
@pytest.mark.parametrize("is_followed", [False, True], ids=["alone", "followed"])
def test_no_job_outlives_a_run_that_is_stopped(
    stack: Stack, cloud: LightningCloud, laptop: Laptop, is_followed: bool
) -> None:
    with followed(stack, laptop) if is_followed else nullcontext(submit(stack, laptop)) as run_id:
        # The controller gives up for the step's job and for the snapshot's: whoever ends the launch has to.
        refuse_to_end_jobs(cloud, 2 * TRIES + 1)
        laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--graceful", "--yes")
    wait_for(lambda: not cloud.running())
    wait_for(lambda: status_of(stack, run_id) == "stopped")
    # All but a few, that is: a job may end by itself meanwhile.
    (left,) = [times for verb, _, _, times in cloud.knobs.fail if verb == "DELETE"]
    assert left <= TRIES


@pytest.mark.slow
def test_no_job_outlives_a_run_that_is_stopped_by_force(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run_id = submit(stack, laptop)
    refuse_to_end_jobs(cloud, 1000)
    stopped = laptop.run("zenml", "pipeline", "runs", "stop", run_id, "--yes")
    assert "stays on and tries again" in " ".join((stopped.stdout + stopped.stderr).split())
    assert status_of(stack, run_id) == "stopped"
    assert any(name.endswith("-job") for name in cloud.running())
    cloud.knobs.fail.clear()
    wait_for(lambda: not cloud.running())


def test_no_job_outlives_a_supervisor_that_is_killed(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    run_id = submit(stack, laptop)
    refuse_to_end_jobs(cloud, 2)
    (controller,) = controllers(run_id)
    os.kill(parent_of(parent_of(controller)), signal.SIGKILL)
    wait_for(lambda: not cloud.running())
    wait_for(lambda: status_of(stack, run_id) == "failed")


@pytest.mark.parametrize(
    ("verb", "status"), [("refresh", "failed"), pytest.param("stop", "stopped", marks=pytest.mark.slow)]
)
def test_a_job_whose_studio_is_lost_is_ended_by_whoever_looks(
    stack: Stack, cloud: LightningCloud, laptop: Laptop, verb: str, status: str
) -> None:
    run_id = submit(stack, laptop)
    (studio,) = [one for one in cloud.running() if one.startswith("zenml-hanging")]
    cloud.knobs.vanish.add(studio)
    wait_for(lambda: studio not in cloud.running())
    assert cloud.running()
    laptop.run("zenml", "pipeline", "runs", verb, run_id, *(["--yes"] if verb == "stop" else []))
    assert not cloud.running()
    assert status_of(stack, run_id) == status


def test_a_killed_controller_finds_its_job_again_and_repeats_what_died_with_it(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    jobs = len(cloud.jobs)
    run_id = submit(stack, laptop, seconds=20)
    (controller,) = controllers(run_id)
    os.kill(controller, signal.SIGKILL)
    wait_for(lambda: status_of(stack, run_id) == "completed")
    assert len([job for job in cloud.jobs[jobs:] if job.name.endswith("-job")]) == 1
    steps = stack.zenml.request("GET", f"steps?pipeline_run_id={run_id}&size=100")["items"]
    assert {step["name"]: step["body"]["status"] for step in steps} == dict.fromkeys(
        ("before", "beside", "job", "after"), "completed"
    )
    wait_for(lambda: not cloud.running())


def test_a_step_of_the_action_runs_as_a_job_and_counts_in_the_cost(
    stack: Stack, cloud: LightningCloud, actions: Actions
) -> None:
    # A job that has ended costs nothing: it spoils nothing either, when it can't be deleted.
    refuse_to_end_jobs(cloud, 2 * TRIES)
    step = actions.step({"run.py": HANGING.replace("hang_once(600)", "pass").replace("SECONDS", "8")})
    done = step.run()
    assert done.exit_code == 0, done.log
    assert "[job] " in done.log
    assert "[after] SUM 4 hello there" in done.log
    assert {job.offer.machine.name for job in cloud.jobs if job.name.endswith("-job")} == {"T4"}
    assert ("DELETE", "/jobs/", 503, 0) in cloud.knobs.fail
    wait_for(lambda: not cloud.running())


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
