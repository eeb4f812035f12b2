"""Checkpoints that outlive the machine: files beside the run's artifacts, with which the next attempt begins."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from zenml import get_step_context
from zenml.client import Client
from zenml.io import fileio


def folder_of_step() -> str:
    """Where the checkpoints of this step of this run lie; the same for each attempt."""
    context = get_step_context()
    store = Client().active_stack.artifact_store
    return f"{store.path}/checkpoints/{context.pipeline_run.id}/{context.step_run.name}"


def save(folder: str, epoch: int, write: Callable[[BinaryIO], None]) -> None:
    """Writes a checkpoint, e.g. by `torch.save`. One that is cut has no marker, and counts for nothing."""
    content = io.BytesIO()
    write(content)
    fileio.makedirs(folder)
    with fileio.open(f"{folder}/{epoch:06}.pt", "wb") as file:
        file.write(content.getvalue())
    with fileio.open(f"{folder}/{epoch:06}.done", "w") as file:
        file.write("")


def newest(folder: str, read: Callable[[BinaryIO], Any]) -> tuple[int, Any]:
    """The epoch and content of the newest whole checkpoint; 0 and None where there is none."""
    done = [name for name in fileio.listdir(folder) if name.endswith(".done")] if fileio.exists(folder) else []
    if not done:
        return 0, None
    epoch = max(int(name.partition(".")[0]) for name in done)
    with fileio.open(f"{folder}/{epoch:06}.pt", "rb") as file:
        return epoch, read(io.BytesIO(file.read()))
