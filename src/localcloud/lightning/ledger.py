"""What is billed: one interval for each machine that ran."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Interval:
    """A machine from start to stop.

    Args:
        name: of the studio or job.
        machine: lightning-sdk's name of the machine that really ran (`CPU`, `T4`).
        price: US dollars per hour.
        start: seconds since the epoch.
        end: seconds since the epoch; None while it runs.
    """

    name: str
    machine: str
    price: float
    start: float
    end: float | None = None

    @property
    def seconds(self) -> float:
        """Billed so far. The platform bills by the second, from `startedAt` to `stoppedAt`."""
        return (self.end if self.end is not None else time.time()) - self.start

    @property
    def cost(self) -> float:
        """US dollars so far."""
        return self.seconds / 3600 * self.price

    def close(self) -> None:
        """The machine stopped."""
        if self.end is None:
            self.end = time.time()


class Ledger:
    """All intervals, in the order of their start."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []

    def open(self, name: str, machine: str, price: float) -> Interval:
        """A machine started."""
        interval = Interval(name, machine, price, time.time())
        self.intervals.append(interval)
        return interval

    def running(self) -> list[str]:
        """Names of the studios and jobs that are billed right now."""
        return [interval.name for interval in self.intervals if interval.end is None]

    def machine_seconds(self) -> dict[str, float]:
        """Billed seconds so far of each machine type."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for interval in self.intervals:
            seconds[interval.machine] += interval.seconds
        return dict(seconds)

    def cost(self) -> float:
        """US dollars so far."""
        return sum(interval.cost for interval in self.intervals)
