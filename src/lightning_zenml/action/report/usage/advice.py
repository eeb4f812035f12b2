"""Whether a cheaper machine would have done, said only where that is well founded.

Long enough, with answers of every GPU, and with a margin: memory must hold a quarter more than was in use, cores twice
what they did. A slower GPU takes longer for the time in which the GPU was busy, by the ratio of what the data
sheets say: dense FP16 of the tensor cores and bandwidth of the memory, whichever is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_zenml.action.report.usage.words import memory, of_gpu, percent, usage_of
from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage, merged
from lightning_zenml.zenml_api.models import METER, Run, Step

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.machines import Machine

_LONG_ENOUGH, _SAMPLES_ENOUGH = 300.0, 30
"""Seconds and samples from which on a machine is judged."""
_ANSWERED = 0.8
"""Part of the samples that must have an answer of each GPU."""
_MEMORY_MARGIN, _CORES_MARGIN = 1.25, 2.0
_LEAST_PER_CORE = 2e9
"""Bytes of memory for each core that any machine has of which the catalog doesn't tell."""
_SLOWEST = 1.5
"""How many times as long it may take; beyond that, it is another matter."""
_WORTH, _WORTH_DOLLARS = 0.1, 0.01
"""Part of its cost, and US dollars, that a run must save at least."""
_AT_REST = 0.6e9
"""Bytes in use on a GPU that nobody uses: its driver's own."""
_MOST = 5
"""As many are told of one launch."""
_AN = frozenset("AEFHILMNORSX")
"""Letters whose names begin with a vowel: an L4."""


@dataclass(frozen=True)
class _Kind:
    """A kind of GPU by NVIDIA's data sheets: gigabytes, and teraflops and gigabytes a second at most."""

    memory: float
    flops: float
    bandwidth: float


_KINDS = {
    "T4": _Kind(16, 65, 300),
    "L4": _Kind(24, 121, 300),
    "A10G": _Kind(24, 70, 600),
    "L40S": _Kind(48, 362, 864),
    "RTX PRO": _Kind(96, 500, 1600),
    # The smaller of the two that there are.
    "A100": _Kind(40, 312, 1555),
    "H100": _Kind(80, 989, 3350),
    "H200": _Kind(141, 989, 4800),
    "B200": _Kind(180, 2250, 8000),
}


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """A cheaper machine, in words, and what it saves a run in US dollars."""

    words: str
    saving: float


def advise(runs: Iterable[tuple[Run, Sequence[Step]]], catalog: Callable[[], Sequence[Machine]]) -> tuple[str, ...]:
    """Tells which machines were larger than they had to be, dearest first.

    Args:
        runs: runs of a launch, each with its steps; of those that did not complete nothing is said.
        catalog: asks for all machines that there are, with their prices; only where there is something to judge.

    Returns:
        A sentence or two for each; none where nothing can be said with good reason.
    """
    judged = [use for run, steps in runs if run.status == "completed" for use in _uses(run, steps)]
    machines = catalog() if judged else ()
    findings = [finding for what, usage, meter in judged if (finding := _find(what, usage, meter, machines))]
    return tuple(finding.words for finding in sorted(findings, key=lambda one: -one.saving)[:_MOST])


def _uses(run: Run, steps: Sequence[Step]) -> Iterator[tuple[str, Usage, Meter]]:
    """What was used of each machine, for long enough to be judged, and what that costs."""
    in_studio: list[Usage] = []
    found: list[tuple[str, Usage | None, Meter | None]] = []
    for step in steps:
        usage = usage_of(step)
        if usage and METER in step.metadata:
            found.append((f"`{step.name}`", usage, _meter(step)))
        elif usage:
            in_studio.append(usage)
    found.append(("The studio", merged(in_studio), _meter(run)))
    for what, usage, meter in found:
        if usage and meter and usage.seconds >= _LONG_ENOUGH and usage.samples >= _SAMPLES_ENOUGH:
            yield what, usage, meter


def _meter(one: Run | Step) -> Meter | None:
    try:
        return Meter.from_json(one.metadata[METER])
    except (KeyError, RecordError):
        return None


def _find(what: str, usage: Usage, meter: Meter, machines: Sequence[Machine]) -> _Finding | None:
    now = next((one for one in machines if meter.machine == one.name or one.is_reported_as(meter.machine)), None)
    # Several machines have the price of all of them, and only the first has told.
    if now is None or not meter.price or meter.price not in (now.cost, now.spot_cost) or not _has_told(usage, now):
        return None
    is_spot = meter.price != now.cost
    used = tuple(gpu for gpu in usage.gpus if gpu.busy > 0 or gpu.memory_peak > _AT_REST)
    found: tuple[float, float, Machine] | None = None
    for other in machines:
        price = other.spot_cost if is_spot else other.cost
        longer = _longer(usage, used, now, other)
        if price and not other.out_of_capacity and longer <= _SLOWEST and (found is None or price * longer < found[0]):
            found = price * longer, longer, other
    if found is None:
        return None
    hours = usage.seconds / 3600
    saving = (meter.price - found[0]) * hours
    if saving < max(_WORTH * meter.price * hours, _WORTH_DOLLARS):
        return None
    words = f"{what} on {now.name}: {_used(usage, used)}. {_would_do(found[2], found[1], saving)}"
    return _Finding(words=words, saving=saving)


def _has_told(usage: Usage, machine: Machine) -> bool:
    """Whether each GPU of the machine has answered nearly always."""
    return len(usage.gpus) == machine.gpus and all(gpu.samples >= _ANSWERED * usage.samples for gpu in usage.gpus)


def _longer(usage: Usage, used: Sequence[GpuUsage], now: Machine, other: Machine) -> float:
    """How many times as long it takes on another machine, at most; infinite where that doesn't hold it."""
    size = other.memory * 1e6 or other.cpus * _LEAST_PER_CORE
    if usage.memory_peak * _MEMORY_MARGIN > size or usage.cpu / 100 * usage.cpus * _CORES_MARGIN > other.cpus:
        return math.inf
    if not used:
        return math.inf if other.gpus else 1.0
    if not len(used) <= other.gpus <= now.gpus:
        return math.inf
    if other.family == now.family:
        return 1.0
    mine, its = _KINDS.get(now.family), _KINDS.get(other.family)
    peak, busy = max(gpu.memory_peak for gpu in used), max(gpu.busy for gpu in used) / 100
    if mine is None or its is None or peak * _MEMORY_MARGIN > its.memory * 1e9:
        return math.inf
    ratio = max(mine.flops / its.flops, mine.bandwidth / its.bandwidth, 1.0)
    return 1 + busy * (ratio - 1)


def _used(usage: Usage, used: Sequence[GpuUsage]) -> str:
    if not usage.gpus:
        return f"peak {memory(usage)} of memory, {percent(usage.cpu)} of {usage.cpus:g} cores busy"
    if not used:
        return "its GPU did nothing" if len(usage.gpus) == 1 else f"its {len(usage.gpus)} GPUs did nothing"
    fullest, busiest = max(used, key=lambda gpu: gpu.memory_peak), max(used, key=lambda gpu: gpu.busy)
    some = f"{len(used)} of {len(usage.gpus)} GPUs in use, " if len(used) < len(usage.gpus) else ""
    return f"{some}peak {of_gpu(fullest)}, {percent(busiest.busy)} busy"


def _would_do(machine: Machine, longer: float, saving: float) -> str:
    article = "An" if machine.name[0] in _AN else "A"
    time = f", and at most {longer:.1f} times as long" if longer >= 1.05 else ""
    return f"{article} {machine.name} would do: about ${saving:.2f} less a run{time}."
