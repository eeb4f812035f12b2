"""A stop at every moment of a launch, and what must not outlive it: the secrets that were uploaded."""

from __future__ import annotations

import ast
import os
import signal
import time

import pytest

from lightning_api import eventually
from lightning_zenml.launch.payload.stop import Stop, StopSignal
from lightning_zenml.launch.payload.usage.records import used
from localcloud.lightning.computer.nvidia_smi import nvidia_smi
from payload_studio import Studio


def test_a_start_that_arrives_after_the_stop_starts_nothing(studio: Studio) -> None:
    studio.upload(command="touch ../ran")
    assert studio.call("stop") == {"stopping": False}
    assert studio.call("start") == {"started": False, "again": True, "lacking": []}
    assert studio.call("peek") == {"status": None, "alive": False}
    assert not (studio.launch / "ran").exists()


def test_a_stop_before_the_start_leaves_no_secret(studio: Studio) -> None:
    studio.upload(environment={"TOKEN": "s3cret"})
    (studio.launch / "bundle.tar").write_bytes((studio.launch / "env").read_bytes())
    studio.call("stop")
    assert secrets_in(studio) == []


def test_what_is_unpacked_after_the_stop_is_taken_away(studio: Studio) -> None:
    studio.upload()
    studio.call("stop")
    studio.upload(environment={"TOKEN": "s3cret"})
    studio.call("start")
    assert secrets_in(studio) == []


def test_a_launch_that_never_began_leaves_no_secret_to_the_next(studio: Studio) -> None:
    studio.upload("l-0", environment={"TOKEN": "s3cret"})
    studio.start()
    assert studio.finish()["exit_code"] == 0
    assert secrets_in(studio) == []


def test_a_stop_before_anything_was_uploaded_is_no_error(studio: Studio) -> None:
    studio.upload()
    assert studio.call("stop", launch_id="l-2") == {"stopping": False}


def test_a_stop_while_the_supervisor_comes_up_ends_the_launch(studio: Studio) -> None:
    studio.upload(command="sleep 300", release="delete")
    # As a stop leaves it that saw no supervisor yet, when the instructions were read already.
    (studio.launch / "grace").write_text("5")
    studio.call("start")
    assert studio.finish()["stopped"]
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))


WATCH = """
import fcntl, os, pathlib, time
fcntl.flock(os.open("watched", os.O_CREAT), fcntl.LOCK_EX)
pathlib.Path("watches").touch()
while not os.path.exists("told"):
    time.sleep(0.01)
"""
TELL = """
import fcntl, os, pathlib
pathlib.Path("told").touch()
fcntl.flock(os.open("watched", os.O_CREAT), fcntl.LOCK_EX)
"""


def test_what_a_failure_tells_zenml_is_no_stop(studio: Studio) -> None:
    here = f"import os; os.chdir({str(studio.scratch)!r})\n"
    wait = f"while test ! -e {studio.scratch}/watches; do sleep 0.1; done; exit 4"

    studio.start(commands=[wait], watch=["-c", here + WATCH], on_failure=["-c", here + TELL])

    status = studio.finish()
    assert (studio.scratch / "told").exists()
    assert not status["stopped"]
    assert "exit code 4" in status["failure"]["message"]


def test_stopping_twice_is_stopping_once(studio: Studio) -> None:
    waits = "while test ! -e ../twice; do sleep 0.1; done"
    studio.start(command=f"trap '{waits}; exit 3' TERM; touch ../up; while true; do sleep 0.1; done")
    eventually((studio.launch / "up").exists)
    supervisor = int((studio.launch / "pid").read_text())
    assert studio.call("stop")["stopping"]
    os.kill(supervisor, signal.SIGTERM)
    (studio.launch / "twice").touch()
    status = studio.finish()
    assert status["stopped"]
    assert status["failure"] is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_whose_exception_python_drops_is_kept() -> None:
    class Thing:
        def __del__(self) -> None:
            stop()

    stop, before = StopSignal(), signal.getsignal(signal.SIGTERM)
    try:
        Thing()
        with pytest.raises(Stop):
            stop.look()
    finally:
        signal.signal(signal.SIGTERM, before)


def secrets_in(studio: Studio) -> list[str]:
    return [path.name for path in studio.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]


def test_a_machine_whose_gpus_nobody_uses_is_stopped_once_the_command_has_had_its_time(studio: Studio) -> None:
    bin_folder = studio.scratch / "bin"
    bin_folder.mkdir()
    (bin_folder / "nvidia-smi").write_text(nvidia_smi("L4", 2, str(studio.scratch / "gpu-use")))
    (bin_folder / "nvidia-smi").chmod(0o755)
    studio.environment["PATH"] = f"{bin_folder}:/usr/bin:/bin"
    studio.start(
        commands=["until grep -q samples $LIGHTNING_ZENML_USAGE; do sleep 0.1; done"],
        command="sleep 600",
        environment={"LIGHTNING_ZENML_USAGE_SECONDS": "0.2"},
        meter={"machine": "L4", "price": 1.0, "since": 0.0},
        stop_idle_gpu=1.2,
    )
    status = studio.finish()
    assert (status["exit_code"], status["stopped"]) == (None, False)
    assert status["failure"]["message"].startswith("Stopped: no GPU on L4 has done anything for 0.02 minutes")
    assert "==> Warning: no GPU on L4 has done anything for 0.01 minutes" in studio.log
    kept = used(studio.launch / "usage.jsonl", since=0)
    assert kept
    assert [(gpu.name, gpu.busy) for gpu in kept.gpus] == [("NVIDIA L4", 0.0)] * 2


def test_a_launch_that_has_cost_what_it_may_is_stopped_though_nobody_follows(studio: Studio) -> None:
    tell = f"import os, pathlib; pathlib.Path({str(studio.scratch / 'told')!r}).write_text(repr(dict(os.environ)))"
    meter = {"machine": "T4", "price": 3600.0, "since": time.time(), "before": 2.0}
    studio.start(command="sleep 600", meter=meter, max_cost=12.0, release="delete", on_failure=["-c", tell])
    status = studio.finish()
    assert status["stopped"]
    assert "`max-cost` allows $12." in status["failure"]["message"]
    told = ast.literal_eval((studio.scratch / "told").read_text())
    assert told["LIGHTNING_ZENML_STOPPED"] == "1"
    assert told["LIGHTNING_ZENML_FAILURE"] == status["failure"]["message"]
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))


def test_installing_is_stopped_when_it_has_cost_what_the_launch_may(studio: Studio) -> None:
    studio.replace_uv("#!/bin/sh\nexec sleep 600\n")
    meter = {"machine": "T4", "price": 3600.0, "since": time.time()}
    studio.start(requirements=["x"], command="touch ../ran", meter=meter, max_cost=8.0)
    status = studio.finish()
    assert status["stopped"]
    assert "`max-cost` allows $8." in status["failure"]["message"]
    assert not (studio.launch / "ran").exists()
