"""How the payload ends what a launch has used when nobody else does it: jobs, lease, studio."""

from __future__ import annotations

import json

import pytest
from payload_studio import Studio, wait_for

LEFT_A_JOB = """echo '{"token": "l-1-train"}' > ../jobs.jsonl"""


def running_jobs(*ids: str) -> bytes:
    command = "bash .lightning_zenml/jobs/l-1-train"
    jobs = [{"id": id, "state": "JOB_STATE_RUNNING", "spec": {"command": command}} for id in ids]
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
