"""Where a studio's commands run: in namespaces of its own or, where those may not be made, in plain processes."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from . import environment
from .machine import MachineFolder

HOME_INSIDE = "/teamspace/studios/this_studio"
MACHINE_INSIDE = "/opt/lightning"
_KEEPER = Path(__file__).with_name("keeper.sh")
_DEADLINE = 20.0
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
_TRIAL = """
set -e
mount -t tmpfs trial /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay trial -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
"""


@dataclass(frozen=True)
class Disk:
    """What a studio keeps over stop and start, on the host.

    Args:
        folder: of the studio; holds all of it.
        template: see `environment.template`.
        uv_cache: see `environment.uv_cache`.
        cloud: folder of the whole stand-in, hidden from studios.
        snapshot: what another studio's `environment` held, as it lies between the template and this one; None: nothing.
    """

    folder: Path
    template: Path
    uv_cache: Path
    cloud: Path
    snapshot: Path | None = None

    @property
    def home(self) -> Path:
        """The studio's home, `/teamspace/studios/this_studio`."""
        return self.folder / "home"

    @property
    def environment(self) -> Path:
        """The Python environment: a copy of the template, or what differs from it."""
        return self.folder / "environment"


class Sandbox(ABC):
    """A running machine.

    Args:
        disk: the studio's.
        scratch: a new folder of the host for this machine alone.
        gpus: number of GPUs.
        gpu: their name.
    """

    def __init__(self, disk: Disk, scratch: Path, gpus: int = 0, gpu: str = "") -> None:
        self.disk = disk
        self.scratch = scratch
        self.folder = MachineFolder(scratch / "machine", self.machine_path, self.environment_path, gpus, gpu)
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def home_path(self) -> str:
        """The home, as the machine sees it."""

    @property
    @abstractmethod
    def machine_path(self) -> str:
        """The machine's own folder, as the machine sees it."""

    @property
    @abstractmethod
    def environment_path(self) -> str:
        """The Python environment, as the machine sees it."""

    @property
    @abstractmethod
    def uv_cache_path(self) -> str:
        """The cache of uv, as the machine sees it."""

    @abstractmethod
    def start(self) -> None:
        """Make the machine.

        Raises:
            RuntimeError: it could not be made; with the reason.
        """

    @abstractmethod
    def spawn(self, command: str, variables: Mapping[str, str], output: BinaryIO) -> subprocess.Popen[bytes]:
        """Run a command in bash, in the home, with these variables and no others; stdout and stderr go to `output`.

        Raises:
            OSError: the command is too long.
        """

    def stop(self) -> None:
        """End every process and remove the machine; what is in the studio's home and environment stays."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            for pipe in (keeper.stdin, keeper.stdout):
                if pipe is not None:
                    pipe.close()
            try:
                keeper.wait(_DEADLINE)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _keep(self, command: list[str], variables: Mapping[str, str]) -> str:
        """Start a keeper: it says one line when it is ready, and ends everything when its standard input closes."""
        with (self.scratch / "keeper.log").open("wb") as log:
            self._keeper = subprocess.Popen(
                command,
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        readable, _, _ = select.select([self._keeper.stdout], [], [], _DEADLINE)
        line = self._keeper.stdout.readline().decode().strip() if readable else ""
        if not line:
            reason = (self.scratch / "keeper.log").read_text(errors="replace").strip()
            self.stop()
            raise RuntimeError(f"the studio's machine could not be made: {reason or 'no answer'}")
        return line


class NamespaceSandbox(Sandbox):
    """A machine with mount and PID namespaces of its own.

    It sees the host's file system through an overlay and what it writes outside its home is lost with it; its home and
    its Python environment are where they are on the platform.
    """

    home_path = HOME_INSIDE
    machine_path = MACHINE_INSIDE
    environment_path = environment.INSIDE
    uv_cache_path = environment.UV_CACHE_INSIDE
    _process_1 = ""

    def start(self) -> None:
        """See `Sandbox.start`."""
        for folder in (self.disk.environment / "upper", self.disk.environment / "work", self.scratch / "root"):
            folder.mkdir(parents=True, exist_ok=True)
        python = environment.base_python()
        prefix = Path(sys.base_prefix)
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SCRATCH": str(self.scratch / "root"),
            "CLOUD": str(self.disk.cloud),
            "HOME_FOLDER": str(self.disk.home),
            "HOME_INSIDE": self.home_path,
            "MACHINE_FOLDER": str(self.folder.host),
            "MACHINE_INSIDE": self.machine_path,
            "UV_CACHE": str(self.disk.uv_cache),
            "UV_CACHE_INSIDE": self.uv_cache_path,
            "TEMPLATE": ":".join(str(layer) for layer in (self.disk.snapshot, self.disk.template) if layer),
            "ENVIRONMENT": str(self.disk.environment),
            "ENVIRONMENT_INSIDE": self.environment_path,
            "PYTHON": str(python),
            "PYTHON_PREFIX": "" if prefix.stat().st_dev == Path("/").stat().st_dev else str(prefix),
        }
        self._process_1 = self._keep([*_NAMESPACES, "/bin/sh", str(_KEEPER)], variables)

    def spawn(self, command: str, variables: Mapping[str, str], output: BinaryIO) -> subprocess.Popen[bytes]:
        """See `Sandbox.spawn`."""
        enter = [_nsenter(), "--target", self._process_1, "--mount", "--pid", "--"]
        return _spawn([*enter, "/bin/bash", "-c", command], variables, output)


class ProcessSandbox(Sandbox):
    """A machine that is only a set of processes on the host, found by a variable that all of them have."""

    _MARK = "LOCALCLOUD_MACHINE"

    def __init__(self, disk: Disk, scratch: Path, gpus: int = 0, gpu: str = "") -> None:
        super().__init__(disk, scratch, gpus, gpu)
        self._groups: list[subprocess.Popen[bytes]] = []

    @property
    def home_path(self) -> str:
        """See `Sandbox.home_path`."""
        return str(self.disk.home)

    @property
    def machine_path(self) -> str:
        """See `Sandbox.machine_path`."""
        return str(self.scratch / "machine")

    @property
    def environment_path(self) -> str:
        """See `Sandbox.environment_path`."""
        return str(self.disk.environment)

    @property
    def uv_cache_path(self) -> str:
        """See `Sandbox.uv_cache_path`."""
        return str(self.disk.uv_cache)

    def start(self) -> None:
        """See `Sandbox.start`."""
        if not self.disk.environment.exists():
            environment.copy(self.disk.snapshot or self.disk.template, self.disk.environment)
        self._keep([sys.executable, "-I", "-S", "-c", _PROCESS_KEEPER, f"{self._MARK}={self.scratch}"], {})

    def spawn(self, command: str, variables: Mapping[str, str], output: BinaryIO) -> subprocess.Popen[bytes]:
        """See `Sandbox.spawn`."""
        process = _spawn(["/bin/bash", "-c", command], {**variables, self._MARK: str(self.scratch)}, output)
        self._groups.append(process)
        return process

    def stop(self) -> None:
        """See `Sandbox.stop`."""
        for process in self._groups:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        super().stop()


@cache
def can_isolate() -> bool:
    """Whether this process may make mount and PID namespaces with an overlay of the root."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    trial = [*_NAMESPACES, "/bin/sh", "-c", _TRIAL]
    return subprocess.run(trial, capture_output=True, timeout=_DEADLINE, check=False).returncode == 0


def _spawn(command: list[str], variables: Mapping[str, str], output: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=dict(variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@cache
def _nsenter() -> str:
    return shutil.which("nsenter") or "nsenter"


_PROCESS_KEEPER = """
import os, signal, sys
print("ready", flush=True)
os.read(0, 1)
mark = sys.argv[1].encode()
again = True
while again:
    again = False
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark not in file.read().split(b"\\0"):
                    continue
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    continue
            os.kill(int(pid), signal.SIGKILL)
            again = True
        except OSError:
            pass
"""
