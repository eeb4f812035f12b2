"""Whatever is killed under a run, it ends as it should, ZenML says so and why, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, Laptop, wait_for

STUDIO = "lasting"
RUN = """
import os, sys, time
from pathlib import Path

from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

WHAT, ASYNC = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")


@step(enable_cache=False)
def first(what: str) -> int:
    if what == "kill the supervisor":
        os.kill(int((Path(os.environ["LIGHTNING_ZENML_LAUNCH_DIR"]) / "pid").read_text()), 9)
    time.sleep(600 if what in ("kill the supervisor", "hang") else 15)
    return 1


@step(enable_cache=False)
def second(number: int) -> int:
    return number


@pipeline
def lasting():
    second(first(WHAT))


if __name__ == "__main__":
    settings = LightningOrchestratorSettings(main_studio_name="lasting", async_mode=ASYNC == "async")
    lasting.with_options(settings={"orchestrator.lightning": settings})()
"""


class Client:
    """A laptop's `python run.py`, under way."""

    def __init__(self, stack: Stack, process: subprocess.Popen[str]) -> None:
        self._zenml = stack.zenml
        self._before = {run["id"] for run in self._runs()}
        self.process = process

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=400)
        return self.process.returncode, " ".join(output.split())

    def kill_at(self, moment: str, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process.stdout is not None
        assert any(moment in line for line in self.process.stdout)
        self.process.send_signal(number)
        self.process.communicate()

    def run(self) -> dict[str, Any]:
        (run,) = [run for run in self._runs() if run["id"] not in self._before]
        return run["body"] | {"id": run["id"]}

    def steps(self) -> dict[str, str]:
        steps = self._zenml.request("GET", f"steps?pipeline_run_id={self.run()['id']}")["items"]
        return {step["name"]: step["body"]["status"] for step in steps}

    def wait_until_working(self) -> None:
        wait_for(lambda: len(self._runs()) > len(self._before) and self.steps().get("first") == "running")

    def _runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self._zenml.request("GET", "runs?sort_by=desc:created&size=100")["items"]
        return runs


@contextmanager
def started(laptop: Laptop, what: str, mode: str = "sync") -> Iterator[Client]:
    (laptop.folder / "run.py").write_text(RUN)
    with laptop.start(sys.executable, "run.py", what, mode) as process:
        yield Client(laptop.stack, process)


def lose_the_studio(cloud: LightningCloud, how: str) -> None:
    if how == "asleep":
        cloud.knobs.auto_sleep_seconds = 0
    elif how == "preempted":
        cloud.knobs.max_hours = 0
    else:
        cloud.knobs.vanish = {STUDIO}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param("asleep", "'lasting'", marks=pytest.mark.slow),
        ("preempted", "'lasting'"),
        pytest.param("deleted", "'lasting' is gone (404): it was deleted", marks=pytest.mark.slow),
    ],
)
def test_a_studio_lost_under_a_followed_run(cloud: LightningCloud, laptop: Laptop, how: str, reason: str) -> None:
    with started(laptop, "hang") as client:
        client.wait_until_working()
        lose_the_studio(cloud, how)
        code, log = client.end()

    assert code == 1
    assert reason in log
    run = client.run()
    assert run["status"] == "failed"
    assert reason in run["status_reason"]
    assert client.steps() == {"first": "failed"}


@pytest.mark.slow
def test_a_studio_lost_under_the_action(cloud: LightningCloud, actions: Actions, stack: Stack) -> None:
    script = RUN.replace('if len(sys.argv) > 2 else ("", "")', "if False else ('hang', '')")

    def lose(line: str) -> None:
        if "[first]" in line:
            lose_the_studio(cloud, "asleep")

    finished = actions.step({"run.py": script}, studio_name=STUDIO).run(interrupt=lose)

    assert finished.exit_code == 1
    (message,) = [message for level, message in finished.annotations if level == "error"]
    run = stack.zenml.request("GET", f"runs/{finished.outputs['run-id']}?hydrate=true")["body"]
    assert run["status"] == "failed"
    assert run["status_reason"] == message
    (step,) = stack.zenml.request("GET", f"steps?pipeline_run_id={finished.outputs['run-id']}")["items"]
    assert step["body"]["status"] == "failed"


