"""What a step has used of its machine, its part of what the machine's sampler has kept, and what it costs."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from zenml.logger import get_logger

from lightning_zenml.launch.payload.protocol import Meter
from lightning_zenml.launch.payload.usage.idle import Idleness, heard, in_words
from lightning_zenml.launch.payload.usage.records import used
from lightning_zenml.launch.payload.variables import BEGAN, MACHINE, STOP_IDLE_GPU, USAGE
from lightning_zenml.launch.payload.variables import METER as JOB_METER
from lightning_zenml.zenml_api.models import METER
from lightning_zenml.zenml_api.models import USAGE as USAGE_METADATA

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

logger = get_logger(__name__)


class IdleGpuError(BaseException):
    """A step is ended as it holds GPUs and uses none; no `except Exception` of the user's is to take it for less."""


def of_step(start: datetime | None) -> dict[str, MetadataType]:
    """Makes the metadata that tells what was used of this machine since a step has begun.

    Args:
        start: when it began (UTC, without a time zone, as ZenML has it); None: that isn't known.

    Returns:
        The metadata; none where nothing was sampled, as in a step of a few seconds.
    """
    if USAGE not in os.environ or start is None:
        return {}
    try:
        usage = used(Path(os.environ[USAGE]), since=start.replace(tzinfo=UTC).timestamp())
    except Exception as error:
        # The step has ended as it has, whatever is known of its machine.
        logger.debug("What the step has used of its machine isn't known: %s", error)
        return {}
    return {USAGE_METADATA: usage.to_json()} if usage else {}


def cost_of_step() -> dict[str, MetadataType]:
    """Makes the metadata that tells what a step's own machines cost; none in the studio, whose cost is the run's."""
    if JOB_METER not in os.environ:
        return {}
    meter = Meter.from_json(json.loads(os.environ[JOB_METER]))
    return {METER: replace(meter, since=float(os.environ[BEGAN])).to_json()}


def fail_when_idle() -> None:
    """From now on, this process fails with a reason when its machine's sampler finds that no GPU is used.

    Of a step in the studio, the launch is stopped.
    """
    if not (limit := float(os.environ.get(STOP_IDLE_GPU) or 0)):
        return

    def fail(number: int, frame: FrameType | None) -> None:
        heard(Path(os.environ[USAGE])).touch()
        raise IdleGpuError(in_words(Idleness.END, os.environ.get(MACHINE, ""), limit))

    signal.signal(signal.SIGUSR1, fail)
