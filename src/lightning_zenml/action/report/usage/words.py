"""What was used of a machine, as a reader of the summary sees it."""

from __future__ import annotations

from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage, merged
from lightning_zenml.zenml_api.models import USAGE, Step

_SINGLY = 2
"""As many GPUs are told of one by one."""


def usage_of(step: Step) -> Usage | None:
    """What a step has used of its machine; None where it was not sampled, or has not run.

    Args:
        step: as ZenML has it.
    """
    if step.status == "cached" or USAGE not in step.metadata:
        return None
    try:
        # Metadata is anybody's to log: what can't be reckoned with is none of ours.
        return merged([Usage.from_json(step.metadata[USAGE])])
    except (RecordError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def cores(usage: Usage) -> str:
    """E.g. `31 % of 8`."""
    return f"{percent(usage.cpu)} of {usage.cpus:g}"


def memory(usage: Usage) -> str:
    """E.g. `6.1 of 32 GB`, at most."""
    return _of(usage.memory_peak, usage.memory)


def gpus(usage: Usage) -> str:
    """E.g. `31 %`, or `31 % of 4`; '' on a CPU machine."""
    if len(usage.gpus) > _SINGLY:
        mean = sum(gpu.busy for gpu in usage.gpus) / len(usage.gpus)
        return f"{percent(mean)} of {len(usage.gpus)}"
    return ", ".join(percent(gpu.busy) for gpu in usage.gpus)


def gpu_memory(usage: Usage) -> str:
    """E.g. `6.1 of 24 GB`, at most and of the fullest GPU; '' on a CPU machine."""
    if not usage.gpus:
        return ""
    fullest = max(usage.gpus, key=lambda gpu: gpu.memory_peak)
    return of_gpu(fullest)


def of_gpu(gpu: GpuUsage) -> str:
    """The same of one GPU."""
    return _of(gpu.memory_peak, gpu.memory)


def percent(number: float) -> str:
    """E.g. `31 %`; what is there is not nothing."""
    return "< 1 %" if 0 < number < 0.5 else f"{number:.0f} %"


def _of(peak: float, size: float) -> str:
    return f"{peak / 1e9:.1f} of {size / 1e9:.0f} GB"
