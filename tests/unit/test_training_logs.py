"""Curves in the logs that a training writes by itself, whatever else lies there."""

from __future__ import annotations

import json
import math
import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.orchestrator.training_logs import finding
from lightning_zenml.orchestrator.training_logs.curves import MOST_CURVES, MOST_POINTS, curves_of, of_logs
from lightning_zenml.orchestrator.training_logs.events import of_events
from lightning_zenml.orchestrator.training_logs.finding import find
from lightning_zenml.orchestrator.training_logs.rows import of_csv, of_trainer_state
from lightning_zenml.zenml_api.curves import key_of, points_of

CSV = """epoch,step,train_loss,val_loss
0,9,0.9,
0,19,0.8,
0,19,,0.7
1,29,0.6,
1,39,0.5,
1,39,,nan
"""
STATE = {
    "log_history": [
        {"epoch": 0.5, "step": 50, "loss": 0.9, "learning_rate": 1e-3, "grad_norm": 1.5},
        {"epoch": 1.0, "step": 100, "loss": 0.8, "learning_rate": 5e-4, "grad_norm": 1.25},
        {"epoch": 1.0, "step": 100, "eval_loss": 0.7, "eval_runtime": 2.0, "eval_samples_per_second": 9.0},
        {"epoch": 2.0, "step": 200, "eval_loss": 0.6, "eval_runtime": 2.0, "eval_samples_per_second": 9.0},
        {"epoch": 2.0, "step": 200, "train_runtime": 8.0, "total_flos": 1.0, "train_loss": 0.8},
    ]
}


def integer(value: int) -> bytes:
    """A varint of protobuf."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return integer(number << 3) + integer(content)
    return integer(number << 3 | 2) + integer(len(content)) + content


def scalar(tag: str, value: float) -> bytes:
    """A `Summary.Value`, as torch's SummaryWriter writes it."""
    return field(1, tag.encode()) + integer(2 << 3 | 5) + struct.pack("<f", value)


def tensor(tag: str, value: float) -> bytes:
    """A `Summary.Value`, as TensorFlow 2 writes scalars."""
    content = field(1, 1) + field(2, b"") + integer(5 << 3 | 2) + integer(4) + struct.pack("<f", value)
    return field(1, tag.encode()) + field(8, content) + field(9, b"plugin")


def record(event: bytes) -> bytes:
    return struct.pack("<Q", len(event)) + b"crc1" + event + b"crc2"


def event(step: int, *values: bytes) -> bytes:
    moment = integer(1 << 3 | 1) + struct.pack("<d", 1.5e9)
    return record(moment + field(2, step) + field(5, b"".join(field(1, value) for value in values)))


def events(*tags: str, steps: int = 3) -> bytes:
    version = record(integer(1 << 3 | 1) + struct.pack("<d", 1.5e9) + field(3, b"brain.Event:2"))
    return version + b"".join(event(step, *(scalar(tag, step / 4) for tag in tags)) for step in range(steps))


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lightning_s_csv_is_counted_by_epoch_where_an_epoch_has_one_value(tmp_path: Path) -> None:
    found = of_csv(written(tmp_path / "metrics.csv", CSV))
    assert set(found) == {("train_loss", "step"), ("val_loss", "epoch")}
    assert found["train_loss", "step"] == {9: 0.9, 19: 0.8, 29: 0.6, 39: 0.5}
    assert found["val_loss", "epoch"][0] == 0.7
    assert math.isnan(found["val_loss", "epoch"][1])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\0",
        "a,b\n1,2\n",
        "epoch,loss\n",
        "epoch,loss\nx,y\n,,,,\n",
        b"\xff\xfe\x00",
        "epoch\n1\n2\n",
        '"' * 9 + "epoch\n1",
    ],
)
def test_odd_csv_files_have_no_curves(tmp_path: Path, content: str | bytes) -> None:
    assert of_csv(written(tmp_path / "metrics.csv", content)) == {}


def test_csv_that_is_cut_has_what_came_before(tmp_path: Path) -> None:
    whole = of_csv(written(tmp_path / "metrics.csv", CSV[:50]))
    assert whole["train_loss", "step"] == {9: 0.9, 19: 0.8}
    odd = "epoch,loss\n" + "1,1\n2,2\n" + '3,"' + "x" * 200_000
    assert of_csv(written(tmp_path / "metrics.csv", odd)) == {}


def test_hugging_face_s_state_tells_of_the_model_not_of_the_machine(tmp_path: Path) -> None:
    found = of_trainer_state(written(tmp_path / "trainer_state.json", json.dumps(STATE)))
    assert found["loss", "epoch"] == {0.5: 0.9, 1.0: 0.8}
    assert found["eval_loss", "epoch"] == {1.0: 0.7, 2.0: 0.6}
    assert {name for name, _ in found} == {"loss", "eval_loss", "learning_rate", "grad_norm", "train_loss"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"log_history": 3}', '{"log_history": [1, {"loss": "x"}]}', "[" * 99_999]
)
def test_odd_states_have_no_curves(tmp_path: Path, content: str) -> None:
    assert of_trainer_state(written(tmp_path / "trainer_state.json", content)) == {}


def test_tensorboard_s_scalars_are_read_and_nothing_else(tmp_path: Path) -> None:
    picture = field(1, b"sample") + field(4, field(1, 8) + field(4, b"PNG"))
    content = (
        events("val/loss", "epoch") + event(7, tensor("accuracy", 0.5), picture) + event(8, tensor("accuracy", 0.75))
    )
    path = written(tmp_path / "events.out.tfevents.1.host", content)
    assert of_events(path) == {
        ("val/loss", "step"): {0: 0.0, 1: 0.25, 2: 0.5},
        ("accuracy", "step"): {7: 0.5, 8: 0.75},
    }


