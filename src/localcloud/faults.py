"""Faults to inject into a stand-in: refused requests, lost answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Args:
        method: HTTP method.
        pattern: regular expression, searched for in the path.
        status: of the answer; None: the connection is dropped instead of an answer.
        times: so many requests.
        headers: of the answer, e.g. `Retry-After`.
        message: of the answer.
        carried_out: the request is carried out all the same.
    """

    method: str
    pattern: str
    status: int | None
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "Injected failure"
    carried_out: bool = False


class Faults:
    """The faults to come, first in, first out."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Lets a fault happen."""
        self._faults.append(fault)

    def next(self, method: str, path: str) -> Fault | None:
        """The fault of this request, used up once; None: all goes well."""
        for fault in self._faults:
            if fault.times and fault.method == method and re.search(fault.pattern, path):
                fault.times -= 1
                return fault
        return None
