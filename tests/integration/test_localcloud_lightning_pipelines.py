"""Pipelines of the stand-in for Lightning AI: with the real lightning-sdk, and with plain HTTP where that says more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from lightning_api import QUICK, Api, asked_by, eventually, sdk
from localcloud.lightning import Knobs, LightningCloud, Pipeline

HOUR = 3600


class Pipelines(Api):
    """One studio and its pipelines, by plain HTTP."""

    def __init__(self, cloud: LightningCloud) -> None:
        super().__init__(cloud)
        self.studio_id = self.make_studio("studio")

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.call("POST", f"{self.project}/{path}", json=body)

    def step(self, command: str, name: str = "step", **more: Any) -> dict[str, Any]:
        spec = {"cloudspaceId": self.studio_id, "command": command, "instanceName": "cpu-4", **more.pop("spec", {})}
        job = {"name": name, "spec": spec}
        return {"name": name, "type": "PIPELINE_STEP_TYPE_JOB", "job": job, **more}

    def make(self, command: str, name: str = "nightly") -> Pipeline:
        """Makes a pipeline of one step and sees its own first run to its end."""
        assert self.post("pipelines", name=name, steps=[self.step(command)]).status_code == 200
        pipeline = self.cloud.pipelines[-1]
        eventually(lambda: pipeline.ended, "the first run")
        return pipeline

    def schedule(self, pipeline: Pipeline, cron: str, **more: Any) -> dict[str, Any]:
        made = self.post(
            "schedules", resourceId=pipeline.id, resourceType="PIPELINE", cronExpression=cron, displayName="s", **more
        )
        assert made.status_code == 200, made.text
        found: dict[str, Any] = made.json()
        return found


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Pipelines]:
    with asked_by(Pipelines, tmp_path) as api:
        yield api


def test_sdk_makes_schedules_replaces_and_deletes_pipelines(tmp_path: Path) -> None:
    script = """
from lightning_sdk.pipeline import JobStep, Pipeline, Schedule
studio = Studio("studio")
def make(*schedules):
    pipeline = Pipeline("cron", studio=studio, shared_filesystem=False)
    step = JobStep(name="main", command="echo $WORD $LIGHTNING_PIPELINE_ID", machine=Machine.CPU, env={"WORD": "hi"})
    pipeline.run(steps=[step], schedules=list(schedules))
    return pipeline
