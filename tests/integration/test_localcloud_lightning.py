"""The stand-in for Lightning AI: with the real lightning-sdk, unmodified, and with plain HTTP where that says more."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests

from lightning_api import ISOLATED, PYTHON, QUICK, Api, asked_by, eventually, sdk
from localcloud.lightning import Knobs, LightningCloud
from localcloud.lightning.computer.machine import SETTING_UP
from localcloud.lightning.computer.sandbox import can_isolate
from localcloud.lightning.validation import InvalidError, check, fields, sdk_folder


class Studios(Api):
    """Studios by plain HTTP."""

    def create(self, name: str) -> str:
        return f"{self.project}/cloudspaces/{self.make_studio(name)}"

    def start(self, studio: str, machine: str = "cpu-4", *, ready: bool = True) -> None:
        started = self.call("POST", f"{studio}/start", json={"computeConfig": {"name": machine}})
        assert started.status_code == 200, started.text
        eventually(lambda: self.in_use(studio)["phase"].endswith("RUNNING"), "running")
        if ready:
            eventually(lambda: self.in_use(studio)["startupStatus"]["topUpRestoreFinished"], "restored")
            eventually(lambda: self.run(studio, "python -c pass")[0] == 0, "set up")

    def in_use(self, studio: str) -> dict[str, Any]:
        return self.call("GET", f"{studio}/codestatus").json()["inUse"]

    def stop(self, studio: str) -> None:
        assert self.call("POST", f"{studio}/stop").status_code == 200
        eventually(lambda: self.in_use(studio)["phase"].endswith("STOPPED"), "stopped")

    def execute(self, studio: str, command: str) -> str:
        answer = self.call("POST", f"{studio}/execute", json={"command": command, "detached": True})
        assert answer.status_code == 200, answer.text
        return f"{studio}/execute/{answer.json()['sessionName']}/stream"

    def run(self, studio: str, command: str) -> tuple[int, str]:
        stream = self.execute(studio, command)

        def results() -> list[dict[str, Any]] | None:
            lines = self.call("GET", stream).text.splitlines()
            found = [json.loads(line)["result"] for line in lines]
            return found if found[0]["exitCode"] != -1 else None

        found = eventually(results, command)
        assert found
        return found[0]["exitCode"], "".join(result["output"] for result in found)

    def upload(self, base: str, path: str, content: bytes) -> None:
        signed = self.call("POST", f"{base}/blobs", json={"blobs": [{"path": path}]}).json()["results"][0]
        assert requests.put(signed["urls"][0]["url"], data=content, timeout=60).status_code == 200
        if signed["complete_required"]:
            done = self.call("POST", f"{base}/blobs/complete", json={"blobs": [{"path": path}]})
            assert done.status_code == 200, done.text


def lightning(root: Path, **knobs: Any) -> AbstractContextManager[Studios]:
    return asked_by(Studios, root, **{"setup_seconds": 0.05, **knobs})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Studios]:
    with lightning(tmp_path) as api:
        yield api


def processes(mark: str) -> list[int]:
    """Processes of this machine, in whatever namespace, with `mark` in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_sdk_drives_a_studio_through_its_life(tmp_path: Path) -> None:
    script = """
studio = Studio("life")
studio.start(Machine.CPU)
facts = {"pwd": studio.run("pwd"), "python": studio.run("python -c 'import sys, lightning_sdk; print(sys.prefix)'")}
open("small.txt", "w").write("small")
open("large.bin", "wb").write(os.urandom(40_000))
open("empty", "w").close()
for name in ("small.txt", "large.bin", "empty"):
    studio.upload_file(name, f"data/{name}", progress_bar=False)
facts["sizes"] = studio.run("stat -c '%n %s' data/*").splitlines()
studio.download_folder("data", "back")
facts["same"] = all(open(n, "rb").read() == open(f"back/{n}", "rb").read() for n in ("small.txt", "large.bin", "empty"))
facts["code"] = studio.run_with_exit_code("echo out; echo err >&2; exit 3")
studio.run("uv pip install cowsay==6.1", "echo kept > kept", "echo lost > /opt/lost")
facts["cpu"] = [studio.machine.name, studio.run_with_exit_code("nvidia-smi")[1]]
studio.switch_machine(Machine.T4_X_2)
facts["gpu"] = [studio.machine.name, studio.run("nvidia-smi -L | wc -l")]
studio.stop()
facts["stopped"] = studio.status.name
again = Studio("life")
again.start(Machine.CPU)
facts["again"] = again.run("cat kept; python -c 'import cowsay'; ls /opt/lost 2>/dev/null || echo gone").splitlines()
again._studio_api.remove_file(again.id, again.teamspace.id, "data/small.txt")
facts["data"] = sorted(entry["path"] for entry in again._studio_api.list_files(again.id, again.teamspace.id, "data"))
again._studio_api.remove_folder(again.id, again.teamspace.id, "data")
facts["ls"] = again.run("ls")
facts["names"] = [studio.name for studio in again.teamspace.studios]
again.delete()
facts["left"] = [studio.name for studio in again.teamspace.studios]
print(json.dumps(facts))
"""
    with lightning(tmp_path, page_size=1) as api:
        api.create("other")
        facts = sdk(api.cloud, script, LIGHTNING_MULTIPART_THRESHOLD="10000", LIGHTNING_MULTI_PART_PART_SIZE="15000")
        life = api.cloud.studio("life")
        assert life.phase == "DELETED"
        eventually(lambda: not life.disk.folder.exists())
        assert [interval.machine for interval in api.cloud.intervals] == ["CPU", "T4_X_2", "CPU"]
        assert api.cloud.running() == []
    assert facts == {
        "pwd": "/teamspace/studios/this_studio" if can_isolate() else str(life.home),
        "python": "/home/zeus/miniconda3/envs/cloudspace" if can_isolate() else str(life.disk.environment),
        "sizes": ["data/empty 0", "data/large.bin 40000", "data/small.txt 5"],
        "same": True,
        "code": ["out\nerr", 3],
        "cpu": ["CPU", 127],
        "gpu": ["T4_X_2", "2"],
        "stopped": "Stopped",
        "again": ["kept", "gone" if can_isolate() else "/opt/lost"],
        "data": ["empty", "large.bin"],
        "ls": "kept\nmain.py",
        "names": ["other", "life"],
        "left": ["other"],
    }


