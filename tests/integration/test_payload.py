"""The payload as real processes on this machine: no studio, a recorded platform, a Python environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lightning_api import eventually
from lightning_zenml.launch import wheel
from lightning_zenml.launch.payload import lease
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment that sees this one's packages, and installs into its own folder."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = venv / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"{ours}\nimport coverage; coverage.process_startup()\n")
    shutil.copy(Path(sys.executable).parent / "uv", venv / "bin" / "uv")
    return venv / "bin" / "python"


@dataclass
class Platform:
    """Records what a studio sends about itself."""

    url: str
    requests: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)
    answers: dict[str, list[tuple[int, object]]] = field(default_factory=dict)
    """Status and JSON of the next ones by method and path in the teamspace; without any: 200."""

    def answer(self, method: str, path: str) -> tuple[int, object]:
        answers = self.answers.get(f"{method} {path.removeprefix('/v1/projects/p')}")
        return answers.pop(0) if answers else (200, {})

    def sent(self, method: str, end: str) -> list[tuple[str, str, str | None, bytes]]:
        return [request for request in self.requests if request[0] == method and request[1].endswith(end)]


@pytest.fixture
def platform() -> Iterator[Platform]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            record.requests.append((self.command, self.path, self.headers.get("Authorization"), body))
            status, told = record.answer(self.command, self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        do_GET = do_POST = do_DELETE = do_PUT = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        record = Platform(f"http://127.0.0.1:{server.server_port}/v1/projects/p/cloudspaces/s")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield record
        server.shutdown()
        thread.join()


@dataclass
class Studio:
    """A home folder with what the client uploads; calls verbs as the client does."""

    home: Path
    python: Path
    platform: Platform
    scratch: Path
    log: str = ""

    @property
    def root(self) -> Path:
        return self.home / ".lightning_zenml"

    def upload(self, launch_id: str = "l-1", **changes: Any) -> None:
        code = self.scratch / "repository"
        (code / "sub").mkdir(parents=True, exist_ok=True)
        (code / "hello.txt").write_text("hello")
        (code / "sub" / "here.txt").touch()
        archive = pack(Repository.open(code), self.scratch / "archive.tar.gz")
        wheel_path = wheel.repack(self.scratch)
        for source, target in (
            (archive.path, f"archives/{archive.sha256}"),
            (wheel_path, f"wheels/0/{wheel_path.name}"),
        ):
            (self.root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.root / target)
        instructions: dict[str, Any] = {
            "owner": "a test",
            "archive": archive.sha256,
            "wheel": f"wheels/0/{wheel_path.name}",
            "packages": [],
            "requirements": [],
            "commands": [],
            "command": "cat hello.txt",
            "working_directory": ".",
            "environment": {},
            "timeout": None,
            "release": "none",
            "leased": False,
            "on_failure": [],
            "restarts": 0,
            "studio": {
                "name": "zenml-x",
                "url": "https://lightning/x",
                "machine": "CPU",
                "price": 0.1,
                "since": 0.0,
                "cloud_url": "https://lightning",
                "teamspace": "acme/vision",
            },
            "credentials": {"LIGHTNING_USER_ID": "u", "LIGHTNING_API_KEY": "k"},
            "platform": {"url": self.platform.url, "authorization": "Basic secret"},
        }
        folder = self.root / "launches" / launch_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "env").write_text(json.dumps(instructions | changes))

    def call(self, verb: str, *options: str, launch_id: str = "l-1") -> dict[str, Any]:
        arguments = [self.python, "-m", "lightning_zenml.launch.payload", verb, launch_id, *options]
        wheel_path = next(self.root.glob("wheels/0/*.whl"))
        measured = {name: value for name, value in os.environ.items() if name.startswith("COV")}
        completed = subprocess.run(
            arguments,
            env={
                **measured,
                "HOME": str(self.home),
                "PATH": "/usr/bin:/bin",
                # The wheel in a studio; the sources here, where coverage is measured.
                "PYTHONPATH": str(Path(wheel.__file__).parents[2] if measured else wheel_path),
                "UV_LIGHTNING_VIRTUALENV_ROOT": "/nowhere",
                "UV_OFFLINE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr
        answer: dict[str, Any] = json.loads(completed.stdout)
        return answer

    def start(self, **changes: Any) -> None:
        self.upload(**changes)
        assert self.call("start")["started"]

    def finish(self, launch_id: str = "l-1") -> dict[str, Any]:
        """Follows to the end; the final status."""
        offset = 0

        def status() -> dict[str, Any] | None:
            nonlocal offset
            answer = self.call("read", "--log-offset", str(offset), launch_id=launch_id)
            self.log += answer["log"]
            offset = answer["log_offset"]
            finished = answer["status"] and answer["status"]["phase"] == "finished"
            return answer["status"] if finished else None

        status_now = eventually(status)
        assert status_now is not None
        self.call("leave", launch_id=launch_id)
        return status_now


@pytest.fixture
def studio(tmp_path: Path, environment: Path, platform: Platform) -> Iterator[Studio]:
    home = tmp_path / "home"
    home.mkdir()
    studio = Studio(home=home, python=environment, platform=platform, scratch=tmp_path / "scratch")
    studio.scratch.mkdir()
    yield studio
    for folder in (studio.root / "launches").glob("*"):
        (folder / "left").touch()
        eventually(lambda folder=folder: not _alive(folder / "pid"))


def _alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def test_commands_share_one_session_and_the_command_runs_in_its_directory(studio: Studio) -> None:
    studio.start(
        commands=["export COLOUR=green", "cd /"],
        command='echo "$COLOUR $(basename "$PWD") $(python -c "import sys; print(sys.prefix)")"',
        working_directory="sub",
    )
    assert studio.finish() == {"phase": "finished", "exit_code": 0, "failure": None, "stopped": False}
    assert f"green sub {studio.python.parent.parent}" in studio.log
    assert "==> Command 1 of 2: export COLOUR=green\n" in studio.log


def test_the_first_failing_command_ends_it_and_is_named_with_its_output(studio: Studio) -> None:
    studio.start(commands=["true", "echo out of luck; false; echo unreached", "touch reached"])
    failure = studio.finish()["failure"]
    assert failure["phase"] == "commands"
    assert failure["message"].startswith("Command 2 of 3 failed with exit code 1: echo out of luck")
    assert failure["output"] == "out of luck\n"
    assert not (studio.root / "launches/l-1/code/reached").exists()


def test_a_command_that_exits_the_session_is_no_success(studio: Studio) -> None:
    studio.start(commands=["exit 0"])
    status = studio.finish()
    assert status["exit_code"] is None
    assert "ended the session" in status["failure"]["message"]


def test_a_failing_run_is_told_with_exit_code_and_output(studio: Studio) -> None:
    studio.start(command="echo oh no >&2; exit 7")
    status = studio.finish()
    assert status["exit_code"] == 7
    assert status["failure"]["phase"] == "running"
    assert status["failure"]["output"] == "oh no\n"


def test_starting_twice_starts_once(studio: Studio) -> None:
    studio.start(command="echo ran >> ../ran")
    assert studio.call("start") == {"started": True, "again": True}
    studio.finish()
    assert (studio.root / "launches/l-1/ran").read_text() == "ran\n"


def test_the_environment_reaches_the_command_and_no_file_keeps_it(studio: Studio) -> None:
    studio.start(
        command='test "${#TOKEN}" = 6 && test -z "$UV_LIGHTNING_VIRTUALENV_ROOT"', environment={"TOKEN": "s3cret"}
    )
    assert studio.finish()["exit_code"] == 0
    kept = [path for path in studio.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.name for path in kept] == []


def test_a_timeout_stops_the_command_and_what_it_started(studio: Studio) -> None:
    studio.start(command="sleep 300 & echo $! > ../child; wait", timeout=1)
    failure = studio.finish()["failure"]
    assert "timeout" in failure["message"]
    child = int((studio.root / "launches/l-1/child").read_text())
    eventually(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


def test_stop_gives_the_command_its_grace(studio: Studio) -> None:
    studio.start(command="trap 'echo cleaned > ../cleaned; exit 3' TERM; touch ../up; while true; do sleep 0.1; done")
    eventually((studio.root / "launches/l-1/up").exists)
    assert studio.call("stop", "--grace", "20")["stopping"]
    assert studio.finish()["stopped"]
    assert (studio.root / "launches/l-1/cleaned").exists()


def test_stop_kills_a_command_that_ignores_it(studio: Studio) -> None:
    studio.start(command="trap '' TERM; touch ../up; while true; do sleep 0.1; done")
    eventually((studio.root / "launches/l-1/up").exists)
    studio.call("stop", "--grace", "0.2")
    assert studio.finish()["stopped"]


def test_requirements_that_cannot_be_installed_end_it(studio: Studio) -> None:
    (studio.scratch / "repository").mkdir(exist_ok=True)
    (studio.scratch / "repository/requirements.txt").write_text("six\n")
    studio.start(requirements=["-r requirements.txt"])
    failure = studio.finish()["failure"]
    assert failure["phase"] == "installing"
    assert "can't be installed" in failure["message"]
    assert "uv pip install" in failure["command"]
    assert failure["output"]


def test_a_fresh_studio_deletes_itself_when_nobody_follows(studio: Studio) -> None:
    studio.start(release="delete")
    studio.call("leave")
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    assert studio.platform.sent("POST", "/keep-alive")[0][2] == "Basic secret"


def test_whichever_job_is_refused_the_others_are_ended_and_the_studio_released(studio: Studio) -> None:
    def job(name: str, launch: str = "l-1", state: str = "running") -> dict[str, Any]:
        return {"id": name, "state": state, "spec": {"command": f"echo > .lightning_zenml/jobs/{launch}-{name}"}}

    jobs = [job("gone"), job("refused"), job("busy"), job("other", "l-2"), job("done", state="completed")]
    multi = [job("multi", state="MultiMachineJob_STATE_RUNNING")]
    studio.platform.answers = {
        "GET /jobs?standalone=true": [(503, {}), (200, {"jobs": jobs})],
        "GET /multi-machine-jobs": [(200, {"multiMachineJobs": multi})],
        "DELETE /jobs/gone": [(404, {})],
        "DELETE /jobs/refused": [(403, {})],
        "DELETE /jobs/busy": [(503, {}), (429, {})],
    }
    studio.start(command="touch ../jobs.jsonl", release="delete")
    studio.call("leave")
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    deleted = [path.rpartition("/")[2] for method, path, *_ in studio.platform.requests if method == "DELETE"]
    assert deleted == ["gone", "refused", "busy", "busy", "busy", "multi", "s"]


def test_a_client_that_follows_releases_the_studio_itself(studio: Studio) -> None:
    studio.upload(release="stop")
    studio.call("start")
    studio.call("read")
    eventually(lambda: (studio.call("read")["status"] or {}).get("phase") == "finished")
    assert not studio.platform.sent("POST", "/stop")
    studio.call("leave")
    eventually(lambda: studio.platform.sent("POST", "/stop"))


TELL = """
import os
with open(os.environ['LIGHTNING_ZENML_LAUNCH_DIR'] + '/told', 'w') as file:
    file.write(os.environ['LIGHTNING_ZENML_FAILURE'])
