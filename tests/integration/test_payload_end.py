"""How the payload ends what a launch has used when nobody else does it: jobs, lease, studio."""

from __future__ import annotations

import json
import resource
import subprocess

import pytest

from payload_studio import Studio, is_running, parent, wait_for

LEFT_A_JOB = """echo '{"token": "l-1-train"}' > ../jobs.jsonl"""


def running_jobs(*names: str) -> bytes:
    command = "bash .lightning_zenml/jobs/l-1-train"
    jobs = [{"id": name, "state": "JOB_STATE_RUNNING", "spec": {"command": command}} for name in names]
    return json.dumps({"jobs": [{"id": "somebody's", "state": "JOB_STATE_RUNNING"}, *jobs]}).encode()


def test_jobs_are_ended_before_the_studio_though_one_is_gone_by_then(studio: Studio) -> None:
    studio.platform.bodies["/jobs?standalone=true"] = running_jobs("gone", "runs")
    studio.platform.refusals["DELETE", "/jobs/gone"] = [404]
    studio.start(command=LEFT_A_JOB, release="delete")
    studio.call("leave")
    wait_for(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    deleted = [path.rpartition("/")[2] for method, path, *_ in studio.platform.requests if method == "DELETE"]
    assert deleted == ["gone", "runs", "s"]


@pytest.mark.parametrize(
    ("policy", "method", "end"), [("delete", "DELETE", "/cloudspaces/s"), ("stop", "POST", "/stop")]
)
def test_the_studio_is_released_though_its_jobs_cannot_be_ended(
    studio: Studio, policy: str, method: str, end: str
) -> None:
    studio.platform.bodies["/jobs?standalone=true"] = running_jobs("kept")
    studio.platform.refusals["DELETE", "/jobs/kept"] = [403]
    studio.platform.refusals["GET", "/multi-machine-jobs"] = [401]
    studio.start(command=LEFT_A_JOB, release=policy)
    studio.call("leave")
    wait_for(lambda: studio.platform.sent(method, end))


def test_another_process_with_the_supervisors_id_is_not_taken_for_it(studio: Studio) -> None:
    studio.start(command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    wait_for((studio.launch / "up").exists)
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
    wait_for((studio.launch / "up").exists)
    guardian = parent(int((studio.launch / "pid").read_text()))
    assert studio.call("unlease") == {"released": True}
    assert studio.call("lease", launch_id="l-2") == {"acquired": True}
    studio.call("leave")
    (studio.launch / "on").touch()
    wait_for(lambda: not is_running(guardian))
    assert not studio.platform.sent("POST", "/stop")
    assert studio.call("unlease", launch_id="l-2") == {"released": True}


@pytest.mark.parametrize("moment", ["at the start", "at the end"])
def test_a_full_disk_releases_the_studio(studio: Studio, moment: str) -> None:
    full = ["prlimit", "--fsize=0"] if moment == "at the start" else []
    studio.upload(release="delete", command="touch ../up; while test ! -e ../on; do sleep 0.1; done")
    studio.call("start", under=full)
    studio.call("leave")
    if moment == "at the end":
        wait_for((studio.launch / "up").exists)
        supervisor = int((studio.launch / "pid").read_text())
        for pid in (supervisor, parent(supervisor)):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
        (studio.launch / "on").touch()
    wait_for(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