def test_sdk_sees_errors_as_from_the_platform(tmp_path: Path) -> None:
    script = """
def failure(call):
    try:
        call()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
studio = Studio("errors")
facts = {"run": failure(lambda: studio.run("true"))}
studio.start()
facts["bytes"] = failure(lambda: studio.run(r"printf '\\xff'; touch done"))
facts["done"] = studio.run("ls done")
facts["machine"] = failure(lambda: studio.start(Machine.T4))
facts["cloud"] = failure(lambda: Studio("elsewhere", cloud="nowhere"))
print(json.dumps(facts))
"""
    with lightning(tmp_path) as api:
        facts = sdk(api.cloud, script)
        history = [request for request in api.cloud.requests if request.path == "/v1/sdk-command-history"]
        assert any("touch done" in request.body["message"] for request in history)
        wrong = "print(json.dumps(1))\ntry: Studio('x')\nexcept ConnectionError as e: print(json.dumps(str(e)))"
        assert "lightning login" in sdk(api.cloud, wrong, LIGHTNING_API_KEY="wrong")
        assert [request.status for request in api.cloud.requests[-2:]].count(401) >= 1
    assert "not running" in facts["run"]
    assert "response: 500" in facts["bytes"]
    assert facts["done"] == "done"
    assert "already running" in facts["machine"]
    assert "clusterID nowhere is invalid" in facts["cloud"]


