"""A Docker engine for tests and benchmarks of the image: the one at hand or, as root on Debian, one of our own.

Our own lives below the user's cache folder, never touches the network of the machine, and needs no registry: it
starts from a stand-in for `python:3.12-slim` (see docker_base.sh) that trusts the same certificates as this machine.
Base and layers stay there, so that the next build takes seconds.

`python -m localcloud.docker COMMAND...` runs a command that finds the image built and `docker` on that engine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import TextIO

BASE = "python:3.12-slim"
IMAGE = "lightning-zenml-action:test"
_PLAIN_BASE = "lightning-zenml-base:plain"
_PACKAGES = {"dockerd": "docker.io", "mmdebstrap": "mmdebstrap"}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_DEADLINE = 60.0


@dataclass(frozen=True)
class Docker:
    """A running engine.

    Args:
        environment: variables that lead the client `docker` to it.
        is_own: started by us, with a stand-in for the base.
    """

    environment: Mapping[str, str]
    is_own: bool

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs `docker` with the arguments.

        Raises:
            RuntimeError: if it fails and `check` is set; holds the end of what it printed.
            subprocess.TimeoutExpired: after `timeout` seconds.
        """
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(
                f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done


def reason_against() -> str | None:
    """Tells why this machine can run no container; None if it can."""
    if _answers({}):
        return None
    if os.geteuid() == 0 and Path("/etc/debian_version").exists() and which("apt-get"):
        return None
    return "no Docker engine answers, and to start one takes root on Debian"


@contextmanager
def engine(context: Path) -> Iterator[Docker]:
    """Finds or starts the engine and builds the image with it.

    Several processes may do so at once: they share one engine, and the last one stops it.

    Args:
        context: folder with the Dockerfile.

    Yields:
        The engine, with the image as `IMAGE`.

    Raises:
        RuntimeError: if it doesn't start or build; holds the end of its log.
    """
    if _answers({}):
        docker = Docker({}, is_own=False)
        if docker("image", "inspect", BASE, check=False).returncode:
            docker("pull", BASE)
        _build(docker, context)
        yield docker
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning-zenml-localcloud/docker"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "users").open("w") as users:
        try:
            with _locked(cache):
                fcntl.flock(users, fcntl.LOCK_SH)
                docker = _own(cache)
                _make_base(docker)
                _build(docker, context)
            yield docker
        finally:
            with _locked(cache):
                _leave(cache, users)


def main() -> int:
    """Builds the image and runs the command line's command with `docker` on that engine; returns its exit code."""
    if reason := reason_against():
        print(reason, file=sys.stderr)
        return 1
    with engine(Path(__file__).parents[2]) as docker:
        environment = {**os.environ, **docker.environment, "IMAGE": IMAGE, "BASE": BASE}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


def _answers(environment: Mapping[str, str]) -> bool:
    if not which("docker"):
        return False
    # `docker info` exits with 0 when there is only a client.
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, env={**os.environ, **environment}, capture_output=True, check=False).returncode == 0


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_folder(cache: Path) -> Path:
    """Folder of a running engine, near the root: the path of a socket may have 107 characters."""
    return Path(tempfile.gettempdir()) / f"docker-{hashlib.sha256(str(cache).encode()).hexdigest()[:8]}"


def _own(cache: Path) -> Docker:
    """Our own engine, started unless another process has."""
    folder = _run_folder(cache)
    folder.mkdir(mode=0o700, exist_ok=True)
    socket = f"unix://{folder}/docker.sock"
    environment = {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder / "client"), "DOCKER_BUILDKIT": "0"}
    if not _answers(environment):
        _install()
        _start(cache, folder, environment)
    return Docker(environment, is_own=True)


def _start(cache: Path, folder: Path, environment: Mapping[str, str]) -> None:
    log = folder / "dockerd.log"
    command = ["dockerd", "--host", environment["DOCKER_HOST"], "--data-root", str(cache / "data")]
    command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"), "--bridge=none"]
    command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + _DEADLINE
    while not _answers(environment):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(f"dockerd does not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.1)
    # It may outlive this process, for others that use it: whoever leaves last ends it by its id.
    process.returncode = 0


def _leave(cache: Path, users: TextIO) -> None:
    """Stops our own engine unless another process uses it."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    folder = _run_folder(cache)
    if not (folder / "pid").exists():
        return
    pid = int((folder / "pid").read_text())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DEADLINE
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    for mount in (folder / "exec/netns").glob("*"):
        subprocess.run(["umount", str(mount)], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Ended, but a child of another process, which does not look.
    return state != "Z"


def _build(docker: Docker, context: Path) -> None:
    """Builds as a runner does, but for the network, from what git would check out.

    The tree itself is no good as a context: whatever else runs there, files that come and go end the build. An image
    that `LOCALCLOUD_IMAGE` names is taken instead: a release tests the very one that it publishes.
    """
    if published := os.environ.get("LOCALCLOUD_IMAGE"):
        docker("pull", published)
        docker("tag", published, IMAGE)
        return
    with tempfile.TemporaryDirectory() as checkout:
        _check_out(context, Path(checkout))
        common = ["--network", "host", "--file", f"{checkout}/Dockerfile"]
        # Its name keeps the layers of the first stage for the next build.
        docker("build", *common, "--target", "builder", "--tag", f"{IMAGE}-builder", checkout)
        docker("build", *common, "--tag", IMAGE, checkout)
    if docker.is_own:
        docker("image", "prune", "--force")


def _check_out(tree: Path, target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (tree / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / name, target / name)


def _install() -> None:
    missing = [package for program, package in _PACKAGES.items() if not which(program)]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qq", *command], env=environment, check=True, stdout=subprocess.DEVNULL)


def _make_base(docker: Docker) -> None:
    if docker("image", "inspect", _PLAIN_BASE, check=False).returncode:
        with tempfile.TemporaryDirectory() as scratch:
            tar = f"{scratch}/base.tar"
            command = ["bash", str(Path(__file__).with_name("docker_base.sh")), tar]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
            changes = ["--change", f"ENV PATH={path} LANG=C.UTF-8", "--change", 'CMD ["python3"]']
            docker("import", *changes, tar, _PLAIN_BASE)
    index = os.environ.get("PIP_INDEX_URL")
    with tempfile.TemporaryDirectory() as scratch:
        files = {
            "pip.conf": f"[global]\ncert = {_CERTIFICATES}\n" + (f"index-url = {index}\n" if index else ""),
            "certificates": _CERTIFICATES.read_text(),
            "Dockerfile": f"FROM {_PLAIN_BASE}\nCOPY certificates {_CERTIFICATES}\nCOPY pip.conf /etc/pip.conf\n",
        }
        for name, content in files.items():
            (Path(scratch) / name).write_text(content)
        docker("build", "--tag", BASE, scratch)


if __name__ == "__main__":
    sys.exit(main())
