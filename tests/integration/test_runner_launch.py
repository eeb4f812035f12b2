"""A command on the runner that submits nothing: how it is run and ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_api import lent
from lightning_zenml.action.runner_launch import Command, RunnerLaunch
from lightning_zenml.launch.caller import Record
from lightning_zenml.launch.lightning.client import Lightning
from localcloud.lightning import LightningCloud

SAVES = """
import pathlib, signal, sys, time

def save(*_):
    time.sleep(0.3)
    pathlib.Path("saved").touch()
    sys.exit()

signal.signal(signal.SIGTERM, save)
print("it runs", flush=True)
time.sleep(60)
"""


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud) as cloud:
        yield cloud


def test_what_the_commands_shell_has_started_may_save_its_work_before_it_ends(
    lightning: Lightning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_zenml.action.runner_launch._KILL_AFTER", 10.0)
    (tmp_path / "train.py").write_text(SAVES)
    text = "python3 train.py | cat; echo the end"
    command = Command(text=text, folder=tmp_path, environment=os.environ, timeout=None, waits=True)
    launch = RunnerLaunch(
        lightning,
        command,
        Record(tmp_path / "record"),
        on_hold=lambda hold: None,
        on_run=lambda run_id: None,
        on_archive=lambda sha256: None,
    )
    for update in launch.follow():
        if "it runs" in update.log:
            launch.stop()
            break
    assert (tmp_path / "saved").exists()
