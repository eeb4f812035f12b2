"""How the payload ends what a launch has used when nobody else does it: jobs, lease, studio."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess

import pytest

from lightning_api import eventually
from payload_studio import PAGE, Studio, is_running, job, parent


def test_jobs_are_ended_whatever_single_answers_say(studio: Studio) -> None:
    platform = studio.platform
    platform.jobs = [
        job("gone"),
        job("refused"),
        job("busy"),
        job("page"),
        job("other", "l-2"),
        job("done", state="completed"),
    ]
    platform.multi_machine_jobs = [job("multi", state="MultiMachineJob_STATE_RUNNING")]
    platform.answers = {
        "GET /jobs?standalone=true": [(503, {}), (200, PAGE)],
        "GET /multi-machine-jobs": [(401, {}), (401, {})],
        "DELETE /jobs/gone": [(404, {})],
        "DELETE /jobs/refused": [(403, {}), (403, {})],
        "DELETE /jobs/busy": [(503, {})],
        "DELETE /jobs/page": [(200, PAGE)],
    }
    studio.start(command="touch ../jobs.jsonl", release="delete")
    studio.call("leave")
    eventually(lambda: platform.sent("DELETE", "/cloudspaces/s"))
    assert [one["id"] for one in platform.jobs] == ["other", "done"]
    assert platform.multi_machine_jobs == []


@pytest.mark.parametrize(
    ("policy", "request_", "look"),
    [
        ("delete", "DELETE /cloudspaces/s", "GET /cloudspaces/s"),
        ("stop", "POST /cloudspaces/s/stop", "GET /cloudspaces/s/codestatus"),
    ],
)
@pytest.mark.parametrize("answer", [(200, PAGE), (404, {})])
def test_the_studio_is_released_whatever_the_first_answer_says(
    studio: Studio, policy: str, request_: str, look: str, answer: tuple[int, object]
) -> None:
    platform = studio.platform
    platform.answers = {request_: [answer], look: [(200, PAGE)]}
    studio.start(release=policy)
    studio.call("leave")
    eventually(lambda: not (platform.is_running and platform.is_there))


def test_a_key_that_is_refused_gives_way_to_the_studios_own(studio: Studio) -> None:
    platform = studio.platform
    platform.refused = {"Basic secret"}
    platform.jobs = [job("one")]
    studio.environment = {"LIGHTNING_USER_ID": "own", "LIGHTNING_API_KEY": "key"}
    studio.start(command="touch ../jobs.jsonl", release="delete")
    studio.call("leave")
    eventually(lambda: not platform.is_there)
    assert platform.jobs == []
    assert platform.sent("DELETE", "/cloudspaces/s")[-1][2] == "Basic b3duOmtleQ=="


def test_another_process_with_the_supervisors_id_is_not_taken_for_it(studio: Studio) -> None:
    studio.start(command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    eventually((studio.launch / "up").exists)
    pid = studio.launch / "pid"
    supervisor = pid.read_text()
    with subprocess.Popen(["sleep", "300"]) as stranger:
        pid.write_text(str(stranger.pid))
        assert studio.call("peek")["alive"] is False
        assert studio.call("stop") == {"stopping": False}
        assert stranger.poll() is None
        stranger.kill()
    pid.write_text(supervisor)
    assert studio.call("peek")["alive"] is True
    (studio.launch / "on").touch()
    assert studio.finish()["exit_code"] == 0


def test_a_studio_that_another_launch_has_by_now_is_left_alone(studio: Studio) -> None:
    studio.upload(leased=True, release="stop", command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    studio.call("lease")
    studio.call("start")
    eventually((studio.launch / "up").exists)
    guardian = parent(int((studio.launch / "pid").read_text()))
    assert studio.call("unlease")["released"]
    assert studio.call("lease", launch_id="l-2")["acquired"]
    studio.call("leave")
    (studio.launch / "on").touch()
    eventually(lambda: not is_running(guardian))
    assert not studio.platform.sent("POST", "/stop")
    assert studio.call("unlease", launch_id="l-2")["released"]


@pytest.mark.parametrize("moment", ["while it runs", "while it is released"])
def test_a_guardian_that_is_killed_leaves_no_studio_on(studio: Studio, moment: str) -> None:
    studio.platform.answers = {"DELETE /cloudspaces/s": [(503, {})] * 3}
    studio.upload(release="delete", command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    studio.call("start")
    eventually((studio.launch / "up").exists)
    guardian = parent(int((studio.launch / "pid").read_text()))
    studio.call("leave")
    if moment == "while it runs":
        os.kill(guardian, signal.SIGKILL)
    (studio.launch / "on").touch()
    if moment == "while it is released":
        eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
        os.kill(guardian, signal.SIGKILL)
    eventually(lambda: not studio.platform.is_there)
    assert json.loads((studio.launch / "status.json").read_text())["exit_code"] == 0


def test_a_launch_whose_lease_another_has_by_now_does_not_begin(studio: Studio) -> None:
    studio.upload(leased=True, release="stop", command="touch ../up")
    studio.call("lease", launch_id="l-2")
    studio.call("start")
    assert "Another launch has taken the studio" in studio.finish()["failure"]["message"]
    assert not (studio.launch / "up").exists()
    assert not studio.platform.sent("POST", "/stop")


@pytest.mark.parametrize(
    ("policy", "method", "end"), [("stop", "POST", "/stop"), ("delete", "DELETE", "/cloudspaces/s")]
)
def test_nobody_else_gets_a_studio_that_is_about_to_end(studio: Studio, policy: str, method: str, end: str) -> None:
    studio.upload(leased=True, release=policy)
    studio.call("lease")
    studio.call("start")
    studio.call("leave")
    eventually(lambda: studio.platform.sent(method, end))
    assert studio.call("lease", launch_id="l-2")["acquired"] is False


@pytest.mark.parametrize("moment", ["at the start", "at the end"])
def test_a_full_disk_releases_the_studio(studio: Studio, moment: str) -> None:
    full = ["prlimit", "--fsize=0"] if moment == "at the start" else []
    studio.upload(release="delete", command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    studio.call("start", under=full)
    studio.call("leave")
    if moment == "at the end":
        eventually((studio.launch / "up").exists)
        supervisor = int((studio.launch / "pid").read_text())
        for pid in (supervisor, parent(supervisor)):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
        (studio.launch / "on").touch()
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
