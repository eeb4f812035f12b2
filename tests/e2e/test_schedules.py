"""Schedules from a laptop: made, due, changed, paused and deleted, on the real ZenML server and the local cloud."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.lightning import LightningCloud, Pipeline
from localcloud.lightning.computer.environment import uv_cache
from localcloud.stack import Stack
from scene import Actions, Laptop, wait_for

RUN = """
import json, os, sys, time
from datetime import datetime, timedelta, timezone

from zenml import pipeline, step
from zenml.config.schedule import Schedule
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step
def train() -> str:
    print("training on", os.environ["LIGHTNING_RESOURCE_TYPE"], "in", os.path.basename(os.getcwd()))
    assert open(os.path.join(os.environ["LIGHTNING_ZENML_CODE"], "commanded.txt")).read() == "prepared"
    assert "ZENML_STORE_API_KEY" not in os.environ
    if os.environ.get("LINGER"):
        time.sleep(300)
    return os.environ["GREETING"]


@step(settings={"orchestrator": LightningOrchestratorSettings(machine_type="T4")})
def evaluate(word: str) -> None:
    print("evaluating", word, "on", os.environ["LIGHTNING_ZENML_MACHINE"])
    if os.environ.get("LINGER_APART"):
        time.sleep(300)


@pipeline(enable_cache=False)
def nightly():
    word = train()
    if sys.argv[1] in ("whole", "stopped"):
        evaluate(word)


if __name__ == "__main__":
    settings = {
        "custom_commands": ["printf prepared > commanded.txt"],
        "environment": {"GREETING": "hello"},
        **json.loads(sys.argv[2]),
    }
    schedule = Schedule(name=sys.argv[1], **eval(sys.argv[3]))
    nightly.with_options(
        schedule=schedule, settings={"orchestrator": LightningOrchestratorSettings(**settings)}
    )()
"""
DYNAMIC = """
import os

from zenml import pipeline, step
from zenml.config.schedule import Schedule
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings



def on(machine):
    return {"orchestrator": LightningOrchestratorSettings(machine_type=machine)}


@step
def train() -> int:
    print("training on", os.environ["LIGHTNING_RESOURCE_TYPE"])
    return 1


@step(settings=on("T4"))
def evaluate(number: int) -> None:
    print("evaluating", number, "on", os.environ["LIGHTNING_ZENML_MACHINE"])


@pipeline(dynamic=True, enable_cache=False, settings=on("cpu"))
def by_itself():
    for number in range(train().load()):
        evaluate(number)


if __name__ == "__main__":
    by_itself.with_options(schedule=Schedule(name="dynamic", cron_expression="0 * * * *"))()
"""
HOURLY = "dict(cron_expression='0 * * * *')"
HOUR = 3600


@pytest.fixture(autouse=True)
def _no_schedule_outlives_its_test(cloud: LightningCloud) -> Iterator[None]:
    # No test meets a full or a half hour by chance: it is five past, whatever the clock says.
    cloud.knobs.schedule_clock_ahead = 300 - time.time() % 1800
    yield
    for pipeline in cloud.pipelines:
        if pipeline.parent is None and pipeline.deleted is None:
            url = f"{cloud.url}/v1/projects/{pipeline.project_id}/pipelines/{pipeline.id}"
            requests.delete(url, auth=(cloud.user_id, cloud.api_key), timeout=120).raise_for_status()


def schedule(
    laptop: Laptop, name: str, when: str = HOURLY, *, check: bool = True, folder: str = ".", **settings: Any
) -> str:
    """Runs the script in a folder, which schedules its pipeline; returns what it printed, on one line."""
    (laptop.folder / folder).mkdir(exist_ok=True)
    (laptop.folder / folder / "run.py").write_text(RUN)
    script = f'cd {folder} && exec "$@"'
    python = (sys.executable, "run.py", name, json.dumps(settings), when)
    done = laptop.run("bash", "-c", script, "bash", *python, check=check)
    assert check or done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())


def zenml(laptop: Laptop, *arguments: str, check: bool = True) -> str:
    done = laptop.run("zenml", "pipeline", "schedule", *arguments, check=check)
    return " ".join((done.stdout + done.stderr).split())


def find(stack: Stack, name: str) -> dict[str, Any] | None:
    """The schedule as ZenML's server has it."""
    items = stack.zenml.request("GET", f"schedules?name={name}&hydrate=true&is_archived=false")["items"]
    found: dict[str, Any] | None = items[0] if items else None
    return found


