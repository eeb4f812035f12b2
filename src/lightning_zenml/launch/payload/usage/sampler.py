"""Looks every few seconds at what is used of the machine, and keeps that for steps, which publish their part of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning_zenml.launch.payload.records import append
from lightning_zenml.launch.payload.usage.gpus import Gpu, Gpus, patience
from lightning_zenml.launch.payload.usage.idle import IdleGpus, Idleness, in_words
from lightning_zenml.launch.payload.usage.machine import Machine
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage, merged
from lightning_zenml.launch.payload.variables import USAGE_SECONDS

_INTERVAL = 5.0
"""Seconds between two samples, unless the user says otherwise."""
_KEPT = 2000
"""Of what is kept, a line covers so small a part of the time: a run of a week has some ten thousand."""


def interval(environment: Mapping[str, str]) -> float:
    """Seconds between two samples; 0: there are to be none.

    Args:
        environment: variables of the launch or job.
    """
    try:
        return max(float(environment.get(USAGE_SECONDS) or _INTERVAL), 0.0)
    except ValueError:
        return _INTERVAL


class Sampler:
    """Samples in a thread of its own until it is ended. Whatever goes wrong with it, the run goes on.

    Args:
        path: file that takes what was used, a line of `Usage` each.
        interval: seconds between two samples; 0: there are none.
        machine: name of the machine.
        stop_idle_gpu: seconds for which its GPUs may be idle; 0: for ever.

    Attributes:
        found_idle: why whatever runs there is to be ended, in words; '': it is not.
    """

    def __init__(
        self,
        path: Path,
        interval: float,
        *,
        machine: str = "",
        stop_idle_gpu: float = 0.0,
    ) -> None:
        self.found_idle = ""
        self._path, self._interval, self._machine = path, interval, machine
        self._limit = stop_idle_gpu
        self._idle = IdleGpus(self._limit, patience(interval)) if stop_idle_gpu else None
        self._on_idle: Callable[[Idleness, str], None] = lambda idleness, words: None
        self._counts = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def start(self, on_idle: Callable[[Idleness, str], None]) -> None:
        """Begins to sample.

        Args:
            on_idle: called when half of the time is over for which GPUs may be idle, and when all is: with words.
        """
        self._on_idle = on_idle
        if self._interval:
            self._thread.start()

    def count_idleness(self) -> None:
        """From now on a GPU is there to be used."""
        self._counts.set()

    def end(self) -> None:
        """Samples no longer."""
        self._ended.set()
        if self._thread.ident:
            self._thread.join(timeout=1)

    def _sample(self) -> None:
        gpus = Gpus(self._interval)
        try:
            machine, began, last = Machine(), time.time(), time.time()
            waiting: list[Usage] = []
            while not self._ended.wait(self._interval):
                now, seen = time.time(), gpus.look()
                cpu, memory = machine.look()
                waiting.append(
                    Usage(
                        since=round(last, 1),
                        until=round(now, 1),
                        samples=1,
                        cpus=machine.cpus,
                        cpu=round(cpu, 1),
                        memory=machine.memory,
                        memory_peak=memory,
                        gpus=_usages(seen),
                    )
                )
                last = now
                if now - waiting[0].since >= (now - began) / _KEPT:
                    self._keep(waiting)
                    waiting = []
                if self._counts.is_set():
                    self._judge(seen)
        except Exception as error:
            print(f"What is used of the machine isn't sampled any more: {type(error).__name__}: {error}", flush=True)
        finally:
            gpus.end()

    def _keep(self, usages: Sequence[Usage]) -> None:
        usage = merged(usages)
        # A full disk takes no samples.
        with contextlib.suppress(OSError):
            if usage:
                append(self._path, usage)

    def _judge(self, gpus: Sequence[Gpu]) -> None:
        if self._idle is None:
            return
        idleness = self._idle.look(gpus, time.monotonic())
        if idleness is None:
            return
        words = in_words(idleness, self._machine, self._limit)
        if idleness is Idleness.END:
            self._idle.begin_anew()
            self.found_idle = words
        self._on_idle(idleness, words)


def _usages(gpus: Sequence[Gpu]) -> tuple[GpuUsage, ...]:
    return tuple(
        GpuUsage(index=gpu.index, name=gpu.name, samples=1, busy=gpu.busy, memory=gpu.memory, memory_peak=gpu.used)
        for gpu in gpus
        if gpu.busy is not None and gpu.used is not None and gpu.memory is not None
    )
