"""How busy the machine's cores are and how full its memory is: `/proc`, or the control group that limits both.

A container may see all of its host in `/proc`, and have a part of it: what counts then is the innermost control group
with a limit, of version 2 (`memory.max`, `cpu.max`) or 1 (`memory.limit_in_bytes`, `cpu.cfs_quota_us`). Both are
described in the kernel's `Documentation/admin-guide`, `cgroup-v2.rst` and `cgroup-v1/`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """The machine, or the part of it that this process may use.

    Args:
        proc: where the kernel tells of processes.
        cgroups: where it tells of control groups.
        clock: function that tells seconds.

    Attributes:
        cpus: number of cores.
        memory: main memory in bytes.
    """

    def __init__(
        self,
        proc: Path = Path("/proc"),
        cgroups: Path = Path("/sys/fs/cgroup"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc, self._clock = proc, clock
        in_all = self._meminfo()["MemTotal"]
        cores = float(len(os.sched_getaffinity(0)))
        groups = _Groups(proc, cgroups)
        memory, cpus = groups.memory(in_all), groups.cpus(cores)
        self._memory, self.memory = memory or (self._memory_of_all, in_all)
        self._busy, self.cpus = cpus or (self._busy_of_all, float(os.cpu_count() or 1))
        self._last = self._clock(), self._busy()

    def look(self) -> tuple[float, float]:
        """Percent of the cores that worked since the last look, and bytes of memory in use.

        Raises:
            OSError: the kernel doesn't tell.
        """
        before, now = self._last, (self._clock(), self._busy())
        self._last = now
        seconds = max(now[0] - before[0], 1e-6)
        return min(max(100 * (now[1] - before[1]) / seconds / self.cpus, 0.0), 100.0), self._memory()

    def _busy_of_all(self) -> float:
        with (self._proc / "stat").open() as stat:
            # user nice system idle iowait irq softirq steal
            ticks = [int(number) for number in stat.readline().split()[1:9]]
        return (sum(ticks) - sum(ticks[3:5])) / _TICKS

    def _memory_of_all(self) -> float:
        told = self._meminfo()
        return told["MemTotal"] - told["MemAvailable"]

    def _meminfo(self) -> dict[str, float]:
        with (self._proc / "meminfo").open() as lines:
            return {
                line.partition(":")[0]: 1024.0 * int(line.split()[1]) for _, line in zip(range(3), lines, strict=False)
            }


class _Groups:
    """The control groups that this process is in, from its own outwards."""

    def __init__(self, proc: Path, root: Path) -> None:
        self._root = root
        try:
            lines = (proc / "self" / "cgroup").read_text().splitlines()
        except OSError:
            lines = []
        self._paths: dict[str, str] = {}
        for line in lines:
            _, _, rest = line.partition(":")
            names, _, path = rest.partition(":")
            # Version 2 has no names.
            self._paths.update(dict.fromkeys(names.split(","), path))

    def memory(self, in_all: float) -> tuple[Callable[[], float], float] | None:
        """How to ask for the memory in use, and how much there is; None where no group has less than all."""
        for version, folder in self._folders("memory"):
            limit, current, dropped = (
                ("memory.max", "memory.current", "inactive_file")
                if version == 2
                else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            )
            most, stat = _number(folder / limit), folder / "memory.stat"
            if most is not None and most < in_all:
                return partial(_in_use, folder / current, stat, dropped), most
        return None

    def cpus(self, cores: float) -> tuple[Callable[[], float], float] | None:
        """How to ask for the seconds that cores have worked, and how many there are; None where no group has less."""
        accounts = [folder / "cpuacct.usage" for version, folder in self._folders("cpuacct") if version == 1]
        for version, folder in self._folders("cpu"):
            if version == 2:
                quota, period = (*_words(folder / "cpu.max"), "", "")[:2]
                ask = partial(_microseconds, folder / "cpu.stat")
            else:
                quota, period = ("".join(_words(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
                if not accounts:
                    continue
                ask = partial(_nanoseconds, accounts[0])
            if quota.isdecimal() and period.isdecimal() and 0 < int(quota) < cores * int(period):
                return ask, int(quota) / int(period)
        return None

    def _folders(self, controller: str) -> Iterator[tuple[int, Path]]:
        """Version and folder of each group."""
        for version, name, base in ((1, controller, self._root / controller), (2, "", self._root)):
            if name not in self._paths:
                continue
            path = Path(self._paths[name].lstrip("/"))
            # Where a container's own group is mounted as the root, the host's path is not there.
            for folder in (base / path, *(base / parent for parent in path.parents)):
                if folder.is_dir():
                    yield version, folder


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _number(path: Path) -> float | None:
    """The number in a file; None where it says `max`, or isn't there."""
    words = _words(path)
    return float(words[0]) if words and words[0].isdecimal() else None


def _in_use(usage: Path, stat: Path, dropped: str) -> float:
    return max(float(usage.read_text()) - _field(stat, dropped), 0.0)


def _microseconds(stat: Path) -> float:
    return _field(stat, "usage_usec") / 1e6


def _nanoseconds(account: Path) -> float:
    return float(account.read_text()) / 1e9


def _field(path: Path, name: str) -> float:
    with path.open() as lines:
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)
