"""Jobs of the core on the stand-in for Lightning AI: real HTTP, real processes, the real client of lightning-sdk."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from zenml.config import ResourceSettings
from zenml.config.step_configurations import Step

from lightning_api import QUICK, eventually, lent
from lightning_zenml.launch.errors import LaunchError, MachineError
from lightning_zenml.launch.lightning import job_request
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.job import Job, JobError, JobLostError
from lightning_zenml.launch.lightning.job_request import TIMED_OUT, JobSpec
from lightning_zenml.launch.lightning.machines import Catalog, Machine
from lightning_zenml.launch.lightning.records import JobPhase, JobState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps.placement import Placement, resources_of
from localcloud.lightning import LightningCloud


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud, **QUICK) as cloud:
        yield cloud


@pytest.fixture
def studio(cloud: LightningCloud, lightning: Lightning) -> Iterator[Studio]:
    studio = Studio.create(lightning, "studio", cluster=None)
    yield studio
    studio.delete()
    for job in cloud.jobs:
        if job.deleted is None:
            Job(
                lightning,
                id=job.id,
                name=job.name,
                token="",
                studio_name="studio",
                num_machines=len(job.nodes),
            ).delete()


@pytest.fixture
def machine(lightning: Lightning) -> Machine:
    return Catalog(lightning, None).machine("CPU")


def end(job: Job) -> JobState:
    """The state that a job ends in, with its exit code where it has one to come."""
    deadline = time.monotonic() + 300
    while True:
        state = job.state()
        if state.phase is JobPhase.STOPPED or state.exit_code is not None:
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def messages(job: Job) -> list[str]:
    return [line.message for line in job.logs()]


def present(cloud: LightningCloud) -> list[str]:
    return [job.name for job in cloud.jobs if job.deleted is None]


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_job_ends_with_the_exit_code_of_its_command(
    cloud: LightningCloud,
    lightning: Lightning,
    studio: Studio,
    machine: Machine,
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login octocat password hunter2\n")
    # The user's own, which must not replace our key.
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    command = f'echo "it\'s"; (exit {exit_code})'
    job = Job.run(lightning, studio, JobSpec(name="A Step!", command=command, machine=machine))
    state = end(job)
    assert (state.phase, state.exit_code) == (JobPhase.FAILED if exit_code else JobPhase.COMPLETED, exit_code)
    assert (job.name, messages(job)) == ("a-step", ["it's"])
    assert job.url == f"{cloud.url}/acme/vision/studios/studio/app?app_id=jobs&job_name=a-step"


def test_secrets_are_in_the_environment_and_nowhere_else(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    environment = {"TOKEN": "hunter2hunter2"}
    job = Job.run(
        lightning,
        studio,
        JobSpec(
            name="job",
            command='test "$TOKEN" = hunter2hunter2',
            machine=machine,
            environment=environment,
        ),
    )
    assert end(job).exit_code == 0
    sent = [request.body for request in cloud.requests if request.method == "POST" and request.path.endswith("/jobs")]
    assert "hunter2hunter2" in f"{sent[-1]['spec'].pop('env')}"
    drive = [path.read_text() for path in (cloud.root / "drive").rglob("*") if path.is_file()]
    assert drive
    assert "hunter2hunter2" not in "".join(drive)


def test_a_lost_answer_makes_no_second_job(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    cloud.knobs.lose_answers.append(("POST", "/jobs$"))
    job = Job.run(lightning, studio, JobSpec(name="lost", command="true", machine=machine))
    assert present(cloud) == ["lost"]
    assert cloud.job("lost").id == job.id
    assert end(job).exit_code == 0


def test_a_request_that_never_arrived_is_sent_again(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    cloud.knobs.fail.append(("POST", "/jobs$", 503, 1))
    job = Job.run(lightning, studio, JobSpec(name="again", command="true", machine=machine))
    assert present(cloud) == ["again"]
    assert end(job).exit_code == 0


def test_a_twin_is_deleted(cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine) -> None:
    # As when a request that was taken for lost is carried out after all, beside the one that was sent again.
    first = Job.run(lightning, studio, JobSpec(name="twin", command="sleep 60", machine=machine, token="0123"))
    cloud.knobs.lose_answers.append(("POST", "/jobs$"))
    second = Job.run(lightning, studio, JobSpec(name="twin", command="sleep 60", machine=machine, token="0123"))
    assert (second.id, present(cloud)) == (first.id, ["twin"])


def test_a_refusal_is_told_at_once(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    cloud.knobs.fail.append(("POST", "/jobs$", 403, 9))
    with pytest.raises(JobError, match=r"Can't start the job 'no'.*403"):
        Job.run(lightning, studio, JobSpec(name="no", command="true", machine=machine))
    assert cloud.knobs.fail == [("POST", "/jobs$", 403, 6)]


@pytest.mark.parametrize("num_machines", [1, 2])
def test_a_job_is_found_again_by_its_token(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine, num_machines: int
) -> None:
    cloud.knobs.page_size = 1
    arguments: dict[str, Any] = {"name": "job", "command": "true", "machine": machine, "num_machines": num_machines}
    jobs = [Job.run(lightning, studio, JobSpec(token=token, **arguments)) for token in ("aaaa", "bbbb")]
    found = Job.find(lightning, studio, "bbbb", num_machines=num_machines)
    assert found is not None
    assert (found.id, found.name) == (jobs[1].id, jobs[1].name)
    assert Job.find(lightning, studio, "cccc", num_machines=num_machines) is None
    assert [end(job).exit_code for job in jobs] == [0, 0]


def test_what_runs_in_a_job_has_time_for_an_orderly_end_when_its_shell_is_told_to_end(tmp_path: Path) -> None:
    inner = "trap 'sleep 1; echo saved > saved; exit 5' TERM; touch up; while true; do sleep 0.1; done"
    machine = Machine(name="CPU", compute_name="cpu-4", aliases=frozenset(), gpus=0)
    spec = JobSpec(
        name="job", command=f"(bash -c {shlex.quote(inner)})", machine=machine, max_runtime=60, token="token"
    )
    request = job_request.build(spec, studio_id="studio", cluster="cluster")
    # As the platform runs it.
    job = subprocess.Popen(["bash", "-c", f"set -e\n{request.spec.command}"], env={**os.environ, "HOME": str(tmp_path)})
    eventually((tmp_path / "up").exists)
    job.terminate()
    assert job.wait(300) != 0
    assert (tmp_path / "saved").exists()
    assert int((tmp_path / job_request.result_file("token")).read_text()) == job.returncode


def test_max_runtime_is_kept(cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine) -> None:
    job = Job.run(lightning, studio, JobSpec(name="slow", command="sleep 60 & wait", machine=machine, max_runtime=1))
    assert end(job).exit_code == TIMED_OUT


def test_jobs_share_a_snapshot_only_where_asked(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    word = cloud.studio("studio").home / "word"
    logs = []
    for content, snapshot in (("one", "run"), ("two", "run"), ("three", "")):
        word.write_text(content)
        job = Job.run(lightning, studio, JobSpec(name="job", command="cat word", machine=machine, snapshot=snapshot))
        end(job)
        logs += messages(job)
    assert logs == ["one", "one", "three"]


def test_several_machines(cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine) -> None:
    command = "echo $NODE_RANK at $MASTER_ADDR; exit $NODE_RANK"
    job = Job.run(lightning, studio, JobSpec(name="pair", command=command, machine=machine, num_machines=2))
    eventually(lambda: job.state().phase.ended)
    state = job.state()
    assert state.phase is JobPhase.FAILED
    assert set(messages(job)) <= {"0 at 127.0.0.1", "1 at 127.0.0.1"}
    assert "1 at 127.0.0.1" in messages(job)
    assert job.url == f"{cloud.url}/acme/vision/jobs/pair?app_id=mmt"


@pytest.mark.parametrize("num_machines", [1, 2])
def test_machines_are_kept_for_the_next_job(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine, num_machines: int
) -> None:
    cloud.knobs.kept_minute_seconds = 3600
    spec = JobSpec(name="first", command="true", machine=machine, num_machines=num_machines, keep_minutes=3)
    first = Job.run(lightning, studio, spec)
    end(first)
    eventually(lambda: len(cloud.running()) == num_machines, "billed though the job has ended")

    # No other machine comes.
    cloud.knobs.start_seconds = 3600
    following = Job.run(lightning, studio, replace(spec, name="following", token="following", keep_minutes=0))
    assert end(following).exit_code == 0
    eventually(lambda: not cloud.running(), "each machine is taken once")

    cloud.knobs.start_seconds = 0
    cloud.knobs.kept_minute_seconds = 0.1
    end(Job.run(lightning, studio, replace(spec, name="last", token="last")))
    eventually(lambda: not cloud.running(), "the minutes are over")


@pytest.mark.parametrize("num_machines", [1, 2])
def test_stop_and_delete_are_harmless_twice(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine, num_machines: int
) -> None:
    job = Job.run(
        lightning, studio, JobSpec(name="job", command="sleep 60", machine=machine, num_machines=num_machines)
    )
    eventually(lambda: job.state().phase is JobPhase.RUNNING)
    job.stop()
    state = end(job)
    assert (state.phase, state.exit_code) == (JobPhase.STOPPED, None)
    job.stop()
    job.delete()
    job.delete()
    job.stop()
    with pytest.raises(JobLostError, match="is gone"):
        job.state()
    assert present(cloud) == []


@pytest.mark.parametrize("num_machines", [1, 2])
def test_jobs_that_are_refused_keep_none_of_the_others_alive(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine, num_machines: int
) -> None:
    jobs = [
        Job.run(
            lightning,
            studio,
            JobSpec(
                name=name,
                command="sleep 60",
                machine=machine,
                num_machines=num_machines,
                token=f"launch-{name}",
            ),
        )
        for name in ("first", "second")
    ]
    cloud.knobs.fail.append(("DELETE", f"jobs/{jobs[0].id}$", 403, 3))
    with pytest.raises(LaunchError, match="403"):
        Job.end_all(lightning, "launch")
    assert present(cloud) == ["first"]
    Job.end_all(lightning, "launch")
    assert present(cloud) == []


def test_an_interrupted_job_goes_on(
    cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine
) -> None:
    job = Job.run(
        lightning,
        studio,
        JobSpec(
            name="spot",
            command="echo here; sleep 60",
            machine=machine,
            interruptible=True,
            max_run_attempts=2,
        ),
    )
    eventually(lambda: "here" in messages(job))
    cloud.knobs.preempt.add("spot")
    eventually(lambda: job.state().phase is JobPhase.RUNNING and cloud.job("spot").attempt == 2)
    job.stop()
    assert end(job).phase is JobPhase.STOPPED


def test_logs_since(cloud: LightningCloud, lightning: Lightning, studio: Studio, machine: Machine) -> None:
    job = Job.run(lightning, studio, JobSpec(name="job", command="echo one; sleep 0.3; echo two", machine=machine))
    end(job)
    one, two = job.logs()
    assert two.timestamp is not None
    assert job.logs(since=two.timestamp) == [two]
    assert (one.number, one.machine) != (two.number, "")


def test_every_machine_of_the_account_is_told_with_its_size_and_price(lightning: Lightning) -> None:
    machines = {machine.name: machine for machine in Catalog(lightning, None).machines()}
    small, gpus = machines["CPU_SMALL"], machines["T4_X_4"]
    assert (small.family, small.cpus, small.gpus, small.cost) == ("CPU", 2, 0, 0.22)
    assert (gpus.family, gpus.cpus, gpus.gpus, gpus.cost) == ("T4", 32, 4, 3.92)


def test_the_cheapest_machine_that_holds_the_resources(cloud: LightningCloud, lightning: Lightning) -> None:
    def cheapest(cluster: str | None = None, **resources: float) -> str:
        return Catalog(lightning, cluster).cheapest(**resources).name  # type: ignore[arg-type]

    assert cheapest() == "CPU_SMALL"
    assert cheapest(cpus=3) == "CPU"
    assert cheapest(gpus=1) == "T4_SMALL"
    assert cheapest(gpus=1, cpus=8, memory=10**9) == "T4"
    assert cheapest(gpus=3) == "T4_X_4"
    assert cheapest("gcp-lightning-public-prod", gpus=8, cpus=64) == "T4_X_8"
    cloud.knobs.out_of_capacity.add("T4_SMALL")
    assert cheapest(gpus=1) == "T4"
    with pytest.raises(MachineError, match="no machine with capacity now that holds 9 GPUs"):
        cheapest(gpus=9)


def test_several_machines_are_several_also_where_the_studios_holds_what_is_asked_for(lightning: Lightning) -> None:
    placement = Placement(LightningOrchestratorSettings(), "CPU", lambda: Catalog(lightning, None))
    own = placement.place(LightningOrchestratorSettings(num_machines=2), ResourceSettings(cpu_count=1))
    assert own is not None
    assert ([kind.name for kind in own.kinds], own.count) == (["CPU"], 2)


def test_whoever_waits_in_line_is_not_refused_where_no_machine_has_capacity(
    cloud: LightningCloud, lightning: Lightning
) -> None:
    cloud.knobs.out_of_capacity = {"L4", "T4", "T4_SMALL"}
    catalog = Catalog(lightning, None, queues=True)
    assert [machine.name for machine in catalog.candidates(("L4", "T4"))] == ["L4", "T4"]
    # One that can be had comes before a cheaper one that can't.
    assert catalog.machine("gpu").out_of_capacity is False


def test_what_a_step_asks_of_its_step_operator_it_does_not_ask_of_lightning() -> None:
    def step(**more: Any) -> Step:
        settings = {"resources": {"gpu_count": 8}}
        config = {"name": "train", "settings": settings, **more}
        spec = {"source": "run.train", "upstream_steps": [], "invocation_id": "train", "enable_heartbeat": True}
        return Step.model_validate({"spec": spec, "config": config, "step_config_overrides": config})

    assert resources_of(step()).gpu_count == 8
    assert resources_of(step(step_operator="remote")).empty
