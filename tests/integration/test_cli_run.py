"""`lightning-zenml run`, interrupted, killed and misused: nothing outlives it that it has not told of."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_scene import Shell
from lightning_api import eventually
from localcloud.lightning import Knobs, LightningCloud
from localcloud.stack import Stack

STUBBORN = "trap '' TERM; echo working; while :; do sleep 0.2; done"


@pytest.fixture
def cloud(shared_services: Stack) -> Iterator[LightningCloud]:
    assert shared_services.lightning is not None
    yield shared_services.lightning
    for name, value in vars(Knobs()).items():
        setattr(shared_services.lightning.knobs, name, value)
    shared_services.lightning.delete_everything()


@pytest.fixture
def shell(shared_services: Stack, tmp_path: Path) -> Shell:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    return Shell(shared_services, folder)


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), text


def test_ctrl_c_stops_the_run_and_a_second_one_hurries_it(cloud: LightningCloud, shell: Shell) -> None:
    before = len(cloud.studios)
    with shell.start("run", STUBBORN) as process:
        wait_for_line(process, "working\n")
        (studio,) = cloud.studios[before:]
        process.send_signal(signal.SIGINT)
        eventually(lambda: grace_in(studio.home) == "20.0")
        process.send_signal(signal.SIGINT)
        eventually(lambda: grace_in(studio.home) == "3.0" or studio.deleted)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 130, told
    assert "Interrupted; the run is stopped and the studio released. [LZ-5005]" in told
    assert "Traceback" not in told
    assert studio.deleted


def grace_in(home: Path) -> str:
    return "".join(path.read_text() for path in home.glob(".lightning_zenml/launches/*/grace"))


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(signal.SIGINT, id="interrupted", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_nothing_is_left_of_a_run_that_ends_while_its_studio_is_made_ready(
    cloud: LightningCloud, shell: Shell, kill: signal.Signals
) -> None:
    # Time to be ended in.
    cloud.knobs.setup_seconds, cloud.knobs.latency = 1, 0.3
    before = len(cloud.studios)
    with shell.start("run", "--machine", "cpu", "true") as process:
        wait_for_line(process, "created, starting")
        process.send_signal(kill)
        process.communicate(timeout=300)
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL)
    eventually(lambda: all(studio.deleted for studio in cloud.studios[before:]))
    assert len(cloud.studios) == before + 1
    assert not cloud.running()


@pytest.mark.slow
def test_what_could_not_be_released_is_released_in_the_background(cloud: LightningCloud, shell: Shell) -> None:
    before = len(cloud.studios)
    with shell.start("run", "echo working; sleep 600") as process:
        wait_for_line(process, "working\n")
        # More than one call sends.
        cloud.knobs.fail.append(("DELETE", "/cloudspaces/", 503, 12))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "A process in the background goes on trying" in told
    (studio,) = cloud.studios[before:]
    eventually(lambda: studio.deleted)


def test_a_failure_is_told_for_people_and_for_programs(cloud: LightningCloud, shell: Shell) -> None:
    failed = shell.run("run", "--json", "--commands", "echo first", "--", "sh", "-c", "echo $0 $NOTE; exit 3", code=1)
    told = json.loads(failed.stdout)
    assert (told["status"], told["runs"]) == ("failed", [])
    assert "exit code 3" in told["failure"]
    assert told["cost"] > 0
    assert told["launch_id"].startswith(told["studio"])
    assert "==> Command 1 of 1: echo first" in failed.stderr
    assert "Error: " in failed.stderr
    assert shell.stack.zenml_api_key not in failed.stderr
    assert not cloud.running()


def test_mistakes_cost_nothing(cloud: LightningCloud, shell: Shell) -> None:
    before = len(cloud.studios)
    assert "`COMMAND` is required" in shell.run("run", code=2).stderr
    wrong = shell.run("run", "--max-cost", "much", "--config", "x.yaml", "--keep-studio", "burn", "true", code=2).stderr
    assert all(f"`--{name}`" in wrong for name in ("max-cost", "config", "keep-studio"))
    assert "LZ-1001" in wrong
    assert "inside the repository" in shell.run("run", "--requirements", "../x.txt", "true", code=2).stderr
    assert "NOPE is not set here" in shell.run("run", "--env", "NOPE", "true", code=2).stderr
    assert "warp-drive" in shell.run("run", "--machine", "warp-drive", "true", code=4).stderr
    config = shell.folder / "config"
    config.mkdir()
    (config / "credentials.yaml").write_text("")
    assert "keeps its keys in" in shell.run("run", "true", code=2, ZENML_CONFIG_PATH=str(config)).stderr
    assert len(cloud.studios) == before
