"""A server process of this machine: started, waited for, stopped again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_DEADLINE = 300.0
STOP_DEADLINE = 15.0
_PORTS = (10_000, 32_000)
"""Below those that Linux (from 32768) and macOS (from 49152) give to connections that leave."""


@contextmanager
def service(
    command: Sequence[str],
    *,
    ready_url: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server while the context is open.

    Args:
        command: the program and its arguments.
        ready_url: answers anything over HTTP below 500 once the server is ready.
        log: file for what the server prints.
        environment: the whole environment of the server; None: this process's own.

    Yields:
        The process.

    Raises:
        RuntimeError: if the server ends or isn't ready in time; holds the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, ready_url, log)
            yield process
        finally:
            _stop(process)


def free_port() -> int:
    """Finds a TCP port of 127.0.0.1 that nobody listens on now, nor soon.

    The system gives its own choice to others as well, until it is listened on: to each connection that leaves.
    """
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(*_PORTS)
            probe.bind(("127.0.0.1", port))
            return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-4000:]
    state = "isn't ready in time" if process.poll() is None else f"ended with {process.returncode}"
    raise RuntimeError(f"{process.args!r} {state}:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
