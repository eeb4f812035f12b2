"""This machine, set up as a launch's payload sets up a studio: where the controller's tests run pipelines in place."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from lightning_zenml.zenml_api.server import Run, ZenMLServer
from localcloud.stack import Stack, client_environment

STUDIO_URL = "https://lightning.example/acme/teamspaces/vision/studios/main"
DEADLINE = 400
_PREPARE = """
import json, sys
from zenml.orchestrators.utils import get_config_environment_vars
from zenml.pipelines.run_utils import create_placeholder_run
import run

snapshot = getattr(run, sys.argv[1]).create_snapshot(name=None)
placeholder = create_placeholder_run(snapshot)
variables, secrets = get_config_environment_vars(pipeline_run_id=placeholder.id)
print(json.dumps([str(snapshot.id), str(placeholder.id), {**variables, **secrets}]))
"""


def log_once_silent(process: subprocess.Popen[str], stack: Stack) -> str:
    """Lets the last heartbeat of the step `falls_silent` be years old, as ZenML waits for minutes; returns the log."""
    deadline = time.monotonic() + DEADLINE
    while True:
        # Again and again: one may have been on its way.
        with contextlib.closing(sqlite3.connect(stack.zenml.server.database, timeout=30)) as database, database:
            database.execute(
                "UPDATE step_run SET latest_heartbeat = '2020-01-01 00:00:00.000000' WHERE name = 'falls_silent'"
            )
        try:
            return process.communicate(timeout=2)[0]
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline


class Studio:
    """This machine, set up as a launch's payload sets up a studio."""

    def __init__(self, stack: Stack, root: Path, project: str) -> None:
        self.server = ZenMLServer(stack.zenml_url, stack.zenml_api_key)
        self.code = root / "code"
        self.folder = self.code
        self.launch = root / "launch"
        self.facts = root / "facts"
        for folder in (self.code, self.launch, self.facts):
            folder.mkdir()
        # Other code than in other tests: nothing that they have run is cached here.
        (self.code / "run.py").write_text(project.replace("SALT", uuid4().hex))
        self.environment = client_environment(
            stack,
            ZENML_CONFIG_PATH=str(root / "client"),
            TEST_FOLDER=str(self.facts),
            LIGHTNING_ZENML_LAUNCH_ID="launch-1",
            LIGHTNING_ZENML_LAUNCH_DIR=str(self.launch),
            LIGHTNING_ZENML_CODE=str(self.code),
            LIGHTNING_ZENML_STUDIO_NAME="main",
            LIGHTNING_ZENML_STUDIO_URL=STUDIO_URL,
            LIGHTNING_ZENML_MACHINE="CPU",
        )

    @contextmanager
    def started(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        with self.started(*command, **environment) as process:
            output, _ = process.communicate(timeout=DEADLINE)
            return process.returncode, output

    def prepare(self, pipeline: str) -> tuple[str, str, dict[str, str]]:
        """Compiles a pipeline as a client does that launches a controller.

        Returns:
            Id of the snapshot, id of the run, and the variables with that run's own token.
        """
        (self.folder / "prepare.py").write_text(_PREPARE)
        code, log = self.run("prepare.py", pipeline)
        assert code == 0, log
        snapshot, run, variables = json.loads(log.splitlines()[-1])
        return snapshot, run, variables

    def runs(self) -> list[dict[str, Any]]:
        path = self.launch / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def last_run(self) -> Run:
        return self.server.run(self.runs()[-1]["run_id"])

    def steps(self) -> dict[str, str]:
        return {step.name: step.status for step in self.server.steps(self.runs()[-1]["run_id"])}

    def ask_to_stop(self, run_id: str) -> None:
        """As the dashboard's button does."""
        body = {"status": "stopping", "status_reason": "Stop requested."}
        self.server.rest.put(f"runs/{run_id}", body)

    def hanging_process(self) -> int:
        return int(next(self.facts.glob("hang-*")).name.removeprefix("hang-"))


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert asked < deadline, f"{what} never came"
        # What takes long to answer is asked less often: it keeps the cores from what is waited for.
        time.sleep(min(1, max(0.05, 4 * (time.monotonic() - asked))))


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