def runs_of(stack: Stack, schedule_id: str) -> list[dict[str, Any]]:
    page = stack.zenml.request("GET", f"runs?schedule_id={schedule_id}&hydrate=true&sort_by=asc:created")
    runs: list[dict[str, Any]] = page["items"]
    return runs


def pipeline_of(cloud: LightningCloud, schedule_id: str) -> Pipeline:
    ending = schedule_id.replace("-", "")[:8]
    (found,) = [one for one in cloud.pipelines if one.parent is None and one.name.endswith(ending)]
    return found


def let_an_hour_pass(cloud: LightningCloud) -> None:
    runs = len(cloud.pipelines)
    cloud.knobs.schedule_clock_ahead += HOUR
    wait_for(lambda: len(cloud.pipelines) > runs)


def test_a_schedule_from_its_making_to_its_deletion(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    sent = len(cloud.requests)
    # As `zenml init` leaves it.
    (laptop.folder / ".zen").mkdir()
    told = schedule(laptop, "whole", folder="nightly", machine_type="cpu", schedule_timezone="Europe/Berlin")
    made = find(stack, "whole")
    assert made is not None
    pipeline = pipeline_of(cloud, made["id"])
    (entry,) = cloud.schedules
    assert (entry.cron, entry.timezone, entry.name, entry.parallel) == ("0 * * * *", "Europe/Berlin", "whole", False)
    url = f"{cloud.url}/acme/vision/pipelines/{pipeline.name}?app_id=pipeline"
    assert made["metadata"]["run_metadata"]["orchestrator_url"] == url
    assert url in told.replace(" ", "")
    # Lightning runs what is made at once; ZenML's user has asked for no run yet.
    wait_for(lambda: pipeline.ended)
    assert pipeline.state == "COMPLETED"
    assert runs_of(stack, made["id"]) == []
    wait_for(lambda: not cloud.running())
    studio = cloud.studio(pipeline.name)
    assert studio.phase == "STOPPED"
    assert list(studio.home.glob(".lightning_zenml/launches/*/kept"))

    assert "Updated schedule" in zenml(laptop, "update", "whole", "--cron-expression", "30 * * * *")
    (entry,) = cloud.schedules
    assert (entry.cron, entry.timezone) == ("30 * * * *", "Europe/Berlin")
    assert "isn't a cron expression" in zenml(laptop, "update", "whole", "-c", "whenever", check=False)
    assert [entry.cron for entry in cloud.schedules] == ["30 * * * *"]
    zenml(laptop, "deactivate", "whole")
    assert cloud.schedules == []
    zenml(laptop, "activate", "whole")
    (entry,) = cloud.schedules
    assert (entry.cron, entry.timezone) == ("30 * * * *", "Europe/Berlin")

    let_an_hour_pass(cloud)
    wait_for(lambda: [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["completed"])
    (run,) = runs_of(stack, made["id"])
    assert run["metadata"]["run_metadata"]["orchestrator_url"] == url
    assert run["metadata"]["orchestrator_run_id"].startswith(cloud.pipelines[-1].id)
    # The server ends a run with its last step, a moment before the controller has heard of it.
    wait_for(lambda: cloud.pipelines[-1].ended)
    log = cloud.pipelines[-1].jobs["run"].log
    assert cloud.pipelines[-1].state == "COMPLETED", log
    assert re.search(r"training on job\S* in nightly$", log, re.MULTILINE)
    assert "evaluating hello on T4" in log
    check_secrets(stack, cloud, (studio.home, cloud.root / "drive"), sent)

    assert "Deleted schedule" in zenml(laptop, "delete", "whole", "--yes")
    assert cloud.schedules == []
    assert pipeline.deleted is not None
    assert studio.deleted is not None
    assert find(stack, "whole") is None


def check_secrets(stack: Stack, cloud: LightningCloud, folders: tuple[Path, ...], sent: int) -> None:
    """The schedule's own token is a variable of the job and nowhere else; ZenML's and Lightning's keys are nowhere."""
    keys = (stack.zenml_api_key, cloud.api_key)
    made = [one for one in cloud.requests[sent:] if one.method == "POST" and one.path.endswith(("/pipelines", "/jobs"))]
    assert not [one.path for one in made for key in keys if key in json.dumps(one.body)]
    (request,) = [one for one in made if one.path.endswith("/pipelines")]
    spec = request.body["steps"][0]["job"]["spec"]
    environment = {variable["name"]: variable["value"] for variable in spec["env"]}
    token = environment["ZENML_STORE_API_TOKEN"]
    assert token not in spec["command"]
    assert "ZENML_STORE_API_KEY" not in environment
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "runs.jsonl" for path in files)
    for path in files:
        content = path.read_bytes()
        assert token.encode() not in content, path
        assert not [path for key in keys if key.encode() in content]


@pytest.mark.slow
def test_a_studio_of_the_users_stays_and_a_run_under_way_ends_with_its_schedule(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    schedule(laptop, "mine", main_studio_name="my_nights", environment={"GREETING": "hi", "LINGER": "1"})
    made = find(stack, "mine")
    assert made is not None
    wait_for(lambda: pipeline_of(cloud, made["id"]).ended)
    let_an_hour_pass(cloud)
    wait_for(lambda: [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["running"])
    (run,) = runs_of(stack, made["id"])
    laptop.run("zenml", "pipeline", "runs", "refresh", run["id"])
    assert runs_of(stack, made["id"])[0]["body"]["status"] == "running"

    assert f"`zenml pipeline runs stop {run['id']}`" in zenml(laptop, "deactivate", "mine", check=False)
    assert (len(cloud.schedules), runs_of(stack, made["id"])[0]["body"]["status"]) == (1, "running")

    zenml(laptop, "delete", "mine", "--yes")
    assert [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["stopped"]
    assert cloud.studio("my_nights").deleted is None
    assert cloud.schedules == []


def lingering(stack: Stack, cloud: LightningCloud, laptop: Laptop, name: str) -> dict[str, Any]:
    """A schedule whose run is under way, in a step that is a job of its own and ends by no means soon."""
    schedule(laptop, name, environment={"GREETING": "hi", "LINGER_APART": "1"})
    made = find(stack, name)
    assert made is not None
    wait_for(lambda: pipeline_of(cloud, made["id"]).ended)
    let_an_hour_pass(cloud)
    wait_for(lambda: any("evaluate" in name for name in cloud.running()))
    return made


@pytest.mark.slow
def test_a_run_can_be_stopped_though_lightning_refuses_and_its_schedule_goes_on(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    made = lingering(stack, cloud, laptop, "stopped")
    (run,) = runs_of(stack, made["id"])
    # Lightning stops no job; the controller gives up the deletion of the step's and of the snapshot's, six tries each.
    cloud.knobs.fail += [("PUT", "/jobs/", 503, 1000), ("DELETE", "/jobs/", 503, 13)]
    laptop.run("zenml", "pipeline", "runs", "stop", run["id"], "--graceful", "--yes")
    # Its program goes on trying, unless the step was quicker to end by itself: its heartbeat tells it of the stop, too.
    wait_for(lambda: not cloud.running())
    wait_for(lambda: runs_of(stack, made["id"])[0]["body"]["status"] == "stopped")
    assert len(cloud.schedules) == 1


@pytest.mark.slow
def test_a_scheduled_run_whose_controller_is_killed_fails_and_leaves_no_job(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    made = lingering(stack, cloud, laptop, "whole")
    snapshot = runs_of(stack, made["id"])[0]["resources"]["snapshot"]["id"].encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (process / "cmdline").read_bytes().split(b"\0")
            if told[1:5] == [b"-m", b"lightning_zenml.orchestrator.schedule.execution", b"--snapshot-id", snapshot]:
                os.kill(int(process.name), signal.SIGKILL)
    wait_for(lambda: not cloud.running())
    (run,) = runs_of(stack, made["id"])
    assert run["body"]["status"] == "failed"
    assert "controller on Lightning AI was killed" in run["body"]["status_reason"]


@pytest.mark.parametrize(
    ("when", "settings", "told"),
    [
        (
            "dict(interval_second=timedelta(hours=1), start_time=datetime.now(timezone.utc), catchup=True)",
            {"schedule_timezone": "Mars/Base"},
            ["`interval_second`", "`start_time`", "`catchup=True`", "`Mars/Base`", 'on: schedule: - cron: "0 6 * * *"'],
        ),
        (HOURLY, {"machine_type": "H1000"}, ["Unknown machine 'H1000'"]),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_started(
    stack: Stack, cloud: LightningCloud, laptop: Laptop, when: str, settings: dict[str, Any], told: list[str]
) -> None:
    studios, pipelines = len(cloud.studios), len(cloud.pipelines)
    output = schedule(laptop, "refused", when, check=False, **settings)
    assert [words for words in told if words not in output] == []
    assert (len(cloud.studios), len(cloud.pipelines), cloud.schedules) == (studios, pipelines, [])
    assert find(stack, "refused") is None


def test_a_schedule_that_cannot_be_made_leaves_nothing(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    studios, pipelines = len(cloud.studios), len(cloud.pipelines)
    output = schedule(laptop, "broken", check=False, custom_commands=["exit 3"])
    assert "exit code 3" in output
    cloud.knobs.fail.append(("POST", "/schedules$", 400, 1))
    output = schedule(laptop, "broken", check=False)
    assert "failure on demand" in output
    assert [studio.deleted is not None for studio in cloud.studios[studios:]] == [True, True]
    assert [pipeline.deleted is not None for pipeline in cloud.pipelines[pipelines:]] == [True]
    assert (cloud.schedules, find(stack, "broken")) == ([], None)


def test_lost_answers_make_one_schedule(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    cloud.knobs.lose_answers += [("POST", "/pipelines$"), ("POST", "/schedules$")]
    schedule(laptop, "lossy")
    assert cloud.knobs.lose_answers == []
    assert len(cloud.schedules) == 1
    made = find(stack, "lossy")
    assert made is not None
    assert pipeline_of(cloud, made["id"]).deleted is None


@pytest.mark.slow
def test_a_client_killed_while_it_makes_a_schedule_leaves_no_studio(cloud: LightningCloud, laptop: Laptop) -> None:
    # Time to be killed in.
    cloud.knobs.setup_seconds, cloud.knobs.latency = 1, 0.5
    before = len(cloud.studios)
    (laptop.folder / "run.py").write_text(RUN)
    with laptop.start(sys.executable, "run.py", "killed", "{}", HOURLY) as process:
        assert process.stdout is not None
        assert any("Uploading" in line for line in process.stdout)
        process.kill()
        process.communicate()
    wait_for(lambda: [studio.deleted is not None for studio in cloud.studios[before:]] == [True])
    wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_a_scheduled_run_whose_metadata_zenml_refuses_is_failed_and_says_why(
    stack: Stack, cloud: LightningCloud, laptop: Laptop
) -> None:
    schedule(laptop, "mute")
    made = find(stack, "mute")
    assert made is not None
    wait_for(lambda: pipeline_of(cloud, made["id"]).ended)
    snapshot = stack.zenml.request("GET", f"pipeline_snapshots?named_only=false&schedule_id={made['id']}")["items"][0]
    # What the schedule's job starts, in what its studio has; but ZenML's metadata takes no half of a character.
    done = laptop.run(
        sys.executable,
        *("-m", "lightning_zenml.orchestrator.schedule.execution", "--snapshot-id", snapshot["id"]),
        check=False,
        LIGHTNING_PIPELINE_ID="pip_mute",
        LIGHTNING_ZENML_LAUNCH_ID="launch",
        LIGHTNING_ZENML_LAUNCH_DIR=str(laptop.folder),
        LIGHTNING_ZENML_CODE=str(laptop.folder),
        LIGHTNING_ZENML_STUDIO_URL="http://lightning/\udcff",
    )
    assert done.returncode == 1, done.stderr
    (run,) = runs_of(stack, made["id"])
    assert run["body"]["status"] == "failed", done.stderr
    assert run["body"]["status_reason"].startswith("Its controller failed: "), done.stderr
    assert run["metadata"]["orchestrator_run_id"].startswith("pip_mute-")


@pytest.mark.slow
def test_a_schedule_that_is_made_from_the_runner_takes_the_whole_repository_and_no_key_along(
    stack: Stack, cloud: LightningCloud, actions: Actions
) -> None:
    sent = len(cloud.requests)
    script = RUN.replace("from zenml import", "import iniconfig\nfrom zenml import", 1)
    script = script.replace('"commanded.txt"', '"../commanded.txt"').replace('"whole"', '"runner"')
    step = actions.step(
        {"requirements.txt": "iniconfig\n", "training/run.py": script},
        submit_from="runner",
        run=f"python run.py runner '{{}}' \"{HOURLY}\"",
        working_directory="training",
        requirements="requirements.txt",
        commands="printf prepared > commanded.txt",
        env="GREETING=hello",
        variables={"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))},
    )
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    made = find(stack, "runner")
    assert made is not None
    pipeline = pipeline_of(cloud, made["id"])
    studio = cloud.studio(pipeline.name)
    assert (studio.deleted, studio.phase) == (None, "STOPPED")
    wait_for(lambda: pipeline.ended)
    let_an_hour_pass(cloud)
    wait_for(lambda: cloud.pipelines[-1].ended)
    assert [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["completed"], cloud.pipelines[-1].jobs
    check_secrets(stack, cloud, (studio.home, cloud.root / "drive"), sent)


def test_a_cancel_while_a_schedule_is_being_made_leaves_no_studio(cloud: LightningCloud, actions: Actions) -> None:
    studios = len(cloud.studios)
    # Time to be cancelled in.
    cloud.knobs.setup_seconds = 1
    step = actions.step(
        {"run.py": RUN},
        submit_from="runner",
        run=f"python run.py cancelled '{{}}' \"{HOURLY}\"",
        variables={"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))},
    )
    finished = step.run(interrupt=lambda line: signal.SIGINT if "Starting zenml-nightly" in line else None)
    assert (finished.exit_code, finished.post_exit_code) == (130, 0), finished.log
    made = cloud.studios[studios:]
    assert [studio.name.startswith("zenml-nightly") for studio in made] == [True]
    wait_for(lambda: all(studio.deleted for studio in made))
    assert cloud.schedules == []


@pytest.mark.slow
def test_a_schedule_that_the_actions_command_makes_has_a_studio_of_its_own(
    stack: Stack, cloud: LightningCloud, actions: Actions
) -> None:
    settings = json.dumps({"main_studio_name": "held_by_the_action"})
    step = actions.step(
        {"run.py": RUN}, run=f"python run.py acted '{settings}' \"{HOURLY}\"", studio_name="held_by_the_action"
    )
    result = step.run()
    assert (result.exit_code, result.post_exit_code) == (0, 0), result.log
    made = find(stack, "acted")
    assert made is not None
    wait_for(lambda: pipeline_of(cloud, made["id"]).ended)
    let_an_hour_pass(cloud)
    wait_for(lambda: [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["completed"])
    assert cloud.studio(pipeline_of(cloud, made["id"]).name).deleted is None
    stack.zenml.request("DELETE", f"schedules/{made['id']}?soft=true")


@pytest.mark.slow
def test_a_dynamic_pipeline_is_scheduled_too(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    code = laptop.folder / "code"
    code.mkdir()
    (code / "run.py").write_text(DYNAMIC)
    laptop.run(sys.executable, "code/run.py")
    made = find(stack, "dynamic")
    assert made is not None
    wait_for(lambda: pipeline_of(cloud, made["id"]).ended)

    let_an_hour_pass(cloud)
    wait_for(lambda: cloud.pipelines[-1].ended)
    log = cloud.pipelines[-1].jobs["run"].log
    assert [run["body"]["status"] for run in runs_of(stack, made["id"])] == ["completed"], log
    assert "training on job" in log
    assert "evaluating 0 on T4" in log
