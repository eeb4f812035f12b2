"""Jobs of the stand-in for Lightning AI: with the real lightning-sdk, and with plain HTTP where that says more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests

from lightning_api import ISOLATED, QUICK, Api, asked_by, eventually, exit_result, sdk
from localcloud.lightning import Knobs, LightningCloud


class Jobs(Api):
    """One studio and its jobs, by plain HTTP."""

    def __init__(self, cloud: LightningCloud) -> None:
        super().__init__(cloud)
        self.studio_id = self.make_studio("studio")
        self.studio = cloud.studio("studio")

    def start_studio(self, command: str = "true") -> None:
        """Starts the studio and runs a command in it."""
        studio = f"{self.project}/cloudspaces/{self.studio_id}"
        self.call("POST", f"{studio}/start", json={"computeConfig": {"name": "cpu-4"}})
        eventually(lambda: self.studio.in_use is not None and self.studio.in_use.set_up, "set up")
        body = {"command": command, "detached": True}
        session = self.call("POST", f"{studio}/execute", json=body).json()["sessionName"]
        stream = f"{studio}/execute/{session}/stream"
        answer = eventually(lambda: exit_result(self.call("GET", stream).text), command)
        assert answer["exitCode"] == 0, answer

    def run(self, command: str, *, name: str = "job", **spec: Any) -> dict[str, Any]:
        """Starts a job and returns it as it was answered."""
        full = {"cloudspaceId": self.studio_id, "command": command, "instanceName": "cpu-4", **spec}
        made = self.call("POST", f"{self.project}/jobs", json={"name": name, "spec": full})
        assert made.status_code == 200, made.text
        job: dict[str, Any] = made.json()
        return job

    def get(self, job: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"{self.project}/jobs/{job['id']}").json()
        return found

    def wait(self, job: dict[str, Any], *states: str) -> dict[str, Any]:
        wanted = states or ("completed", "failed", "stopped")
        found: dict[str, Any] = eventually(
            lambda: found if (found := self.get(job))["state"] in wanted else None, f"one of {wanted}"
        )
        return found

    def artifact(self, job: dict[str, Any], path: str) -> str | None:
        answer = self.call("GET", f"{self.project}/artifacts/blobs/jobs/{job['name']}/{path}")
        return answer.text if answer.ok else None


def lightning(root: Path, **knobs: Any) -> AbstractContextManager[Jobs]:
    return asked_by(Jobs, root, **knobs)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Jobs]:
    with lightning(tmp_path) as api:
        yield api


def test_sdk_runs_jobs(tmp_path: Path) -> None:
    script = """
studio = Studio("studio")
studio.start(Machine.CPU)
studio.run("echo data > input.txt")
arguments = {"machine": Machine.T4, "studio": studio, "env": {"WORD": "hello"}, "tags": ["  My   Tag"]}
arguments["keep_minutes"] = 2
job = Job.run(name="My Job|1", command="echo $WORD; cat input.txt; echo made > made.txt", **arguments)
studio.stop()
job.wait(interval=0.1, timeout=300)
facts = {"name": job.name, "status": job.status.name, "logs": job.logs().splitlines(), "machine": job.machine.name}
facts["cost"] = job.total_cost > 0
facts["files"] = sorted(entry.path for entry in job.list_artifacts())
facts["link"] = job.link.partition("/acme/")[2]
facts["tags"] = list(job.tags)
facts["kept"] = job.keep_minutes
again = Job("my-job-1")
facts["found"] = again.status.name
job.delete()
long = Job.run(name="long", command="sleep 60", machine=Machine.CPU, studio=studio)
while long.status.name != "Running":
    time.sleep(0.05)