@pytest.mark.parametrize("isolated", [ISOLATED, False])
def test_stop_kills_what_runs_and_keeps_what_lies_in_the_home(tmp_path: Path, isolated: bool) -> None:
    mark = f"987{uuid.uuid4().int % 10**9}"
    with lightning(tmp_path, isolated=isolated) as api:
        studio = api.create("kill")
        api.start(studio)
        stream = api.execute(studio, f"sleep {mark}")
        assert api.run(studio, f"setsid nohup sleep {mark} >/dev/null 2>&1 & echo $! > pid; cat pid")[0] == 0
        eventually(lambda: len(processes(mark)) >= 2, "both sleep")
        api.stop(studio)
        assert processes(mark) == []
        assert api.call("GET", stream).status_code == 400
        assert api.call("POST", f"{studio}/execute", json={"command": "true", "detached": True}).status_code == 400
        api.start(studio)
        assert api.run(studio, "test -s pid && python -c 'import lightning_sdk' && echo fine") == (0, "fine\n")


def test_no_variable_of_the_host_gets_into_a_studio(api: Studios, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret-of-the-host")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "77")
    studio = api.create("variables")
    env = [{"name": "MINE", "value": "a=b c"}]
    assert api.call("PUT", studio, json={"env": env}).json()["env"] == env
    api.start(studio)
    output = api.run(studio, "env")[1]
    variables = dict(line.split("=", 1) for line in output.splitlines())
    assert "secret-of-the-host" not in output
    assert variables["MINE"] == "a=b c"
    assert variables["PIP_DEFAULT_TIMEOUT"] == "77"
    assert variables["LIGHTNING_API_KEY"] == api.cloud.api_key
    assert variables["LIGHTNING_CLOUD_URL"] == api.cloud.url
    assert variables["LIGHTNING_CLOUD_SPACE_ID"] == studio.rpartition("/")[2]
    assert "BASH_ENV" not in variables


def test_a_studio_without_secrets_has_no_credentials(api: Studios) -> None:
    body = {"name": "bare", "disableSecrets": True, "seedFiles": [{"path": "a/b.txt", "contents": "seed"}]}
    made = api.call("POST", f"{api.project}/cloudspaces", json=body).json()
    studio = f"{api.project}/cloudspaces/{made['id']}"
    api.start(studio, ready=False)
    assert api.run(studio, "cat a/b.txt; env | grep -c -e API_KEY -e USER_ID") == (1, "seed0\n")


@pytest.mark.skipif(not can_isolate(), reason="may not make namespaces")
def test_an_isolated_studio_sees_its_own_processes_and_files_only(api: Studios, tmp_path: Path) -> None:
    one, two = api.create("one"), api.create("two")
    (api.cloud.studio("two").home / "private").write_text("of the other")
    outside = Path(f"/opt/outside-{uuid.uuid4().hex}")
    api.start(one)
    assert api.run(one, "echo $$ > pid; test $(cat pid) -lt 1000; cat /proc/1/cmdline | tr '\\0' ' '")[1].strip()
    assert api.run(one, f"cat {api.cloud.studio('two').home}/private")[0] == 1
    assert api.run(one, f"echo x > {outside}; test -s {outside}")[0] == 0
    assert not outside.exists()
    assert api.run(one, f"{PYTHON} -c 'import sys; print(sys.prefix)'") == (
        0,
        f"{PYTHON.removesuffix('/bin/python')}\n",
    )
    assert api.in_use(one)["phase"].endswith("RUNNING")
    assert "inUse" not in api.call("GET", f"{two}/codestatus").json()


def test_python_works_when_set_up_is_done_and_in_sessions_only(tmp_path: Path) -> None:
    with lightning(tmp_path, setup_seconds=math.inf, restore_seconds=0) as api:
        studio = api.create("setup")
        api.start(studio, ready=False)
        eventually(lambda: api.in_use(studio)["startupStatus"]["topUpRestoreFinished"], "restored")
        for command in ("python -c pass", "pip --version", "uv --version"):
            assert api.run(studio, command) == (1, f"{SETTING_UP}\n")
        assert api.run(studio, "true") == (0, "")
        (api.cloud.studio("setup").home / ".lightning_studio" / "on_start.sh").write_text("echo $PWD > started")
        if can_isolate():
            assert api.run(studio, f"{PYTHON} -c 'print(1)'") == (0, "1\n")
        api.stop(studio)
        api.cloud.knobs.setup_seconds = 0
        api.start(studio)
        eventually((api.cloud.studio("setup").home / "started").exists, "the hook has run")
        in_script = f"bash -c 'command -v python' | grep {'cloudspace' if can_isolate() else 'environment'}/bin"
        assert api.run(studio, in_script)[0] == 1
        api.cloud.knobs.environment_on_path = True
        assert api.run(studio, in_script)[0] == 0
        assert api.run(studio, "uv run python -V")[0] == 2
        assert api.run(studio, "env -u UV_LIGHTNING_VIRTUALENV_ROOT uv run --no-project python -V")[0] == 0
        assert api.run(studio, "conda create -n mine")[0] == 1
        (api.cloud.studio("setup").home / ".lightning_studio" / ".studiorc").write_text("export FROM_RC=yes")
        assert api.run(studio, "echo $FROM_RC; bash -c 'echo $FROM_RC'") == (0, "yes\nyes\n")


def test_a_stuck_studio_stays_stuck_and_its_replacement_works(tmp_path: Path) -> None:
    with lightning(tmp_path, stuck_studios=1, restore_seconds=0) as api:
        stuck, fine = api.create("stuck"), api.create("fine")
        api.start(stuck, ready=False)
        api.stop(stuck)
        api.start(stuck, ready=False)
        api.start(fine)
        assert api.run(stuck, "python -c pass") == (1, f"{SETTING_UP}\n")


def test_gpu_that_comes_up_as_a_cpu(tmp_path: Path) -> None:
    with lightning(tmp_path, gpu_comes_up_as_cpu=True) as api:
        studio = api.create("gpu")
        api.start(studio, "lit-t4-1")
        assert api.call("GET", f"{studio}/codeconfig").json()["computeConfig"]["name"] == "cpu-4"
        assert api.run(studio, "nvidia-smi")[0] == 127
        assert [interval.machine for interval in api.cloud.intervals] == ["CPU"]
        api.stop(studio)
        api.cloud.knobs.gpu_comes_up_as_cpu = False
        # Not sold by this studio's cloud.
        api.start(studio, "lit-b200-1")
        assert api.cloud.studio("gpu").machine == "CPU"
        api.stop(studio)
        api.start(studio, "lit-h100-8")
        assert (
            api.run(studio, "nvidia-smi --query-gpu=name --format=csv,noheader")[1].splitlines() == ["NVIDIA H100"] * 8
        )


def test_switch_that_raises_and_happens_all_the_same(tmp_path: Path) -> None:
    with lightning(tmp_path, switch_raises_then_switches=True, switch_seconds=3) as api:
        studio = api.create("switch")
        api.start(studio)
        other = {"computeConfig": {"name": "lit-t4-1", "clusterOverride": "gcp-lightning-public-prod"}}
        assert api.call("PUT", f"{studio}/codeconfig", json=other).status_code == 400
        assert api.call("POST", f"{studio}/switch-confirm").status_code == 400
        assert api.call("PUT", f"{studio}/codeconfig", json={"computeConfig": {"name": "lit-t4-1"}}).status_code == 200
        confirmed = api.call("POST", f"{studio}/switch-confirm")
        assert (confirmed.status_code, confirmed.json()["message"]) == (400, "cannot switch to a Studio")
        assert api.cloud.studio("switch").machine == "CPU"
        eventually(lambda: api.cloud.studio("switch").machine == "T4", "switched")
        eventually(lambda: api.run(studio, "nvidia-smi && python -c pass")[0] == 0, "usable")


def test_starts_that_never_return_and_machines_that_are_not_to_be_had(tmp_path: Path) -> None:
    with lightning(tmp_path, start_never_returns=True, out_of_capacity={"T4"}) as api:
        studio = api.create("pending")
        start = {"computeConfig": {"name": "cpu-4"}}
        assert api.call("POST", f"{studio}/start", json=start).status_code == 200
        assert api.call("POST", f"{studio}/start", json=start).json()["code"] == 9
        assert api.in_use(studio)["phase"].endswith("PENDING")
        api.cloud.knobs.start_never_returns = False
        eventually(lambda: api.in_use(studio)["phase"].endswith("RUNNING"), "running after all")
        catalog = requests.get(f"{api.cloud.url}/v1/core/accelerators?cloudProvider=AWS", timeout=60).json()
        assert [row["displayName"] for row in catalog["accelerator"] if row["outOfCapacity"]] == ["T4"]
        script = """
from lightning_sdk.exceptions import OutOfCapacityError
try: Studio("full").start(Machine.T4)
except OutOfCapacityError: print(json.dumps("full"))
"""
        assert sdk(api.cloud, script) == "full"


def test_idle_studios_sleep_and_keep_alives_and_sessions_keep_them_awake(tmp_path: Path) -> None:
    with lightning(tmp_path) as api:
        idle, busy, insomniac = (api.create(name) for name in ("idle", "busy", "insomniac"))
        assert api.call("PUT", f"{insomniac}/sleepconfig", json={"disableAutoShutdown": True}).status_code == 200
        for studio in (idle, busy, insomniac):
            api.start(studio, ready=False)
        stream = api.execute(busy, "while [ ! -e enough ]; do sleep 0.05; done")
        api.cloud.knobs.auto_sleep_seconds = 0.5
        eventually(lambda: api.in_use(idle)["phase"].endswith("STOPPED"), "asleep")
        assert api.in_use(idle)["statusMessage"] == "stopped: idle"
        assert sorted(api.cloud.running()) == ["busy", "insomniac"]
        api.cloud.knobs.auto_sleep_seconds = 8
        (api.cloud.studio("busy").home / "enough").touch()
        eventually(lambda: '"exitCode": 0' in api.call("GET", stream).text, "session over")
        awake_until = time.monotonic() + 9

        def kept_awake() -> bool:
            assert api.call("POST", f"{busy}/keep-alive", json={}).status_code == 200
            return time.monotonic() > awake_until

        eventually(kept_awake, "seconds of keep-alives")
        assert api.in_use(busy)["phase"].endswith("RUNNING")
        eventually(lambda: api.in_use(busy)["phase"].endswith("STOPPED"), "asleep in the end")
        api.cloud.knobs.max_hours = 0
        eventually(lambda: api.in_use(insomniac)["phase"].endswith("STOPPED"), "stopped by force")


def test_a_studio_that_vanishes(api: Studios) -> None:
    studio = api.create("gone")
    api.start(studio, ready=False)
    api.cloud.knobs.vanish.add("gone")
    eventually(lambda: api.call("GET", f"{studio}/codestatus").status_code == 404, "gone")
    eventually(lambda: api.cloud.running() == [], "not billed")
    assert api.call("GET", f"{api.project}/cloudspaces", params={"name": "gone"}).json()["cloudspaces"] == []


def test_files_uploaded_during_set_up_are_seen_late(tmp_path: Path) -> None:
    with lightning(tmp_path, setup_seconds=3, storage_delay_seconds=3) as api:
        studio = api.create("late")
        base = studio.replace("/cloudspaces/", "/artifacts/cloudspaces/")
        api.start(studio, ready=False)
        api.upload(base, "late.txt", b"late")
        assert api.call("GET", f"{base}/blobs/late.txt").content == b"late"
        assert api.run(studio, "cat late.txt")[0] == 1
        eventually(lambda: api.run(studio, "cat late.txt") == (0, "late"), "seen")
        api.upload(base, "soon.txt", b"soon")
        assert api.run(studio, "cat soon.txt") == (0, "soon")


def test_paths_of_uploads_are_taken_literally_unless_told_otherwise(api: Studios) -> None:
    studio = api.create("paths")
    home = api.cloud.studio("paths").home
    base = studio.replace("/cloudspaces/", "/artifacts/cloudspaces/")
    absolute = "teamspace/studios/this_studio/x"
    api.upload(base, absolute, b"literal")
    assert (home / absolute).read_bytes() == b"literal"
    api.cloud.knobs.strip_home_prefix = True
    api.upload(base, absolute, b"stripped")
    assert (home / "x").read_bytes() == b"stripped"
    assert api.call("GET", f"{base}/blobs/a/..%2F..%2Foutside").status_code == 400
    drive = f"{api.project}/artifacts"
    api.upload(drive, "studios/paths/from-drive", b"drive")
    assert (home / "from-drive").read_bytes() == b"drive"
    tree = api.call("GET", f"{drive}/trees/studios/paths", params={"atMost": "2"}).json()
    assert [(entry["path"], entry["type"]) for entry in tree["tree"]] == [
        (".lightning_studio", "tree"),
        ("from-drive", "blob"),
    ]
    rest = api.call("GET", f"{drive}/trees/studios/paths", params={"cursor": tree["nextCursor"]}).json()
    assert [entry["path"] for entry in rest["tree"]] == ["teamspace", "x"]
    assert api.call("GET", f"{drive}/blobs/studios/other/x").status_code == 404


def test_lost_answers_and_failures_on_demand(api: Studios) -> None:
    api.cloud.knobs.lose_answers.append(("POST", "/cloudspaces$"))
    with pytest.raises(requests.ConnectionError):
        api.create("lost")
    assert api.cloud.studio("lost").phase == "STOPPED"
    assert api.cloud.requests[-1].status == 0
    assert api.call("POST", f"{api.project}/cloudspaces", json={"name": "lost"}).json()["code"] == 6
    api.cloud.knobs.fail.append(("GET", "whoami", 429, 2))
    assert [api.call("GET", "/v1/auth/whoami").status_code for _ in range(3)] == [429, 429, 200]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "reason"),
    [
        ("GET", "/v1/nonsense", {}, 404, "Not Found"),
        ("GET", "/v1/auth/whoami?surprise=1", {}, 400, "unknown query parameter 'surprise'"),
        ("POST", "{project}/cloudspaces", {"json": {"name": "x", "colour": "red"}}, 400, "no field 'colour'"),
        ("POST", "{project}/cloudspaces", {"json": {"name": 7}}, 400, "name must be str"),
        ("POST", "{project}/cloudspaces", {"data": b"not json"}, 400, "not JSON"),
        ("GET", "/v1/auth/whoami", {"json": {"a": 1}}, 400, "no body is expected"),
    ],
)
def test_what_the_api_does_not_have_is_refused_and_recorded(
    tmp_path: Path, method: str, path: str, options: dict[str, Any], status: int, reason: str
) -> None:
    with LightningCloud(tmp_path / "cloud", Knobs(**QUICK)) as cloud:
        api = Studios(cloud)
        answer = api.call(method, path.format(project=api.project), **options)
        api.session.close()
        assert (answer.status_code, answer.json()["details"]) == (status, [])
        assert [reason in request.reason for request in cloud.refused] == [True]
        assert cloud.requests[-1].status == status


