"""Which calls meet which fault."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass

from localcloud.chaos.fault import Fault


@dataclass
class Rule:
    """A fault and the calls that meet it. With neither `nth`, `every` nor `share` all that match do.

    Args:
        fault: what happens to them.
        method: regular expression, matched in full.
        route: regular expression, matched in full with the route (`{id}` stands for itself).
        nth: the n-th matching call, from 1.
        every: each n-th.
        share: of all, at random.
        times: no more than so many.
        seen: matching calls so far.
        met: calls so far that met the fault.
    """

    fault: Fault
    method: str
    route: str
    nth: int | None = None
    every: int | None = None
    share: float | None = None
    times: int | None = None
    seen: int = 0
    met: int = 0

    def meets(self, method: str, route: str, chance: random.Random) -> bool:
        """Whether this call, which is counted, meets the fault."""
        if not (re.fullmatch(self.method, method) and re.fullmatch(self.route, route)):
            return False
        self.seen += 1
        if self.times is not None and self.met >= self.times:
            return False
        meets = (
            (self.nth is None or self.seen == self.nth)
            and (self.every is None or self.seen % self.every == 0)
            and (self.share is None or chance.random() < self.share)
        )
        self.met += meets
        return meets


class Plan:
    """The rules of a proxy. Of several that fit a call the first counts, though all of them have seen it.

    Args:
        seed: of what happens at random.
    """

    def __init__(self, seed: int | str) -> None:
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> Rule:
        """Lets a fault happen."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """From now on all goes well."""
        with self._lock:
            self._rules.clear()

    def fault(self, method: str, route: str) -> Fault | None:
        """What goes wrong with this call; None: nothing."""
        with self._lock:
            meeting = [rule for rule in self._rules if rule.meets(method, route, self._chance)]
        return meeting[0].fault if meeting else None