long.stop()
facts["stopped"] = long.status.name
facts["jobs"] = [job.name for job in studio.teamspace.jobs]
pair = Job.run(name="pair", command="echo rank $NODE_RANK", machine=Machine.CPU, studio=studio, num_machines=2)
pair.wait(interval=0.1, timeout=300)
ranks = sorted(line for line in pair.logs().splitlines() if "rank" in line)
facts["pair"] = [pair.status.name, [machine.name for machine in pair.machines], ranks]
pair.delete()
print(json.dumps(facts, default=str))
"""
    with LightningCloud(tmp_path / "cloud", Knobs(**QUICK)) as cloud:
        facts = sdk(cloud, script)
        assert [request.reason for request in cloud.refused] == []
        assert cloud.running() == []
        assert cloud.job("my-job-1").deleted is not None
    assert facts == {
        "name": "my-job-1",
        "status": "Completed",
        "logs": ["hello", "data"],
        "machine": "T4",
        "kept": 2,
        "cost": True,
        "files": ["made.txt"],
        "link": "vision/studios/studio/app?app_id=jobs&job_name=my-job-1",
        "tags": ["my tag"],
        "found": "Completed",
        "stopped": "Stopped",
        "jobs": ["long"],
        "pair": ["Completed", ["pair-0", "pair-1"], ["[pair-0] rank 0", "[pair-1] rank 1"]],
    }


def test_names_are_slugified_and_changed_when_taken(api: Jobs) -> None:
    first, second = (api.run("true", name="ci-2025|09:45_a/b.py") for _ in range(2))
    assert (first["name"], second["name"]) == ("ci-2025-09-45-a-b-py", "ci-2025-09-45-a-b-py-1")
    assert first["id"].startswith("job_")
    assert api.call("GET", f"{api.project}/jobs/{first['name']}").status_code == 404
    assert api.call("GET", f"{api.project}/jobs/find", params={"name": second["name"]}).json()["id"] == second["id"]
    api.cloud.knobs.find_job_status = 501
    assert api.call("GET", f"{api.project}/jobs/find", params={"name": second["name"]}).status_code == 501


def test_the_first_failing_command_ends_the_job_and_no_exit_code_is_told(api: Jobs) -> None:
    job = api.wait(api.run("echo before; false; echo after"))
    assert job["state"] == "failed"
    assert api.cloud.job("job").log == "+ lightning\nbefore\n"
    assert "exit" not in job["message"]


@pytest.mark.parametrize("isolated", [ISOLATED, False])
def test_a_job_has_the_studios_home_and_packages_and_changes_neither(tmp_path: Path, *, isolated: bool) -> None:
    with lightning(tmp_path, isolated=isolated) as api:
        api.start_studio("echo old > kept; echo old > changed; uv pip install -q cowsay==6.1")
        job = api.run(
            "python -c 'import cowsay, sys; print(sys.prefix)'; uv pip uninstall -q cowsay; "
            "echo new > changed; mkdir -p out; echo new > out/made; rm kept"
        )
        assert api.wait(job)["state"] == "completed", api.cloud.job("job").log
        assert (api.studio.home / "changed").read_text() == "old\n"
        assert (api.studio.home / "kept").exists()
        assert {name: api.artifact(job, name) for name in ("changed", "out/made", "kept")} == {
            "changed": "new\n",
            "out/made": "new\n",
            "kept": None,
        }
        again = api.run("python -c 'import cowsay'", name="again")
        assert api.wait(again)["state"] == "completed", api.cloud.job("again").log


def test_jobs_of_one_run_share_the_first_snapshot(tmp_path: Path) -> None:
    with lightning(tmp_path, first_snapshot_seconds=0.5) as api:
        home = api.studio.home
        (home / "word").write_text("first")
        began = time.monotonic()
        api.wait(api.run("cat word", name="a", runId="run"))
        assert time.monotonic() - began > 0.5
        (home / "word").write_text("second")
        for name, run_id in (("b", "run"), ("c", "other"), ("d", "")):
            api.wait(api.run("cat word", name=name, runId=run_id))
        logs = {name: api.cloud.job(name).log.splitlines()[-1] for name in "abcd"}
    assert logs == {"a": "first", "b": "first", "c": "second", "d": "second"}


def test_a_job_sees_nothing_that_its_studio_writes_later(api: Jobs) -> None:
    job = api.run("sleep 3; ls; echo $LIGHTNING_USER_ID")
    api.wait(job, "running")
    (api.studio.home / "late").touch()
    assert api.wait(job)["state"] == "completed"
    assert api.cloud.job("job").log.splitlines() == ["+ lightning", api.cloud.user_id]


def test_artifacts_appear_while_the_job_runs_and_go_with_it(tmp_path: Path) -> None:
    with lightning(tmp_path, artifact_seconds=0.05) as api:
        job = api.run("echo one > early; sleep 60")
        assert eventually(lambda: api.artifact(job, "early"), "an artifact") == "one\n"
        assert api.get(job)["state"] == "running"
        assert api.call("DELETE", f"{api.project}/jobs/{job['id']}").status_code == 200
        assert api.artifact(job, "early") is None
        assert api.cloud.running() == []
        assert api.call("GET", f"{api.project}/jobs/{job['id']}").status_code == 404


def test_a_job_is_billed_while_its_machine_runs(tmp_path: Path) -> None:
    with lightning(tmp_path, out_of_capacity={"T4"}, cost_delay_seconds=300) as api:
        job = api.run("sleep 0.3", instanceName="lit-t4-1")
        eventually(lambda: api.cloud.job("job").boot_at, "the snapshot")
        assert (api.get(job)["state"], api.cloud.intervals) == ("pending", [])
        api.cloud.knobs.out_of_capacity.clear()
        ended_job = api.wait(job)
        assert ended_job["totalCost"] == 0
        (interval,) = api.cloud.intervals
        assert (interval.name, interval.machine, interval.end is not None) == ("job", "T4", True)
        assert interval.seconds >= 0.3
        api.cloud.knobs.cost_delay_seconds = 0
        assert eventually(lambda: api.get(job)["totalCost"], "the cost") == pytest.approx(interval.cost)


def test_a_stop_is_heard_while_pending_and_while_running(tmp_path: Path) -> None:
    with lightning(tmp_path, out_of_capacity={"T4"}) as api:
        for machine, state in (("lit-t4-1", "pending"), ("cpu-4", "running")):
            job = api.run("sleep 60", instanceName=machine)
            api.wait(job, state)
            api.call("PUT", f"{api.project}/jobs/{job['id']}", json={"state": "stop"})
            assert api.wait(job)["state"] == "stopped"
        assert api.cloud.running() == []


@pytest.mark.parametrize("survives", [True, False])
def test_a_preempted_job_is_started_again_while_attempts_are_left(tmp_path: Path, *, survives: bool) -> None:
    with lightning(tmp_path, home_survives_preemption=survives) as api:
        command = "echo attempt >> attempts; cat attempts; [ $(wc -l < attempts) = 2 ] || sleep 60"
        job = api.run(command, spot=True, maxRunAttempts=2)
        for attempt in (1, 2):
            eventually(lambda attempt=attempt: api.cloud.job("job").log.count("attempt\n") >= attempt, "the attempt")
            if attempt == 2 and survives:
                break
            api.cloud.knobs.preempt.add("job")
            eventually(lambda: not api.cloud.knobs.preempt, "the preemption")
        found = api.wait(job)
        assert found["state"] == ("completed" if survives else "failed")
        assert (found["restartCount"], found["interruptionNoticeReceived"]) == (1, True)
        assert len(api.cloud.intervals) == 2


def test_a_machine_that_fails_ends_a_multi_machine_job(api: Jobs) -> None:
    spec = {"cloudspaceId": api.studio_id, "command": "[ $NODE_RANK = 0 ] && sleep 60", "instanceName": "cpu-4"}
    made = api.call(
        "POST", f"{api.project}/multi-machine-jobs", json={"name": "gang", "machines": 3, "spec": spec}
    ).json()
    path = f"{api.project}/multi-machine-jobs/{made['id']}"
    state = "MultiMachineJob_STATE_FAILED"
    eventually(lambda: api.call("GET", path).json()["state"] == state, "failed", 20)
    assert sorted(interval.name for interval in api.cloud.intervals) == ["gang-0", "gang-1", "gang-2"]
    assert api.cloud.running() == []


def test_logs_are_paged_filtered_and_saved(api: Jobs) -> None:
    job = api.wait(api.run("printf 'one\\ntwo\\nthr\\xff'"))
    logs = f"{api.project}/page-logs"

    def page(**query: str) -> dict[str, Any]:
        answer: dict[str, Any] = api.call("GET", logs, params={"jobIds": job["id"], **query}).json()
        return answer

    first = page(pageSize="2")
    assert [entry["message"] for entry in first["entries"]] == ["+ lightning", "one"]
    rest = page(pageSize="2", pageToken=first["nextPageToken"])
    assert ([entry["message"] for entry in rest["entries"]], rest["nextPageToken"]) == (["two", "thr\ufffd"], "")
    assert [entry["message"] for entry in page(query="tw")["entries"]] == ["two"]
    assert page(since="2200-01-01T00:00:00+00:00")["entries"] == []
    api.cloud.knobs.saved_logs_only = True
    assert page()["entries"] == []
    saved = api.call("GET", f"{api.project}/jobs/{job['id']}/download-logs").json()["url"]
    assert requests.get(saved, timeout=60).text.splitlines()[1].endswith("Z] one")


def test_a_job_needs_a_studio_that_exists(api: Jobs) -> None:
    assert api.call("DELETE", f"{api.project}/cloudspaces/{api.studio_id}").status_code == 200
    body = {"name": "job", "spec": {"cloudspaceId": api.studio_id, "command": "true"}}
    assert api.call("POST", f"{api.project}/jobs", json=body).status_code == 404
