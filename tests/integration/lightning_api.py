"""The stand-in for Lightning AI, asked by plain HTTP and by scripts that use the real lightning-sdk, unmodified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from lightning_zenml.launch.lightning.client import Credentials
from localcloud.lightning import Knobs, LightningCloud
from localcloud.lightning.computer.sandbox import can_isolate

QUICK: dict[str, Any] = {"start_seconds": 0.02, "setup_seconds": 0.02, "stop_seconds": 0.02, "collect_seconds": 0.02}
ISOLATED = pytest.param(True, marks=pytest.mark.skipif(not can_isolate(), reason="may not make namespaces"))
PYTHON = "/home/zeus/miniconda3/envs/cloudspace/bin/python"

T = TypeVar("T")
AnyApi = TypeVar("AnyApi", bound="Api")


def eventually(condition: Callable[[], T], what: str = "what was waited for", seconds: float = 180) -> T:
    """What the condition gives as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return value


def credentials(cloud: LightningCloud, **changes: Any) -> Credentials:
    """Those of the cloud's user, for its teamspace."""
    given = {
        "user_id": cloud.user_id,
        "api_key": cloud.api_key,
        "teamspace": cloud.teamspace,
        "organization": cloud.organization,
    }
    return Credentials(**{**given, **changes})


@contextmanager
def lent(cloud: LightningCloud, **knobs: Any) -> Iterator[LightningCloud]:
    """The cloud with its knobs at their defaults but for those given; it must be left with nothing running."""
    for name, value in vars(Knobs(**knobs)).items():
        setattr(cloud.knobs, name, value)
    yield cloud
    for name, value in vars(Knobs()).items():
        setattr(cloud.knobs, name, value)
    eventually(lambda: not cloud.running(), "nothing runs any more")
    assert cloud.take_refused() == []


class Api:
    """The API of the cloud's teamspace by plain HTTP."""

    def __init__(self, cloud: LightningCloud) -> None:
        self.cloud = cloud
        self.session = requests.Session()
        self.session.auth = (cloud.user_id, cloud.api_key)
        rows = self.call("GET", "/v1/memberships", params={"filterByUserId": "true"}).json()["memberships"]
        self.project = "/v1/projects/" + next(row["projectId"] for row in rows if row["name"] == cloud.teamspace)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.cloud.url + path, timeout=60, **options)

    def make_studio(self, name: str) -> str:
        """The id of a new studio."""
        made = self.call("POST", f"{self.project}/cloudspaces", json={"name": name})
        assert made.status_code == 200, made.text
        studio: str = made.json()["id"]
        return studio


@contextmanager
def asked_by(api: type[AnyApi], root: Path, **knobs: Any) -> Iterator[AnyApi]:
    """A cloud, with the check that nothing was asked of it that it does not know, and nothing went wrong in it."""
    with LightningCloud(root / "cloud", Knobs(**{**QUICK, **knobs})) as cloud:
        asking = api(cloud)
        try:
            yield asking
        finally:
            asking.session.close()
        assert [request.reason for request in cloud.refused] == []


def sdk(cloud: LightningCloud, script: str, **environment: str) -> Any:
    """Run a script with the real SDK; returns what it printed last, as JSON."""
    prologue = (
        "import json, os, time, warnings; warnings.simplefilter('ignore')\n"
        "from lightning_sdk import Job, Machine, Studio\n"
    )
    home = cloud.root / "laptop"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", prologue + script],
        env={
            **os.environ,
            "HOME": str(home),
            **cloud.environment,
            "LIGHTNING_KEEPALIVE_FREQUENCY": "0.2",
            **environment,
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def exit_result(stream: str) -> dict[str, Any] | None:
    """The result of a command from the stream of its session; None: it hasn't ended."""
    result: dict[str, Any] = json.loads(stream.splitlines()[0])["result"]
    return result if result["exitCode"] != -1 else None
