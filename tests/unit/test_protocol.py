"""The records that cross a process between client and payload: each is read as it was written, by any version."""

from __future__ import annotations

import json

import pytest

from lightning_zenml.launch.payload.lease import Lease
from lightning_zenml.launch.payload.lightning.platform import Platform
from lightning_zenml.launch.payload.protocol import (
    Description,
    Failure,
    Glance,
    Instructions,
    Leased,
    Left,
    Meter,
    News,
    Phase,
    Release,
    Renewed,
    Started,
    Status,
    Stopping,
    StudioFacts,
    Unleased,
)
from lightning_zenml.launch.payload.records import VERSION, JobRecord, Record, RecordError, RunRecord
from lightning_zenml.launch.studio.hold import Hold

METER = Meter(machine="L4", price=None, since=1.5)
FAILURE = Failure(phase=Phase.COMMANDS, message="Command 1 failed.", command="false", exit_code=1, output="oh no")
STATUS = Status(phase=Phase.FINISHED, exit_code=None, failure=FAILURE, stopped=False)
RECORDS = [
    METER,
    FAILURE,
    STATUS,
    Description(python="/python", wheel="wheels/0/x.whl", release=Release.STOP, leased=True, meter=METER),
    Started(started=True, again=False),
    Started(started=False, again=False, lacking=("0" * 64,)),
    News(
        status=STATUS,
        alive=True,
        log="hello\n",
        log_offset=6,
        more=False,
        runs=(RunRecord(run_id="r", run_name="n", pipeline="p", run_url=None, orchestrator_url="u"),),
        runs_offset=9,
        jobs=(JobRecord(token="t", step="s", attempt=1, run_id="r", machine="L4", num_machines=1, price=0.5),),
    ),
    Glance(status=None, alive=False),
    Stopping(stopping=True),
    Left(left=True, releases=False),
    Leased(acquired=False, launch="another", owner="Ada"),
    Renewed(renewed=True),
    Unleased(released=False),
    Lease(launch="l", owner="Ada", heartbeat=2.5, machine="boot/1"),
    Hold(launch_id="l", studio_id="s", studio_name="x", cluster="c", release=Release.DELETE, leased=True),
    Instructions(
        archive="0" * 64,
        wheel="wheels/0/x.whl",
        packages=("zenml==1",),
        environment_digest="0" * 64,
        requirements=("-r requirements.txt",),
        commands=("true",),
        command="python run.py",
        working_directory=".",
        environment={"WORD": "yes"},
        timeout=None,
        restarts=1,
        on_failure=("-m", "x"),
        watch=("-m", "y"),
        release=Release.NONE,
        leased=False,
        keep_warm=600.0,
        studio=StudioFacts(name="x", url="https://l/x", cloud_url="https://l", teamspace="acme/vision"),
        meter=METER,
        credentials={"LIGHTNING_API_KEY": "k"},
        platform=Platform(url="https://l/s", authorization="Basic secret"),
    ),
]


def named(record: Record) -> str:
    return type(record).__name__


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    written = json.loads(json.dumps(record.to_json()))
    assert written["version"] == VERSION
    assert type(record).from_json(written) == record


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_what_another_version_has_added_is_ignored(record: Record) -> None:
    written = json.loads(json.dumps(record.to_json()))
    del written["version"]
    assert type(record).from_json({**written, "colour": "red"}) == record


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_missing_field_is_named_with_its_record(record: Record) -> None:
    written = record.to_json()
    first = next(name for name in written if name != "version")
    del written[first]
    with pytest.raises(RecordError, match=f"{named(record)} of the launch has no `{first}`"):
        type(record).from_json(written)


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_version_that_means_something_else_is_refused(record: Record) -> None:
    with pytest.raises(RecordError, match=f"{named(record)} is of version {VERSION + 1}"):
        type(record).from_json({**record.to_json(), "version": VERSION + 1})


def test_a_field_that_came_later_has_its_default() -> None:
    assert Status.from_json({"phase": "running"}) == Status(phase=Phase.RUNNING)


def test_a_word_that_this_version_does_not_know_is_named() -> None:
    with pytest.raises(RecordError, match=r"`Status\.phase` is 'resting'"):
        Status.from_json({"phase": "resting"})


def test_what_is_no_object_is_told() -> None:
    with pytest.raises(RecordError, match="A Status is no JSON object: None"):
        Status.from_json(None)


@pytest.mark.parametrize("record", RECORDS[-1:], ids=named)
def test_secrets_are_not_shown(record: Record) -> None:
    assert "Basic secret" not in repr(record)
    assert "'k'" not in repr(record)
