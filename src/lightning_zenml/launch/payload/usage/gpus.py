"""What `nvidia-smi` says of the GPUs, once and again: one process that goes on, not one for each look.

`nvidia-smi --query-gpu=... --format=csv,noheader,nounits --loop-ms=5000` prints a line for each GPU every five
seconds; what a GPU does not tell is `[N/A]` or the like (`nvidia-smi --help-query-gpu`). It ends with the pipe that it
writes to.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO

_FIELDS = "index,name,utilization.gpu,memory.used,memory.total"
_MIB = 1024.0 * 1024.0
_TRIES, _PAUSE = 5, 60.0
"""How often it is started where it ends, and seconds in between: a driver that has hung up is not asked for ever."""


@dataclass(frozen=True)
class Gpu:
    """What a GPU does at the moment.

    Args:
        index: number of the GPU on its machine.
        name: name of the GPU.
        busy: percent of the last moment in which it computed; None: it doesn't say, or nothing that makes sense.
        used: bytes of its memory in use; None likewise.
        memory: bytes of its memory; None likewise.
    """

    index: int
    name: str
    busy: float | None
    used: float | None
    memory: float | None


class Gpus:
    """The machine's GPUs, as they were told last.

    Args:
        interval: seconds between two answers.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._told: dict[int, tuple[float, Gpu]] = {}
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        threading.Thread(target=self._listen, name="nvidia-smi", daemon=True).start()

    def look(self) -> tuple[Gpu, ...]:
        """All GPUs that have ever told something; one that says nothing any more, with None for all it would say.

        None on a machine without.
        """
        fresh_since = time.monotonic() - patience(self._interval)
        return tuple(
            gpu if told >= fresh_since else Gpu(gpu.index, gpu.name, None, None, None)
            for told, gpu in sorted(self._told.copy().values(), key=lambda one: one[1].index)
        )

    def end(self) -> None:
        """Listens no longer."""
        with self._turn:
            self._ended.set()
            if self._process is not None:
                self._process.kill()

    def _listen(self) -> None:
        for _ in range(_TRIES):
            with self._turn:
                if self._ended.is_set():
                    return
                try:
                    self._process = subprocess.Popen(
                        [
                            "nvidia-smi",
                            f"--query-gpu={_FIELDS}",
                            "--format=csv,noheader,nounits",
                            f"--loop-ms={1000 * self._interval:.0f}",
                        ],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        encoding="utf-8",
                        errors="replace",
                    )
                except OSError:
                    # A CPU machine.
                    return
                process = self._process
            assert process.stdout is not None  # noqa: S101 - asked for above
            with process, contextlib.suppress(OSError):
                self._take(process.stdout)
            if self._ended.wait(_PAUSE):
                return

    def _take(self, lines: IO[str]) -> None:
        for line in lines:
            if gpu := _read(line):
                self._told[gpu.index] = time.monotonic(), gpu


def patience(interval: float) -> float:
    """Seconds after which an answer is no answer any more, on a machine that is busy."""
    return 3 * interval + 2


def _read(line: str) -> Gpu | None:
    """A GPU; None for anything else that may be said, such as that the driver can't be reached."""
    begin = line.strip().split(", ", 1)
    rest = begin[-1].rsplit(", ", 3)
    if len(begin) != 2 or len(rest) != 4 or not begin[0].isdecimal():
        return None
    name, busy, used, memory = rest
    percent = _number(busy)
    return Gpu(
        index=int(begin[0]),
        name=name,
        busy=percent if percent is not None and percent <= 100 else None,
        used=_bytes(used),
        memory=_bytes(memory),
    )


def _number(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdecimal() else None


def _bytes(mebibytes: str) -> float | None:
    number = _number(mebibytes)
    return None if number is None else number * _MIB
