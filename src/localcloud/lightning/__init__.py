"""A stand-in for the Lightning AI platform: the real lightning-sdk talks to it and it really runs what it is told.

`LightningCloud` is the whole of it and `Knobs` how it misbehaves. What it answers follows what lightning-sdk sends and
reads; what the platform is known to do (set-up that takes its time, GPUs that come up as CPUs, studios that sleep) it
does too, sooner. `python -m localcloud.lightning ROOT` starts one by itself.
"""

from __future__ import annotations

from .cloud import LightningCloud
from .entities import Studio
from .jobs.job_entities import Job, JobState
from .jobs.pipelines import Pipeline, Schedule
from .knobs import Knobs
from .ledger import Interval
from .server import Request

__all__ = ["Interval", "Job", "JobState", "Knobs", "LightningCloud", "Pipeline", "Request", "Schedule", "Studio"]
