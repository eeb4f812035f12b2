from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lightning_zenml.launch.caller import CALLER, Caller, Held, Launched, Left, Record, Submitted, Updated
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.launch import Launch
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.spec import LaunchSpec, Phase, Status, Update
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.package.archive import Archive

HOLD = Hold(launch_id="zenml-x-1", studio_id="s", studio_name="x", cluster="c", release=Release.DELETE)
NOBODY = 2**22 + 1
"""More than Linux gives as a process id."""


def spec(**more: Any) -> LaunchSpec:
    archive = Archive(root=Path("a"), parts=())
    return LaunchSpec(name="x", owner="o", archive=archive, command="python -m controller", **more)


def test_it_is_found_in_the_environment_as_it_was_put_there() -> None:
    caller = Caller(repository="/r", requirements=("a.txt",), record="/record", pid=7)
    assert Caller.find(caller.variables()) == caller
    assert list(caller.variables()) == [CALLER]
    assert Caller.find({}) == Caller()


def test_nobody_is_told_nothing_and_changes_nothing(tmp_path: Path) -> None:
    Caller().hold(HOLD)
    assert Caller().root_to_pack(tmp_path) == tmp_path
    assert Caller().adapt(spec(), tmp_path) == spec()


def test_the_whole_repository_travels_and_the_source_root_is_found_in_it(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    caller = Caller(repository=str(tmp_path), requirements=("a.txt",))
    assert caller.root_to_pack(tmp_path / "training") == tmp_path
    adapted = caller.adapt(spec(requirements=("numpy",)), tmp_path / "training")
    assert adapted.requirements == ("-r a.txt", "numpy")
    assert adapted.environment == {"LIGHTNING_ZENML_SOURCE_ROOT": "training"}
    assert adapted.command == (
        'LIGHTNING_ZENML_CODE="$LIGHTNING_ZENML_CODE/$LIGHTNING_ZENML_SOURCE_ROOT" python -m controller'
    )
    assert caller.adapt(spec(), tmp_path).command == "python -m controller"


def test_a_source_root_elsewhere_travels_by_itself(tmp_path: Path) -> None:
    caller = Caller(repository=str(tmp_path / "repository"))
    assert caller.root_to_pack(tmp_path) == tmp_path
    assert caller.adapt(spec(), tmp_path).command == "python -m controller"


def test_a_hold_waits_until_it_is_noted(tmp_path: Path) -> None:
    record = Record(tmp_path / "record")
    caller = Caller(record=str(tmp_path / "record"), pid=os.getpid())
    telling = threading.Thread(target=caller.hold, args=[HOLD])
    telling.start()
    events = []
    while not events:
        for event in record.news():
            # Being taken in: not noted yet.
            assert telling.is_alive()
            events.append(event)
    telling.join(300)
    assert not telling.is_alive()
    assert events == [Held(hold=HOLD)]
    assert list(record.news()) == []


def test_nothing_is_started_for_a_caller_that_is_gone(tmp_path: Path) -> None:
    caller = Caller(record=str(tmp_path / "record"), pid=NOBODY)
    with pytest.raises(LaunchError, match="is gone"):
        caller.hold(HOLD)


def test_half_a_line_is_no_news_yet(tmp_path: Path) -> None:
    record = Record(tmp_path / "record")
    with (tmp_path / "record").open("a") as lines:
        lines.write('{"kind": "Left", "launch_id": "a"}\n{"kind": "Left", "launch_id": ')
        lines.flush()
        assert list(record.news()) == [Left(launch_id="a")]
        lines.write('"b"}\n')
    assert list(record.news()) == [Left(launch_id="b")]


def test_what_is_told_is_heard(tmp_path: Path) -> None:
    record, caller = Record(tmp_path / "record"), Caller(record=str(tmp_path / "record"), pid=os.getpid())
    run = RunRecord(run_id="1", run_name="a run", pipeline="a", run_url=None, orchestrator_url="https://x.example")
    job = JobRecord(token="t", step="train", attempt=1, run_id="1", machine="T4", num_machines=1, price=0.5)
    launch = Launch(Lightning(Credentials(api_key="key"), "https://x.example"), HOLD)
    caller.submits("1")
    caller.launched(launch, "0" * 64)
    caller.update(launch, Update(status=Status(phase=Phase.RUNNING), runs=(run,), jobs=(job,)))
    caller.left(launch)
    assert list(record.news()) == [
        Submitted(run_id="1"),
        Launched(
            launch_id=launch.id,
            studio_name="x",
            studio_url=launch.studio_url,
            machine="",
            warmth="",
            archive_sha256="0" * 64,
        ),
        Updated(launch_id=launch.id, cost=None, runs=(run,), jobs=(job,)),
        Left(launch_id=launch.id),
    ]
