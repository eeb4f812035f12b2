"""What went through a proxy: every call with its route, in which ids are placeholders, and its position."""

from __future__ import annotations

import enum
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_ID = re.compile(
    r"(?<![0-9a-zA-Z])("
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # UUID
    r"|(?=[a-z]*[0-9])[0-9a-z]{26}"  # ULID
    r"|(?=[a-f]*[0-9])[0-9a-f]{6,}"  # hexadecimal: a commit, a digest, the end of a name
    r"|[0-9]+"
    r")(?![0-9a-zA-Z])"
)


def route_of(path: str) -> str:
    """A path with each id in it replaced by `{id}`: `/v1/projects/{id}/cloudspaces/{id}`.

    Args:
        path: of a request; a query is left out.
    """
    return _ID.sub("{id}", path.partition("?")[0])


class Position(enum.StrEnum):
    """Which of several calls of the same method and route."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"

    def of(self, count: int) -> int:
        """The position as a number from 1 to `count`."""
        return {"first": 1, "middle": (count + 1) // 2, "last": count}[self]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and what became of it.

    Args:
        service: `lightning`, `github`, `zenml` or `s3`.
        method: of HTTP.
        route: see `route_of`.
        path: as sent, with its query.
        position: of all calls of this method and route, from 1.
        status: of the answer that the client got, wholly or in part; 0: none.
        fault: name of the fault that it met; "": none.
    """

    service: str
    method: str
    route: str
    path: str
    position: int
    status: int = 0
    fault: str = ""

    def __str__(self) -> str:
        met = f" [{self.fault}]" if self.fault else ""
        return f"{self.service} {self.method} {self.route} #{self.position} -> {self.status or 'no answer'}{met}"


class Calls:
    """The calls of a service, or of several, as they ended. Threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._positions: Counter[tuple[str, str, str]] = Counter()
        self._ended: list[Call] = []

    def __iter__(self) -> Iterator[Call]:
        with self._lock:
            return iter(list(self._ended))

    def __len__(self) -> int:
        return len(self._ended)

    @property
    def begun(self) -> int:
        """Number of calls that have begun: a client has its answer before the call has ended here."""
        with self._lock:
            return sum(self._positions.values())

    def position(self, service: str, method: str, route: str) -> int:
        """The position of a call that begins now."""
        with self._lock:
            self._positions[service, method, route] += 1
            return self._positions[service, method, route]

    def end(self, call: Call) -> None:
        """Records a call."""
        with self._lock:
            self._ended.append(call)

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How often each (service, method, route) was called: what a matrix of faults is generated from."""
        with self._lock:
            return dict(Counter((call.service, call.method, call.route) for call in self._ended))