@pytest.mark.waits
def test_a_killed_client_costs_the_run_nothing(cloud: LightningCloud, laptop: Laptop) -> None:
    with started(laptop, "end") as client:
        client.wait_until_working()
        client.process.send_signal(signal.SIGKILL)
        client.process.wait()
        wait_for(lambda: client.run()["status"] == "completed")

    assert client.steps() == {"first": "completed", "second": "completed"}
    wait_for(lambda: not cloud.running())


@pytest.mark.parametrize(
    ("moment", "named"),
    [
        ("created, starting", False),
        pytest.param("Uploading", False, marks=pytest.mark.slow),
        pytest.param("Starting lasting on", True, marks=pytest.mark.slow),
        ("Uploading", True),
    ],
)
def test_a_client_killed_while_the_studio_is_made_ready(
    cloud: LightningCloud, laptop: Laptop, moment: str, named: bool
) -> None:
    # Time to be killed in.
    cloud.knobs.setup_seconds, cloud.knobs.latency = 1, 0.5
    before = len(cloud.studios)
    # What the studio has already is not uploaded.
    (laptop.folder / "unique").write_text(os.urandom(8).hex())
    (laptop.folder / "run.py").write_text(RUN if named else RUN.replace('main_studio_name="lasting", ', ""))
    with laptop.start(sys.executable, "run.py", "hang", "sync") as process:
        client = Client(laptop.stack, process)
        client.kill_at(moment)
        # What the client has asked for last may come later than what is done about it.
        wait_for(lambda: client.run()["status"] == "failed")
        wait_for(lambda: not cloud.running())

    assert "client was killed" in client.run()["status_reason"]
    if named:
        studio = cloud.studio(STUDIO)
        assert studio.deleted is None
        launches = studio.home / ".lightning_zenml/launches"
        assert [path for path in launches.rglob("*") if path.name in {"bundle.tar", "env"}] == []
    else:
        (studio,) = cloud.studios[before:]
        assert studio.deleted


@pytest.mark.slow
def test_a_client_killed_while_the_launch_starts(cloud: LightningCloud, laptop: Laptop) -> None:
    with started(laptop, "end") as client:
        client.kill_at("Starting the launch")
        # Whether the request has reached the studio is nobody's to say; the run ends one way or the other.
        wait_for(lambda: client.run()["status"] in ("completed", "failed"))
        wait_for(lambda: not cloud.running())


@pytest.mark.slow
def test_a_studio_that_an_interrupted_client_could_not_release(cloud: LightningCloud, laptop: Laptop) -> None:
    cloud.knobs.setup_seconds = 1
    before = len(cloud.studios)
    (laptop.folder / "run.py").write_text(RUN.replace('main_studio_name="lasting", ', ""))
    with laptop.start("env", "--default-signal=INT", sys.executable, "run.py", "hang", "sync") as process:
        client = Client(laptop.stack, process)
        cloud.knobs.fail.append(("DELETE", "/cloudspaces/", 503, 8))
        client.kill_at("Uploading", signal.SIGINT)
        wait_for(lambda: not cloud.running())
        wait_for(lambda: client.run()["status"] == "failed")
    (studio,) = cloud.studios[before:]
    assert studio.deleted


def test_a_zenml_server_that_is_away_for_longer_than_its_client_waits(laptop: Laptop, stack: Stack) -> None:
    with started(laptop, "end") as client:
        client.wait_until_working()
        # `first` ends and `second` starts meanwhile.
        stack.zenml.go_away(45)
        code, log = client.end()

    assert code == 0, log
    assert client.run()["status"] == "completed"
    assert client.steps() == {"first": "completed", "second": "completed"}


def test_a_supervisor_killed_under_an_asynchronous_run(cloud: LightningCloud, laptop: Laptop) -> None:
    with started(laptop, "kill the supervisor", "async") as client:
        client.end()
        wait_for(lambda: client.run()["status"] == "failed")

    assert "supervisor of the launch died" in client.run()["status_reason"]
    wait_for(lambda: client.steps() == {"first": "failed"})
    wait_for(lambda: not cloud.running())