def test_only_the_right_credentials_are_let_in(api: Studios) -> None:
    def whoami(**options: Any) -> int:
        return requests.get(f"{api.cloud.url}/v1/auth/whoami", timeout=60, **options).status_code

    assert whoami(auth=(api.cloud.user_id, api.cloud.api_key)) == 200
    assert whoami(headers={"Authorization": f"Bearer {api.cloud.api_key}"}) == 200
    assert whoami() == 401
    assert whoami(auth=(api.cloud.user_id, "wrong")) == 401
    assert whoami(headers={"Authorization": f"Bearer {api.cloud.user_id}"}) == 401


def test_machines_are_billed_from_running_to_stopped(tmp_path: Path) -> None:
    with lightning(tmp_path, start_seconds=3) as api:
        studio = api.create("billed")
        assert api.call("POST", f"{studio}/start", json={"computeConfig": {"name": "lit-t4-1"}}).status_code == 200
        assert (api.cloud.running(), api.cloud.cost()) == ([], 0)
        eventually(lambda: api.in_use(studio)["phase"].endswith("RUNNING"), "running")
        assert api.cloud.running() == ["billed"]
        api.stop(studio)
        (interval,) = api.cloud.intervals
        assert interval.end is not None
        assert api.cloud.machine_seconds() == {"T4": interval.end - interval.start}
        assert api.cloud.cost() == pytest.approx((interval.end - interval.start) / 3600 * 0.98)
        assert interval.start >= api.cloud.studio("billed").created + 3


