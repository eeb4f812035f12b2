"""Reads the scalars of TensorBoard's event files, without TensorBoard.

A file is a row of records (https://www.tensorflow.org/tutorials/load_data/tfrecord): length, its checksum, that many
bytes, their checksum. Each is an `Event` in protobuf (event.proto and summary.proto in tensorboard/compat/proto); what
isn't known is skipped, as protobuf's encoding allows (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lightning_zenml.orchestrator.training_logs.rows import Series
from lightning_zenml.zenml_api.curves import AXES

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that are read: pictures and histograms may lie in it, too."""
_LARGEST_RECORD = 4 * 1024 * 1024
_MOST_POINTS = 500_000
_FLOAT, _DOUBLE = 1, 2
"""`DT_FLOAT` and `DT_DOUBLE` of tensorboard/compat/proto/types.proto."""

Field = tuple[int, int | bytes]
"""Number of a field and what it holds: an integer, or bytes."""


def of_events(path: Path) -> Series:
    """Reads the scalars of an event file; of one that is cut or spoilt, those before.

    Args:
        path: the file.

    Returns:
        Its curves, by step.

    Raises:
        OSError: if it can't be read.
    """
    series: Series = {}
    points = 0
    with path.open("rb") as file:
        for record in _records(file):
            try:
                step, values = _event(record)
            except (ValueError, struct.error):
                # Spoilt in the middle; its length fits, so the next may do.
                continue
            for tag, value in values:
                if tag not in AXES:
                    series.setdefault((tag, "step"), {})[float(step)] = value
                    points += 1
            if points > _MOST_POINTS:
                break
    return series


def _records(file: BinaryIO) -> Iterator[bytes]:
    read = 0
    while read < LARGEST:
        header = file.read(12)
        if len(header) < 12:
            return
        (length,) = struct.unpack("<Q", header[:8])
        if length > LARGEST:
            # No file has that: it is no record.
            return
        read += length + 16
        if length > _LARGEST_RECORD:
            file.seek(length + 4, 1)
            continue
        data, checksum = file.read(length), file.read(4)
        if len(checksum) < 4:
            return
        yield data


def _event(record: bytes) -> tuple[int, list[tuple[str, float]]]:
    """The step of an event, and the scalars by their tags."""
    step, values = 0, []
    for number, content in _fields(record):
        if number == 2 and isinstance(content, int):
            step = content - (1 << 64) if content >> 63 else content
        elif number == 5 and isinstance(content, bytes):
            values += [_value(one) for field, one in _fields(content) if field == 1 and isinstance(one, bytes)]
    return step, [(tag, value) for tag, value in values if tag and value is not None]


def _value(content: bytes) -> tuple[str, float | None]:
    """Tag and scalar of a `Summary.Value`; None where it is no scalar."""
    tag, value = "", None
    for number, field in _fields(content):
        if not isinstance(field, bytes):
            continue
        if number == 1:
            tag = field.decode(errors="replace")
        elif number == 2:
            (value,) = struct.unpack("<f", field)
        elif number == 8:
            value = _scalar(field)
    return tag, value


def _scalar(tensor: bytes) -> float | None:
    """The number in a `TensorProto` of a single float, as TensorFlow 2 writes scalars; None in any other."""
    kind, found = 0, None
    for number, content in _fields(tensor):
        if number == 1 and isinstance(content, int):
            kind = content
        elif number == 2 and content:
            # It has a shape: not a scalar.
            return None
        elif number in {4, 5, 6} and isinstance(content, bytes):
            found = content
    sizes = {_FLOAT: ("<f", 4), _DOUBLE: ("<d", 8)}
    if found is None or kind not in sizes or len(found) != sizes[kind][1]:
        return None
    (value,) = struct.unpack(sizes[kind][0], found)
    return float(value)


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message in protobuf.

    Raises:
        ValueError: if it is none.
    """
    at = 0
    while at < len(message):
        key, at = _integer(message, at)
        match key & 7:
            case 0:
                value, at = _integer(message, at)
                yield key >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, at = _integer(message, at)
            case 5:
                length = 4
            case _:
                raise ValueError("no message")
        if at + length > len(message):
            raise ValueError("cut")
        yield key >> 3, message[at : at + length]
        at += length


def _integer(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("cut")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("no integer")
