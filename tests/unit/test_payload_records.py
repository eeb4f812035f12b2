from __future__ import annotations

from pathlib import Path

import pytest

from lightning_zenml.launch.payload.records import VERSION, JobRecord, RecordError, RunRecord, append, read

RUN = RunRecord(run_id="1", run_name="r", pipeline="p", run_url=None, orchestrator_url="https://studio")
JOB = JobRecord(
    token="t", step="train", attempt=1, run_id="1", machine="L4", num_machines=2, price=2.5, started=1_000.0
)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    for record in (RUN, RUN):
        append(tmp_path / "runs.jsonl", record)
    append(tmp_path / "jobs.jsonl", JOB)

    assert read(RunRecord, tmp_path / "runs.jsonl") == [RUN, RUN]
    assert read(JobRecord, tmp_path / "jobs.jsonl") == [JOB]
    assert read(JobRecord, tmp_path / "none.jsonl") == []


def test_half_a_line_of_a_killed_writer_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    append(path, RUN)
    with path.open("a") as lines:
        lines.write('{"run_id": ')
    assert read(RunRecord, path) == [RUN]

    append(path, RUN)
    append(path, RUN)
    assert read(RunRecord, path) == [RUN, RUN]


def test_what_a_newer_version_has_added_is_ignored() -> None:
    assert RunRecord.from_json({**RUN.to_json(), "colour": "red"}) == RUN


def test_a_missing_field_is_named_with_its_record() -> None:
    data = JOB.to_json()
    del data["price"]

    with pytest.raises(RecordError, match="JobRecord of the launch has no `price`"):
        JobRecord.from_json(data)


def test_a_version_that_means_something_else_is_refused() -> None:
    with pytest.raises(RecordError, match=f"RunRecord is of version {VERSION + 1}"):
        RunRecord.from_json({**RUN.to_json(), "version": VERSION + 1})