@pytest.mark.parametrize("isolated", [ISOLATED, False])
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_nothing_is_left(tmp_path: Path, end: str, isolated: bool) -> None:
    mark = f"986{uuid.uuid4().int % 10**9}"
    root = tmp_path / "cloud"
    command = [sys.executable, "-m", "localcloud.lightning", str(root), "--knob", f"isolated={isolated}"]
    source = Path(__file__).parents[2] / "src"
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        variables = json.loads(process.stdout.readline())
        url, auth = variables["LIGHTNING_CLOUD_URL"], (variables["LIGHTNING_USER_ID"], variables["LIGHTNING_API_KEY"])
        with requests.Session() as session:
            session.auth = auth

            def call(method: str, path: str, **options: Any) -> Any:
                return session.request(method, url + path, timeout=60, **options).json()

            project = call("GET", "/v1/memberships")["memberships"][0]["projectId"]
            studios = f"/v1/projects/{project}/cloudspaces"
            studio = f"{studios}/{call('POST', studios, json={'name': 'left'})['id']}"
            call("POST", f"{studio}/start", json={"computeConfig": {"name": "cpu-4"}})
            running = {"command": f"setsid sleep {mark} & sleep {mark}", "detached": True}
            eventually(lambda: "sessionName" in call("POST", f"{studio}/execute", json=running), "running")
        eventually(lambda: len(processes(mark)) >= 3, "sleeping")
        process.send_signal(signal.SIGTERM if end == "exit" else signal.SIGKILL)
        process.wait(300)
    eventually(lambda: processes(mark) == [] and processes(str(root)) == [], "every process gone")
    assert str(root) not in Path("/proc/mounts").read_text()
    if end == "exit":
        assert sorted(path.name for path in root.iterdir()) == ["drive", "studios"]


