"""CPU time of the Action until it asks Lightning for the first time: `make bench-start`.

That is what a runner computes before anything is under way: imports, the inputs, three questions to GitHub and ZenML.
Beside it, in turns: an interpreter that does nothing, and the import of lightning-sdk as it is.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localcloud.demo.play import BRANCH, REPOSITORY, ROOT, check_out
from localcloud.runner import Step
from localcloud.stack import Stack, services


class _Noting(Step):
    """A step whose process notes its id."""

    def command(self, entrypoint: str, environment: Mapping[str, str]) -> list[str]:
        note = f'echo $$ > "{self.root}/pid"; exec "$@"'
        return ["bash", "-c", note, "bash", *super().command(entrypoint, environment)]


class _Door(ThreadingHTTPServer):
    """Stands where Lightning is and refuses everybody, having looked what that has cost so far.

    Args:
        pid_file: file with the process id of who is about to ask.
    """

    def __init__(self, pid_file: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.pid_file = pid_file
        self.seconds: list[float] = []
        self.asked = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def look(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            told = Path(f"/proc/{self.pid_file.read_text().strip()}/stat").read_text().rpartition(")")[2].split()
            self.seconds.append(sum(map(int, told[11:13])) / os.sysconf("SC_CLK_TCK"))


class _Refusal(BaseHTTPRequestHandler):
    server: _Door

    def do_GET(self) -> None:
        self.server.look()
        self.send_error(401)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each; one shows that this still works")
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {"python -c pass": [], "import lightning_sdk": [], "first request": []}
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        with services(folder / "services", lightning=False) as stack, _door(folder / "runner/pid") as door:
            step = _step(stack, folder, door.url)
            for _ in range(rounds):
                taken["python -c pass"].append(_cpu("pass"))
                taken["import lightning_sdk"].append(_cpu("import lightning_sdk"))
                door.asked.clear()
                finished = step.run(post=False)
                if not door.asked.is_set():
                    raise SystemExit(f"The Action has not asked Lightning:\n{finished.log}")
            taken["first request"] = door.seconds
    sdk = statistics.median(taken["import lightning_sdk"])
    print(f"{f'CPU, median of {rounds}':28}{'s':>8}{'of the SDK':>14}")
    for name, seconds in taken.items():
        print(f"{name:28}{statistics.median(seconds):>8.2f}{statistics.median(seconds) / sdk:>14.2f}")


def _step(stack: Stack, folder: Path, lightning_url: str) -> Step:
    assert stack.github is not None
    _, sha = check_out(ROOT / "examples/quickstart", folder / "workspace")
    stack.github.add_repository(REPOSITORY)
    return _Noting(
        action=ROOT,
        root=folder / "runner",
        workspace=folder / "workspace",
        repository=REPOSITORY,
        inputs={
            "run": "python run.py",
            "lightning-user-id": "user",
            "lightning-api-key": "key",
            "lightning-teamspace": "vision",
            "lightning-org": "acme",
            "zenml-store-url": stack.zenml_url,
            "zenml-store-api-key": stack.zenml_api_key,
            "stack": stack.name,
        },
        api_url=stack.github.url,
        token=stack.github.token,
        event_name="push",
        event={"ref": f"refs/heads/{BRANCH}", "after": sha, "deleted": False},
        sha=sha,
        ref=f"refs/heads/{BRANCH}",
        env={"LIGHTNING_CLOUD_URL": lightning_url},
    )


@contextmanager
def _door(pid_file: Path) -> Iterator[_Door]:
    with _Door(pid_file) as door:
        thread = threading.Thread(target=door.serve_forever)
        thread.start()
        try:
            yield door
        finally:
            door.shutdown()
            thread.join()


def _cpu(program: str) -> float:
    """Seconds of CPU of an interpreter that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "LIGHTNING_KEEPALIVE_FREQUENCY": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