"""


def test_a_killed_supervisor_is_noticed_reported_and_the_studio_released(studio: Studio) -> None:
    command = "sleep 300 & echo $! > ../child; touch ../up; wait"
    studio.start(command=command, release="delete", on_failure=["-c", TELL])
    studio.call("leave")
    folder = studio.root / "launches/l-1"
    eventually((folder / "up").exists)
    os.kill(int((folder / "pid").read_text()), 9)
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    child = Path("/proc") / (folder / "child").read_text().strip() / "cmdline"
    eventually(lambda: not child.exists() or not child.read_bytes())
    message = json.loads((folder / "status.json").read_text())["failure"]["message"]
    assert "supervisor" in message
    assert (folder / "told").read_text() == message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"commands": ["false"]}, "Command 1 of 1 failed with exit code 1: false"),
        ({"command": "exit 3"}, "The run failed with exit code 3: exit 3"),
        ({"command": "true"}, None),
    ],
)
def test_a_failure_is_reported_before_the_record_says_so(
    studio: Studio, changes: dict[str, Any], told: str | None
) -> None:
    studio.start(on_failure=["-c", TELL], **changes)
    studio.finish()
    file = studio.root / "launches/l-1/told"
    assert (file.read_text() if file.exists() else None) == told


def test_one_launch_at_a_time_has_the_lease(tmp_path: Path) -> None:
    assert lease.acquire(tmp_path, launch_id="a", owner="Ada") == {"acquired": True}
    assert lease.acquire(tmp_path, launch_id="a", owner="Ada") == {"acquired": True}
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob") == {"acquired": False, "launch": "a", "owner": "Ada"}
    assert not lease.release(tmp_path, launch_id="b")
    assert lease.release(tmp_path, launch_id="a")
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob")["acquired"]


def test_a_dead_owners_lease_is_void(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"heartbeat": time.time() - lease.STALE - 1}))
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob")["acquired"]


def test_a_lease_ends_with_the_machine_it_was_taken_on(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"machine": "an earlier start"}))
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob")["acquired"]


def test_the_lease_of_a_closing_studio_holds_a_little_longer(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    lease.release(tmp_path, launch_id="a", closing=True)
    assert not lease.acquire(tmp_path, launch_id="b", owner="Bob")["acquired"]