make(Schedule("0 9 * * *", timezone="Europe/Berlin"), Schedule("0 10 * * *", name="later"))
make(Schedule("30 9 * * *"))
found = Pipeline("cron")
print(json.dumps(found.name))
found.delete()
print(json.dumps([Pipeline("cron").name, found.name]))
"""
    with LightningCloud(tmp_path / "cloud", Knobs(**QUICK)) as cloud:
        names = sdk(cloud, script)
        assert [request.reason for request in cloud.refused] == []
        posted = [request.body for request in cloud.requests if request.path.endswith("/schedules") and request.body]
        assert [(body["displayName"], body["cronExpression"], body.get("timezone")) for body in posted] == [
            ("schedule-0", "0 9 * * *", "Europe/Berlin"),
            ("later", "0 10 * * *", None),
            ("schedule-0", "30 9 * * *", None),
        ]
        deleted = [one for one in cloud.requests if one.method == "DELETE" and "/schedules/" in one.path]
        assert [one.status for one in deleted] == [200, 200]
        first, second = cloud.pipelines
        assert (first.deleted, second.deleted is not None) == (None, True)
        # The pipeline that took its place went with its schedule; the one before is there again.
        assert names == ["cron", "cron"]
        assert cloud.schedules == []


def test_a_pipeline_runs_its_steps_in_order_as_soon_as_it_is_made(api: Pipelines) -> None:
    steps = [api.step("echo one", "a"), api.step("exit 3", "b", waitFor=["a"]), api.step("true", "c", waitFor=["b"])]
    made = api.post("pipelines", name="chain", steps=steps).json()
    (pipeline,) = api.cloud.pipelines
    eventually(lambda: pipeline.ended, "its end")
    found = api.call("GET", f"{api.project}/pipelines/{made['id']}").json()
    assert found["state"] == "PIPELINE_STATE_FAILED"
    assert [(status["name"], status["state"]) for status in found["statuses"]] == [("a", "completed"), ("b", "failed")]
    job = api.call("GET", f"{api.project}/jobs/{found['statuses'][0]['resourceId']}").json()
    assert job["spec"]["pipelineId"] == made["id"]


def test_a_schedule_makes_a_run_each_time_that_it_is_due(api: Pipelines) -> None:
    pipeline = api.make("echo $LIGHTNING_PIPELINE_ID")
    schedule = api.schedule(pipeline, "0 * * * *")
    for number in (1, 2):
        api.cloud.knobs.schedule_clock_ahead += HOUR
        eventually(lambda number=number: len(api.cloud.pipelines) == number + 1, "a run")
        run = api.cloud.pipelines[-1]
        eventually(lambda run=run: run.ended, "its end")
        assert run.jobs["step"].log == f"+ lightning\n{run.id}\n"
    listed = api.call("GET", f"{api.project}/pipelines", params={"parentPipelineId": pipeline.id}).json()["pipelines"]
    assert [(one["scheduleId"], one["parentPipelineId"]) for one in listed] == [(schedule["id"], pipeline.id)] * 2
    # Hours that nobody was there are not made up for.
    api.cloud.knobs.schedule_clock_ahead += 7 * HOUR
    eventually(lambda: len(api.cloud.pipelines) == 4, "a run")
    (listed_schedule,) = api.call("GET", f"{api.project}/schedules", params={"parentResourceId": pipeline.id}).json()[
        "schedules"
    ]
    assert listed_schedule["total"] == 3
    assert api.call("DELETE", f"{api.project}/schedules/{schedule['id']}").status_code == 200
    assert api.call("DELETE", f"{api.project}/schedules/{schedule['id']}").status_code == 404
    assert api.cloud.schedules == []


def test_a_cron_expression_is_read_in_its_time_zone(api: Pipelines) -> None:
    pipeline = api.make("true")
    due = [
        datetime.fromisoformat(api.schedule(pipeline, "0 9 1 7 *", timezone=zone)["next"]).astimezone(UTC)
        for zone in ("UTC", "Europe/Berlin", "America/New_York")
    ]
    assert [(time.month, time.day, time.hour) for time in due] == [(7, 1, 9), (7, 1, 7), (7, 1, 13)]


@pytest.mark.parametrize(("parallel", "runs"), [(False, 1), (True, 2)])
def test_a_run_that_goes_on_holds_up_the_next_unless_they_may_run_in_parallel(
    api: Pipelines, *, parallel: bool, runs: int
) -> None:
    pipeline = api.make('[ -z "$(ls)" ] && true')
    pipeline.body["steps"][0]["job"]["spec"]["command"] = "sleep 60"
    api.schedule(pipeline, "0 * * * *", parallelRuns=parallel)
    for _ in range(2):
        (schedule,) = api.cloud.schedules
        due = schedule.next
        api.cloud.knobs.schedule_clock_ahead += HOUR
        eventually(lambda schedule=schedule, due=due: schedule.next > due, "its time")
    assert len(api.cloud.pipelines) == 1 + runs


def test_a_deleted_pipeline_takes_runs_jobs_and_schedules_with_it(api: Pipelines) -> None:
    pipeline = api.make("true")
    pipeline.body["steps"][0]["job"]["spec"]["command"] = "sleep 60"
    api.schedule(pipeline, "0 * * * *")
    api.cloud.knobs.schedule_clock_ahead += HOUR
    eventually(lambda: api.cloud.running(), "a job")
    assert api.call("DELETE", f"{api.project}/pipelines/{pipeline.id}").status_code == 200
    assert (api.cloud.running(), api.cloud.schedules) == ([], [])
    assert all(one.deleted for one in api.cloud.pipelines)
    assert api.call("GET", f"{api.project}/pipelines/{pipeline.name}/getbyname").status_code == 404


def test_a_run_whose_studio_is_gone_fails(api: Pipelines) -> None:
    pipeline = api.make("true")
    api.schedule(pipeline, "0 * * * *")
    api.call("DELETE", f"{api.project}/cloudspaces/{api.studio_id}")
    api.cloud.knobs.schedule_clock_ahead += HOUR
    eventually(lambda: len(api.cloud.pipelines) == 2, "a run")
    found = api.call("GET", f"{api.project}/pipelines/{api.cloud.pipelines[-1].id}").json()
    assert (found["state"], "not found" in found["error"]) == ("PIPELINE_STATE_FAILED", True)


def test_what_the_platform_would_not_take_is_refused(api: Pipelines) -> None:
    pipeline = api.make("true")
    schedule = {"resourceId": pipeline.id, "resourceType": "PIPELINE"}
    assert api.post("pipelines", name=pipeline.name, steps=[api.step("true")]).status_code == 409
    assert api.post("pipelines", name="none", steps=[]).status_code == 400
    assert api.post("pipelines", name="twice", steps=[api.step("true"), api.step("true")]).status_code == 400
    assert api.post("pipelines", name="early", steps=[api.step("true", waitFor=["later"])]).status_code == 400
    assert api.post("pipelines", name="empty", steps=[api.step("")]).status_code == 400
    lost = api.step("true", spec={"cloudspaceId": "no-such-studio"})
    assert api.post("pipelines", name="lost", steps=[lost]).status_code == 404
    for cron in ("hourly", "0 25 * * *", "0 0 * * * *", ""):
        assert api.post("schedules", **schedule, cronExpression=cron).status_code == 400
    assert api.post("schedules", **schedule, cronExpression="0 9 * * *", timezone="Mars/Base").status_code == 400
    unknown = {"resourceId": "pip_none", "resourceType": "PIPELINE", "cronExpression": "0 9 * * *"}
    assert api.post("schedules", **unknown).status_code == 404
    assert (len(api.cloud.pipelines), api.cloud.schedules) == (1, [])