def test_every_operation_is_one_of_the_sdk(api: Studios) -> None:
    """Method, path, query names and body model are those of the API client that lightning-sdk generates."""
    operations: dict[tuple[str, str], tuple[set[str], str | None]] = {}
    for module in (sdk_folder() / "api").glob("*_api.py"):
        for part in re.split(r"\n    def ", module.read_text()):
            if found := re.search(r"call_api\(\s*'([^']*)', '(\w+)'", part):
                body = re.search(r":param (\w+) body", part)
                query = set(re.findall(r"query_params\.append\(\('(\w+)'", part))
                operations[found[2], re.sub(r"\{\w+}", "{}", found[1])] = (query, body[1] if body else None)
    own = [route for route in api.cloud._server.routes if not re.search("/artifacts/|/storage/", route.path)]
    assert len(own) > 25
    for route in own:
        path = "/v1/orgs/{}" if route.path == "/v1/orgs/" else re.sub(r"\{\w+}", "{}", route.path)
        query, body = operations[route.method, path]
        assert set(route.query) <= query, route.path
        assert route.body == body, route.path


def test_models_are_read_as_the_sdk_reads_them() -> None:
    assert fields("V1EnvVar") == {"fromSecret": "str", "name": "str", "value": "str"}
    check("list[V1EnvVar]", [{"name": "a", "value": None}])
    check("V1CloudSpaceInstanceState", "CLOUD_SPACE_INSTANCE_STATE_RUNNING")
    for model, value in [
        ("V1CloudSpaceInstanceState", "RUNNING"),
        ("list[V1EnvVar]", {"name": "a"}),
        ("V1EnvVar", {"nam": "a"}),
        ("bool", 1),
        ("int", "1.5"),
        ("datetime", "2024-01-01"),
        ("V1Nonsense", {}),
    ]:
        with pytest.raises(InvalidError):
            check(model, value)
