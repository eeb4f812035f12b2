"""The command line as a process, with launches and pipeline runs for it to find: cheap ones, but real."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from lightning_zenml.launch.launcher import Launch, Launcher, Limits
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.stack import Stack, client_environment

PROGRAM = Path(sys.executable).with_name("lightning-zenml")

MAKE_RUNS = """
import json, sys
from zenml import pipeline, step
from zenml.pipelines.run_utils import create_placeholder_run


@step
def train() -> None:
    pass


@pipeline(name=sys.argv[1])
def pipeline():
    train()


snapshot = pipeline.create_snapshot(name=None)
runs = [create_placeholder_run(snapshot) for _ in range(int(sys.argv[2]))]
print(json.dumps([[str(run.id), run.name, str(snapshot.id)] for run in runs]))
"""


@dataclass
class Runs:
    """Pipeline runs that have not begun yet, to be given away."""

    stack: Stack
    spare: list[list[str]]

    @classmethod
    def make(cls, stack: Stack, folder: Path, count: int) -> Runs:
        """As many as one client makes, which takes as long as one of them."""
        (folder / "make_runs.py").write_text(MAKE_RUNS)
        made = subprocess.run(
            [sys.executable, "make_runs.py", f"cli-{uuid4().hex[:8]}", str(count)],
            cwd=folder,
            env=client_environment(stack),
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return cls(stack, json.loads(made.stdout.splitlines()[-1]))

    def of(
        self,
        launch_id: str,
        status: str = "running",
        github: Mapping[str, Any] | None = None,
        meter: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        """A run that a launch has made, as our orchestrator notes it: its id, name and snapshot."""
        run_id, name, snapshot_id = self.spare.pop()
        metadata: dict[str, Any] = {"orchestrator_run_id": f"{launch_id}-{run_id[:8]}"}
        if meter:
            metadata["lightning_meter"] = dict(meter)
        tags = []
        if github:
            metadata["github"] = dict(github)
            tags = [github["repository"], *([f"branch:{github['branch']}"] if github.get("branch") else [])]
        request = self.stack.zenml.request
        project = request("GET", "projects/default")["id"]
        request(
            "POST",
            "run-metadata",
            {
                "project": project,
                "resources": [{"id": run_id, "type": "pipeline_run"}],
                "stack_component_id": self.stack.orchestrator_id,
                "values": metadata,
                "types": {key: "dict" if isinstance(value, dict) else "str" for key, value in metadata.items()},
            },
        )
        change: dict[str, Any] = {"orchestrator_run_id": metadata["orchestrator_run_id"], "add_tags": tags}
        request("PUT", f"runs/{run_id}", change)
        run = {"id": run_id, "name": name, "snapshot_id": snapshot_id}
        self.end(run, "running")
        self.end(run, status)
        return run

    def end(self, run: Mapping[str, str], status: str) -> None:
        self.stack.zenml.request("PUT", f"runs/{run['id']}", {"status": status})
        if status == "completed":
            # That it becomes with its last step only, and these runs have none.
            database = sqlite3.connect(self.stack.zenml.server.database, timeout=30)
            with contextlib.closing(database), database:
                database.execute(
                    "UPDATE pipeline_run SET status = 'completed', in_progress = 0, end_time = CURRENT_TIMESTAMP "
                    "WHERE id = ?",
                    [UUID(run["id"]).hex],
                )

    def status(self, run_id: str) -> str:
        status: str = self.stack.zenml.request("GET", f"runs/{run_id}")["body"]["status"]
        return status


@dataclass
class Shell:
    """A shell in a folder, with the variables of somebody who uses the stack."""

    stack: Stack
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        return client_environment(self.stack, COLUMNS="200", NO_COLOR="1", GIT_ALLOW_PROTOCOL="file", **more)

    def run(self, *arguments: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs `lightning-zenml`, which has to end with the code and to show no traceback."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts `lightning-zenml`; to be waited for, or killed. Ctrl-C reaches it."""
        return subprocess.Popen(
            # Tests that run in the background of a shell ignore Ctrl-C, and so would what they start.
            ["env", "--default-signal=INT", PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str, **more: str) -> Any:
        """What `lightning-zenml ... --json` prints."""
        return json.loads(self.run(*arguments, "--json", **more).stdout)


def launch(lightning: Lightning, folder: Path, command: str, **changes: Any) -> Launch:
    """A launch under way that installs nothing."""
    repository = folder / f"repository-{uuid4().hex[:8]}"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    spec = LaunchSpec(
        name=f"cli-{uuid4().hex[:8]}", owner="a test", archive=pack(Repository.open(repository)), command=command
    )
    limits = Limits(start=60, setup=60, switch=60, lost_switch=60)
    return Launcher(lightning, limits=limits).launch(replace(spec, **changes))