def test_events_that_are_cut_or_spoilt_have_what_is_whole(tmp_path: Path) -> None:
    whole = events("loss", steps=4)
    for end in range(len(whole)):
        found = of_events(written(tmp_path / "events.out.tfevents.1", whole[:end])).get(("loss", "step"), {})
        assert found == {step: step / 4 for step in range(len(found))}
    spoilt = events("loss", steps=2) + record(b"\x2a\x05\x0a\xff\xff\xff\xff") + event(2, scalar("loss", 0.5))
    found = of_events(written(tmp_path / "events.out.tfevents.1", spoilt))
    assert found["loss", "step"] == {0: 0.0, 1: 0.25, 2: 0.5}


def test_what_is_large_in_events_is_skipped_and_a_length_beyond_all_bounds_ends_them(tmp_path: Path) -> None:
    large = record(bytes(5 * 1024 * 1024))
    content = event(1, scalar("loss", 1)) + large + event(2, scalar("loss", 2))
    endless = struct.pack("<Q", 1 << 60) + b"crc1" + event(3, scalar("loss", 3))
    found = of_events(written(tmp_path / "events.out.tfevents.1", content + endless))
    assert found["loss", "step"] == {1: 1.0, 2: 2.0}


@given(st.binary(max_size=200))
def test_no_event_is_too_odd(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp() / "odd" / "events.out.tfevents.1", record(content) + content)
    assert all(isinstance(value, float) for points in of_events(path).values() for value in points.values())


def test_logs_are_those_that_were_written_since(tmp_path: Path) -> None:
    now = time.time()
    old = written(tmp_path / "lightning_logs" / "version_0" / "metrics.csv", CSV)
    os.utime(old, (now - 100, now - 100))
    new = written(tmp_path / "lightning_logs" / "version_1" / "metrics.csv", CSV)
    for number in (50, 100):
        written(tmp_path / "out" / f"checkpoint-{number}" / "trainer_state.json", json.dumps(STATE))
        os.utime(tmp_path / "out" / f"checkpoint-{number}" / "trainer_state.json", (now + number, now + number))
    for elsewhere in (".git", "site-packages", "__pycache__"):
        written(tmp_path / elsewhere / "metrics.csv", CSV)
    (tmp_path / "link").symlink_to(tmp_path / "lightning_logs")
    written(tmp_path / "data" / "metrics.csv.gz", "x")
    found = find(tmp_path, now)
    assert [log.path for log in found] == [new, tmp_path / "out" / "checkpoint-100" / "trainer_state.json"]


def test_a_folder_of_any_size_costs_but_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_MOST_ENTRIES", 50)
    for number in range(100):
        written(tmp_path / "data" / f"{number:03}.txt", "x")
    written(tmp_path / "data" / "z" / "metrics.csv", CSV)
    log = written(tmp_path / "metrics.csv", CSV)
    assert [one.path for one in find(tmp_path, 0)] == [log]
    monkeypatch.undo()
    for number in range(30):
        written(tmp_path / "folds" / f"{number}" / "metrics.csv", CSV)
    assert len(find(tmp_path, 0)) == finding.MOST_FILES


def test_several_logs_have_their_folders_before_the_names(tmp_path: Path) -> None:
    for fold in ("fold_1", "fold_2"):
        written(tmp_path / fold / "logs" / "metrics.csv", CSV)
    written(tmp_path / "runs" / "events.out.tfevents.1", events("val/loss"))
    written(tmp_path / "runs" / "events.out.tfevents.2", event(3, scalar("val/loss", 9)))
    found = curves_of(find(tmp_path, 0))
    assert {name for name, _ in found} == {
        *(f"{fold}.logs.{name}" for fold in ("fold_1", "fold_2") for name in ("train_loss", "val_loss")),
        "val/loss",
    }
    assert found["val/loss", "step"] == {0: 0.0, 1: 0.25, 2: 0.5, 3: 9.0}


def test_of_two_kinds_of_logs_the_first_tells(tmp_path: Path) -> None:
    written(tmp_path / "metrics.csv", CSV)
    written(tmp_path / "events.out.tfevents.1", events("val_loss", "lr"))
    assert set(curves_of(find(tmp_path, 0))) == {("train_loss", "step"), ("val_loss", "epoch"), ("lr", "step")}


def test_a_long_log_is_thinned_and_keeps_its_best_and_its_last(tmp_path: Path) -> None:
    rows = [f"{step},{0.001 if step == 7_777 else 1 + step / 1e4}" for step in range(10_000)]
    written(tmp_path / "metrics.csv", "\n".join(["step,loss", *rows]))
    (points,) = curves_of(find(tmp_path, 0)).values()
    assert MOST_POINTS // 2 <= len(points) <= MOST_POINTS + 3
    assert points[7_777] == 0.001
    assert max(points) == 9_999
    names = [f"loss_{number}" for number in range(100)]
    written(tmp_path / "metrics.csv", "\n".join([",".join(["step", *names]), *(f"{n}" + ",1" * 100 for n in range(3))]))
    assert len(curves_of(find(tmp_path, 0))) == MOST_CURVES


def test_the_metadata_is_what_the_report_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = datetime.now(UTC).replace(tzinfo=None)
    assert of_logs(start) == {}
    written(tmp_path / "lightning_logs" / "version_0" / "metrics.csv", CSV)
    assert of_logs(None) == {}
    metadata = of_logs(start)
    assert set(metadata) == {key_of("train_loss", "step"), key_of("val_loss", "epoch")}
    found = metadata[key_of("train_loss", "step")]
    assert isinstance(found, dict)
    assert points_of(found) == ((9, 0.9), (19, 0.8), (29, 0.6), (39, 0.5))
