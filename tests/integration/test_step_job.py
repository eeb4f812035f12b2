"""The job of a step on the stand-in for Lightning AI, where that refuses to tell of it, to stop or to delete it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_api import QUICK, eventually, lent
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import TIMED_OUT
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.records import JobRecord
from lightning_zenml.launch.payload.variables import SOURCE_ROOT
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps.job import LOST, StepJob
from lightning_zenml.orchestrator.steps.job_starter import StepJobs
from lightning_zenml.orchestrator.steps.placement import OwnMachines
from localcloud.lightning import LightningCloud

FOR_GOOD = 1000
"""Requests: more than anything sends again."""


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud, **QUICK) as cloud:
        yield cloud


@pytest.fixture
def context(tmp_path: Path, cloud: LightningCloud, lightning: Lightning) -> Iterator[LaunchContext]:
    """A launch in a studio of that name; whoever ends it ends its jobs."""
    studio = Studio.create(lightning, tmp_path.name, cluster=None)
    (cloud.studio(studio.name).home / "code").mkdir()
    yield LaunchContext(
        id=tmp_path.name,
        directory=tmp_path,
        code=Path.home() / "code",
        studio_name=studio.name,
        studio_url=studio.url,
        machine="CPU",
        teamspace="acme/vision",
        restarted=False,
    )
    cloud.knobs.fail.clear()
    Job.end_all(lightning, tmp_path.name)
    studio.delete()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def jobs(context: LaunchContext, lightning: Lightning, output: io.StringIO) -> StepJobs:
    return jobs_of(context, lightning, output)


def jobs_of(context: LaunchContext, lightning: Lightning, output: io.StringIO) -> StepJobs:
    studio = Studio.find(lightning, context.studio_name)
    assert studio is not None
    return StepJobs(
        lightning,
        studio,
        context,
        run_id="run-1",
        run_name="run",
        orchestrator_run_id=f"{context.id}-run",
        output=output,
    )


def begin(
    jobs: StepJobs,
    lightning: Lightning,
    *program: str,
    machines: Sequence[str] = ("T4",),
    count: int = 1,
    **settings: Any,
) -> StepJob:
    own = OwnMachines(kinds=tuple(map(Catalog(lightning, None).machine, machines)), count=count)
    environment = {SOURCE_ROOT: str(Path.home() / "code")}
    wanted = LightningOrchestratorSettings(**settings)
    return jobs.begin("train", program, own=own, settings=wanted, environment=environment)


def records(context: LaunchContext) -> dict[str, Any]:
    """The last word about each job, as whoever ends the launch gets it."""
    lines = (context.directory / "jobs.jsonl").read_text().splitlines()
    return {record["step"]: record for record in map(json.loads, lines)}


@pytest.mark.parametrize("interruptible", [False, True])
def test_a_job_costs_what_it_is_billed(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs, interruptible: bool
) -> None:
    # Longer than anybody waits for what it has cost.
    cloud.knobs.cost_delay_seconds, before = 600, len(cloud.intervals)
    step = begin(jobs, lightning, "sleep", "3", interruptible=interruptible)
    offer = cloud.job(step.job.name).offer
    assert records(context)["train"]["price"] == (offer.spot_price if interruptible else offer.price)
    assert offer.spot_price < offer.price
    eventually(lambda: step.poll() is not None)
    billed = sum(interval.cost for interval in cloud.intervals[before:] if interval.name == step.job.name)
    # By Lightning's own times, not by those of the looks.
    assert JobRecord.from_json(records(context)["train"]).cost == pytest.approx(billed, rel=0.2)


def test_a_command_on_several_machines_has_what_pytorch_reads(
    lightning: Lightning, jobs: StepJobs, output: io.StringIO
) -> None:
    command = 'echo "$RANK/$NODE_RANK of $WORLD_SIZE at ${MASTER_ADDR:?}:${MASTER_PORT:?}"'
    step = begin(jobs, lightning, "bash", "-c", command, count=2)
    eventually(lambda: step.poll() is not None)
    assert step.poll() == 0
    assert {line.split(" at ")[0] for line in output.getvalue().splitlines() if " of 2" in line} == {
        "[train] 0/0 of 2",
        "[train] 1/1 of 2",
    }


def test_an_ended_job_that_may_not_be_deleted_counts_as_it_ended(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs
) -> None:
    cloud.knobs.fail.append(("DELETE", "/jobs/", 500, FOR_GOOD))
    step = begin(jobs, lightning, "true")
    eventually(lambda: step.poll() is not None)
    assert step.poll() == 0
    assert records(context)["train"]["ended"] is not None
    assert records(context)["train"]["url"] == step.job.url
    assert cloud.running() == []


@pytest.mark.parametrize("keep", ["auto", "keep"])
def test_a_page_is_told_of_as_long_as_it_is_there(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs, keep: str
) -> None:
    step = begin(jobs, lightning, "true", keep_studio=keep)
    eventually(lambda: step.poll() is not None)
    assert (cloud.job(step.job.name).deleted is None) == (keep == "keep")
    assert records(context)["train"]["url"] == (step.job.url if keep == "keep" else "")
    assert records(context)["train"]["ended"] is not None


@pytest.mark.parametrize(
    ("command", "refused", "status", "exit_code"),
    [("exit 3", "/page-logs$", 403, 3), ("exit 3", "/page-logs$", 404, 3), ("true", "/blobs/jobs/", 403, 0)],
    ids=["log refused", "log not found", "result refused"],
)
def test_a_step_ends_with_its_job_whatever_of_it_cannot_be_read(
    cloud: LightningCloud,
    lightning: Lightning,
    jobs: StepJobs,
    command: str,
    refused: str,
    status: int,
    exit_code: int,
) -> None:
    cloud.knobs.fail.append(("GET", refused, status, FOR_GOOD))
    step = begin(jobs, lightning, "bash", "-c", command)
    eventually(lambda: step.poll() is not None)
    assert step.poll() == exit_code
    assert cloud.knobs.fail[0][3] < FOR_GOOD
    assert cloud.running() == []


def test_a_step_that_takes_too_long_has_time_for_an_orderly_end(
    lightning: Lightning, jobs: StepJobs, output: io.StringIO
) -> None:
    program = "trap 'sleep 1; echo saved; exit' TERM; while true; do sleep 0.1; done"
    step = begin(jobs, lightning, "bash", "-c", program, max_runtime=1)
    eventually(lambda: step.poll() is not None)
    assert step.poll() == TIMED_OUT
    assert "[train] saved" in output.getvalue()


@pytest.mark.parametrize("refused", [("DELETE", 503), ("PUT", 429)], ids=["delete", "stop"])
def test_a_job_that_could_not_be_ended_is_left_to_whoever_ends_the_launch(
    cloud: LightningCloud,
    lightning: Lightning,
    context: LaunchContext,
    jobs: StepJobs,
    refused: tuple[str, int],
) -> None:
    method, status = refused
    step = begin(jobs, lightning, "sleep", "3000")
    eventually(cloud.running)
    cloud.knobs.fail.append((method, "/jobs/", status, FOR_GOOD))
    if method == "PUT":
        step.terminate()
    step.kill()
    assert step.poll() == LOST
    is_left = bool(cloud.running())
    assert is_left == (method == "DELETE")
    assert (records(context)["train"]["ended"] is None) == is_left
    cloud.knobs.fail.clear()
    Job.end_all(lightning, context.id)
    assert cloud.running() == []


def test_a_refused_stop_is_asked_for_again(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs
) -> None:
    step = begin(jobs, lightning, "sleep", "3000")
    eventually(cloud.running)
    # More than one call sends, whose pauses are random, and fewer than two.
    cloud.knobs.fail.append(("PUT", "/jobs/", 503, 11))
    step.terminate()
    assert cloud.running()
    # Some tries more, beside other work slow ones.
    eventually(lambda: step.poll() is not None, seconds=600)
    assert step.poll() == LOST
    assert cloud.running() == []


def test_the_job_of_the_snapshot_is_left_to_whoever_ends_the_launch(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs
) -> None:
    cloud.knobs.collect_seconds = 300
    cloud.knobs.fail.append(("DELETE", "/jobs/", 503, FOR_GOOD))
    taking = jobs.take_snapshot(Catalog(lightning, None).cheapest(cpus=1))
    taking.kill()
    assert records(context)["(snapshot)"]["ended"] is None
    cloud.knobs.fail.clear()
    Job.end_all(lightning, context.id)
    assert [job.name for job in cloud.jobs if job.deleted is None and context.id in job.spec["command"]] == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_ZENML_START_TIMEOUT", "3")


@pytest.mark.usefixtures("impatient")
def test_the_next_machine_is_taken_when_the_first_never_comes_to_a_step(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs, output: io.StringIO
) -> None:
    cloud.knobs.never_come = {"L4"}
    step = begin(jobs, lightning, "nvidia-smi", "-L", machines=("L4", "T4"))
    first = step.job
    eventually(lambda: step.poll() is not None)
    assert step.poll() == 0
    assert "No L4 within 3 s; there may be no capacity. Next: T4" in output.getvalue()
    assert "NVIDIA T4" in output.getvalue()
    assert cloud.job(first.name).deleted is not None
    lines = map(json.loads, (context.directory / "jobs.jsonl").read_text().splitlines())
    last_words = {record["token"]: record for record in lines}.values()
    assert [(one["machine"], one["ended"] is None) for one in last_words] == [("L4", False), ("T4", False)]


@pytest.mark.usefixtures("impatient")
def test_a_step_whose_machine_never_comes_has_failed_and_says_why(
    cloud: LightningCloud, lightning: Lightning, jobs: StepJobs
) -> None:
    cloud.knobs.never_come = {"T4"}
    cloud.knobs.fail.append(("DELETE", "/jobs/", 503, 7))
    step = begin(jobs, lightning, "true")
    eventually(lambda: step.poll() is not None)
    assert step.poll() == LOST
    assert str(step.error) == (
        "No T4 within 3 s; there may be no capacity. Try later, or name several machines in order of preference."
    )
    assert cloud.job(step.job.name).deleted is not None


@pytest.mark.usefixtures("impatient")
def test_a_controller_that_is_started_again_finds_the_job_on_the_second_machine(
    cloud: LightningCloud, lightning: Lightning, context: LaunchContext, jobs: StepJobs
) -> None:
    cloud.knobs.never_come = {"L4"}
    step = begin(jobs, lightning, "sleep", "3000", machines=("L4", "T4"))
    eventually(lambda: step.poll() is None and cloud.running())
    restarted = jobs_of(replace(context, restarted=True), lightning, io.StringIO())
    again = begin(restarted, lightning, "sleep", "3000", machines=("L4", "T4"))
    assert again.job.id == step.job.id
    again.kill()
    assert cloud.running() == []
