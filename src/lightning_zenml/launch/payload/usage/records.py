"""What was used of a machine in a while, as the sampler writes it, steps publish it and the Action reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lightning_zenml.launch.payload.records import Record, read


@dataclass(frozen=True, kw_only=True)
class GpuUsage(Record):
    """What was used of one GPU.

    Args:
        index: number of the GPU on its machine, from 0.
        name: name of the GPU, as `nvidia-smi` has it.
        samples: number of samples that this is made of.
        busy: percent of the time in which the GPU computed, on average.
        memory: memory of the GPU in bytes.
        memory_peak: most of it that was in use.
    """

    index: int
    name: str
    samples: int
    busy: float
    memory: float
    memory_peak: float


@dataclass(frozen=True, kw_only=True)
class Usage(Record):
    """What was used of a machine.

    Args:
        since: when that began, seconds since 1970.
        until: when it ended.
        samples: number of samples that this is made of.
        cpus: number of cores, those of the container where it is limited.
        cpu: percent of them that worked, on average.
        memory: main memory in bytes.
        memory_peak: most of it that was in use, but for files that could have been dropped.
        gpus: the GPUs of which there was an answer; none on a CPU machine.
    """

    since: float
    until: float
    samples: int
    cpus: float
    cpu: float
    memory: float
    memory_peak: float
    gpus: tuple[GpuUsage, ...] = ()

    @property
    def seconds(self) -> float:
        """How long that was."""
        return self.until - self.since


def merged(usages: Sequence[Usage]) -> Usage | None:
    """What was used in several stretches of time together; None where there are none.

    Args:
        usages: one for each stretch, of the same machine.
    """
    if not usages:
        return None
    samples = sum(usage.samples for usage in usages)
    return Usage(
        since=min(usage.since for usage in usages),
        until=max(usage.until for usage in usages),
        samples=samples,
        cpus=max(usage.cpus for usage in usages),
        cpu=round(sum(usage.cpu * usage.samples for usage in usages) / samples, 1),
        memory=max(usage.memory for usage in usages),
        memory_peak=max(usage.memory_peak for usage in usages),
        gpus=_merged_gpus(gpu for usage in usages for gpu in usage.gpus),
    )


def used(path: Path, *, since: float, until: float = float("inf")) -> Usage | None:
    """What was used in a while, by what the sampler has kept; None where it has kept nothing of it.

    Args:
        path: file that the sampler writes.
        since: when the while began, seconds since 1970.
        until: when it ended.
    """
    return merged([one for one in read(Usage, path) if since <= (one.since + one.until) / 2 <= until])


def _merged_gpus(gpus: Iterable[GpuUsage]) -> tuple[GpuUsage, ...]:
    found = []
    for index, several in groupby(sorted(gpus, key=lambda gpu: gpu.index), key=lambda gpu: gpu.index):
        one = list(several)
        samples = sum(gpu.samples for gpu in one)
        found.append(
            GpuUsage(
                index=index,
                name=one[-1].name,
                samples=samples,
                busy=round(sum(gpu.busy * gpu.samples for gpu in one) / samples, 1),
                memory=max(gpu.memory for gpu in one),
                memory_peak=max(gpu.memory_peak for gpu in one),
            )
        )
    return tuple(found)
