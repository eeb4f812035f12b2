"""The payload as real processes on this machine: no studio, a recorded platform, a Python environment of its own."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lightning_api import eventually
from lightning_zenml.launch import wheel
from lightning_zenml.launch.payload.folder import LaunchFolder
from lightning_zenml.launch.payload.records import VERSION
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository


def make_environment(venv: Path) -> Path:
    """A Python environment that sees this one's packages, and installs into its own folder; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = venv / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"{ours}\nimport coverage; coverage.process_startup()\n")
    shutil.copy(Path(sys.executable).parent / "uv", venv / "bin" / "uv")
    return venv / "bin" / "python"


def write_wheel(folder: Path, name: str) -> Path:
    """A wheel of version 1 with one empty module."""
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        wheel.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.dist-info/RECORD", f"{name}.py,,\n{name}-1.dist-info/METADATA,,\n")
    return path


@dataclass
class Platform:
    """Records what a studio sends about itself, and is as Lightning in what has ended by that.

    Args:
        url: of the studio's resource.
        requests: method, path with query, `Authorization` header and body of each.
        answers: status and JSON (or a page, as text) of the next ones by method and path in the teamspace. Such an
            answer is all that happens.
        refused: keys that are, values of `Authorization`.
        jobs: on one machine.
        multi_machine_jobs: on several.
        is_running: whether the studio has a machine.
        is_there: whether the studio exists.
    """

    url: str
    requests: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)
    answers: dict[str, list[tuple[int, object]]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    multi_machine_jobs: list[dict[str, Any]] = field(default_factory=list)
    is_running: bool = True
    is_there: bool = True

    def sent(self, method: str, end: str) -> list[tuple[str, str, str | None, bytes]]:
        return [request for request in self.requests if request[0] == method and request[1].endswith(end)]

    def answer(self, method: str, path: str, key: str | None) -> tuple[int, object]:
        path = path.removeprefix("/v1/projects/p")
        if answers := self.answers.get(f"{method} {path}"):
            return answers.pop(0)
        if key in self.refused:
            return 401, {}
        if path.startswith("/cloudspaces/s"):
            return self._of_studio(f"{method} {path.removeprefix('/cloudspaces/s')}")
        kind, _, job_id = path.removeprefix("/").partition("?")[0].partition("/")
        jobs = self.jobs if kind == "jobs" else self.multi_machine_jobs
        if method == "DELETE":
            there = [job for job in jobs if job["id"] == job_id]
            jobs[:] = [job for job in jobs if job["id"] != job_id]
            return (200, {}) if there else (404, {})
        return 200, {"jobs" if kind == "jobs" else "multiMachineJobs": jobs}

    def _of_studio(self, request: str) -> tuple[int, object]:
        if not self.is_there:
            return 404, {}
        if request == "DELETE ":
            self.is_there = False
        elif request == "POST /stop":
            was_running, self.is_running = self.is_running, False
            return 200 if was_running else 400, {}
        elif request == "GET /codestatus":
            return 200, {"inUse": {"phase": "CLOUD_SPACE_INSTANCE_STATE_RUNNING"}} if self.is_running else {}
        return 200, {"id": "s"}


@contextmanager
def recorded_platform() -> Iterator[Platform]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            record.requests.append((self.command, self.path, self.headers.get("Authorization"), sent))
            status, told = record.answer(self.command, self.path, self.headers.get("Authorization"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write((told if isinstance(told, str) else json.dumps(told)).encode())

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


PAGE = "<html>Sign in</html>"


def job(name: str, launch: str = "l-1", state: str = "running") -> dict[str, Any]:
    """A job of a launch, as Lightning lists it."""
    return {"id": name, "state": state, "spec": {"command": f"echo > .lightning_zenml/jobs/{launch}-{name}"}}


def instructions(platform: Platform, **changes: Any) -> dict[str, Any]:
    """Those of a launch of `cat hello.txt`, but for the changes."""
    return {
        "archive": "0",
        "wheel": "wheels/0/x.whl",
        "packages": [],
        "environment_digest": "0" * 64,
        "requirements": [],
        "commands": [],
        "command": "cat hello.txt",
        "working_directory": ".",
        "environment": {},
        "timeout": None,
        "release": "none",
        "leased": False,
        "keep_warm": 0.0,
        "on_failure": [],
        "watch": [],
        "restarts": 0,
        "studio": {
            "name": "zenml-x",
            "url": "https://lightning/x",
            "cloud_url": "https://lightning",
            "teamspace": "acme/vision",
        },
        "meter": {"machine": "CPU", "price": 0.1, "since": 0.0},
        "credentials": {"LIGHTNING_USER_ID": "u", "LIGHTNING_API_KEY": "k"},
        "platform": {"url": platform.url, "authorization": "Basic secret"},
        **changes,
    }


@dataclass
class Studio:
    """A home folder with what the client uploads; calls verbs as the client does, in an environment of the studio."""

    home: Path
    python: Path
    platform: Platform
    scratch: Path
    log: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.home / ".lightning_zenml"

    @property
    def launch(self) -> Path:
        return self.root / "launches/l-1"

    def upload(self, launch_id: str = "l-1", **changes: Any) -> None:
        code = self.scratch / "repository"
        (code / "sub").mkdir(parents=True, exist_ok=True)
        (code / "hello.txt").write_text("hello")
        (code / "sub" / "here.txt").touch()
        archive = pack(Repository.open(code))
        wheel_path = wheel.repack(self.scratch)
        for folder in ("archives", "parts", "wheels/0"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel_path, self.root / "wheels/0")
        (self.root / "archives" / archive.sha256).write_text(archive.listing)
        for part in archive.parts:
            archive.write(part, self.scratch / "part.tar.gz")
            (self.root / "parts" / part.sha256).write_bytes(
                gzip.decompress((self.scratch / "part.tar.gz").read_bytes())
            )
        folder = self.root / "launches" / launch_id
        folder.mkdir(parents=True, exist_ok=True)
        wheel_name = f"wheels/0/{wheel_path.name}"
        told = instructions(self.platform, **{"archive": archive.sha256, "wheel": wheel_name, **changes})
        (folder / "env").write_text(json.dumps(told))

    def call(self, verb: str, *options: str, launch_id: str = "l-1", under: Sequence[str] = ()) -> dict[str, Any]:
        arguments = [*under, str(self.python), "-m", "lightning_zenml.launch.payload", verb, launch_id, *options]
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
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr
        answer: dict[str, Any] = json.loads(completed.stdout)
        assert answer.pop("version") == VERSION
        return answer

    def replace_uv(self, script: str) -> None:
        """Instead of `uv` the studio's Python finds a program of ours: installs need an index otherwise."""
        uv = self.python.parent / "uv"
        uv.unlink()
        uv.write_text(f"#!/bin/sh\n{script}\n")
        uv.chmod(0o755)

    def note_programs(self) -> Path:
        """The file that the command lines of uv and Git will stand in; our own wheel needs nothing that isn't there."""
        noted, real = self.scratch / "noted", self.scratch / "real-uv"
        uv, git = self.python.parent / "uv", self.python.parent / "git"
        uv.rename(real)
        for program, command in ((uv, f'{real} "$@" --no-deps'), (git, '/usr/bin/git "$@"')):
            program.write_text(f'#!/bin/sh\necho "$0 $@" >> {noted}\nexec {command}\n')
            program.chmod(0o755)
        return noted

    def start(self, launch_id: str = "l-1", **changes: Any) -> None:
        self.upload(launch_id, **changes)
        assert self.call("start", launch_id=launch_id)["started"]

    def finish(self, launch_id: str = "l-1") -> dict[str, Any]:
        """Follows to the end; the final status."""
        offset = 0

        def status() -> dict[str, Any] | None:
            nonlocal offset
            answer = self.call("read", "--log-offset", str(offset), launch_id=launch_id)
            self.log += answer["log"]
            offset = answer["log_offset"]
            finished = answer["status"] and answer["status"]["phase"] == "finished" and not answer["more"]
            return answer["status"] if finished else None

        status_now = eventually(status)
        assert status_now is not None
        self.call("leave", launch_id=launch_id)
        return status_now

    def end(self) -> None:
        """Nobody follows any more; waits for the supervisors, and ends what a studio's end would have ended."""
        for folder in (self.root / "launches").glob("*"):
            (folder / "left").touch()
            eventually(lambda folder=folder: not is_alive(folder / "pid"))
            guardian = LaunchFolder(self.root, folder).guardian_pid()
            if guardian is not None:
                os.kill(guardian, signal.SIGKILL)
                eventually(lambda pid=guardian: not is_running(pid))
        # On a full disk nobody could write down who he is; such a one would insist for hours.
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"HOME={self.home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


def is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def is_running(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for doesn't."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def parent(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
