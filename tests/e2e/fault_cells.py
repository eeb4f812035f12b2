"""The matrix of faults: each call of a clean run of each shape x what goes wrong with it x when."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_runs import Shape
from localcloud.chaos import Fault, Position

RECORD = Path(__file__).with_name("recorded_calls.txt")
"""`shape service method route count` of each call of a clean run, the count of the run that made the fewest of them.

What a run makes only sometimes is in it, too.
"""

FAULTS: Mapping[str, Fault] = {
    "401": Fault.status(401),
    "403": Fault.status(403),
    "404": Fault.status(404),
    "429": Fault.status(429, retry_after="1"),
    "500": Fault.status(500),
    "503": Fault.status(503),
    "html": Fault.html(),
    "reset-before": Fault.reset(),
    "reset-after": Fault.reset(after=True),
    "cut": Fault.cut_short(),
    "empty-object": Fault.body("{}"),
    "empty-list": Fault.body("[]"),
}
"""What costs a run no time."""

SLOW_FAULTS: Mapping[str, Fault] = {
    "429-for-an-hour": Fault.status(429, retry_after="3600"),
    "hang": Fault.hang(45),
    "drip": Fault.slow_drip(0.5),
    "outage": Fault.away(15),
}
"""What makes a run wait."""

LONG_WAITS = frozenset({"hang", "outage"})
WAITS_IN_A_RUN = 3
"""Long waits for one service that a run may meet."""

ALL_FAULTS = {**FAULTS, **SLOW_FAULTS}

INSISTED_ON = frozenset({"github", "lightning", "zenml"})
"""Services of which one odd answer ends nothing. The artifact store is asked by the user's own step, which may fail."""

MAY_END_A_STEP = frozenset({"401", "403", "404", "429", "429-for-an-hour", "html", "cut", "empty-object", "empty-list"})
"""Faults of the artifact store that may end a step: behind one, a run may make none of the calls that were to come."""

TOGETHER = {"github": "lightning"}
"""Services that are at fault in the same run: what may end it would keep other calls from being made."""

Route = tuple[str, str, str]
"""Service, method, route."""


@dataclass(frozen=True)
class Cell:
    """One fault that one call of a run meets.

    Args:
        shape: of the run.
        service: whose call it is.
        method: of HTTP.
        route: see `localcloud.chaos.route_of`.
        nth: which of the calls of this route.
        fault: key of `ALL_FAULTS`.
        position: `first`, `middle` or `last`, in the clean run.
    """

    shape: Shape
    service: str
    method: str
    route: str
    nth: int
    fault: str
    position: Position = field(compare=False)

    def __str__(self) -> str:
        return f"{self.shape} {self.service} {self.method} {self.route} {self.position} {self.fault}"


def recorded(shape: Shape) -> Counter[Route]:
    """How often a clean run of the shape makes each call."""
    counts: Counter[Route] = Counter()
    for line in RECORD.read_text().splitlines():
        of, service, method, route, count = line.split(" ")
        if of == shape:
            counts[service, method, route] = int(count)
    return counts


def record(shape: Shape, counts: Mapping[Route, int]) -> None:
    """Adds the calls of a clean run to those that are recorded; one that it doesn't make may be made once at times."""
    calls = {one: recorded(one) for one in Shape}
    known = calls[shape]
    fewest = {call: min(counts.get(call, 1), known.get(call, count)) for call, count in {**counts, **known}.items()}
    calls[shape] = Counter(fewest)
    lines = [f"{one} {' '.join(route)} {count}" for one in Shape for route, count in sorted(calls[one].items())]
    RECORD.write_text("\n".join([*lines, ""]))


def cells() -> Iterator[Cell]:
    """The whole matrix. Of calls that a run shares with the sync one, other shapes have the last only."""
    in_sync = recorded(Shape.SYNC)
    for shape in Shape:
        for route, count in sorted(recorded(shape).items()):
            # Of two calls none is in the middle, of one that is the first none the last.
            positions = {position.of(count): position for position in reversed(Position)}
            if shape is not Shape.SYNC and route in in_sync:
                positions = {count: Position.LAST}
            for nth, position in sorted(positions.items()):
                for fault in ALL_FAULTS:
                    yield Cell(shape, *route, nth, fault, position)


def some(of: Sequence[Cell], count: int, seed: str) -> list[Cell]:
    """A slice of the matrix; each service has its turn."""
    chance = random.Random(seed)
    services = sorted({cell.service for cell in of})
    chance.shuffle(services)
    return [chance.choice([cell for cell in of if cell.service == services[i % len(services)]]) for i in range(count)]


def bundles(of: Iterable[Cell], size: int, seed: str) -> list[tuple[Cell, ...]]:
    """The cells in as few runs as can be; no run meets two faults of the same call, or more long waits than it bears.

    Args:
        of: cells.
        size: cells of one run at most.
        seed: of what comes together.
    """
    kinds: dict[tuple[Shape, str], list[list[Cell]]] = {}
    shuffled = list(of)
    random.Random(seed).shuffle(shuffled)
    for cell in shuffled:
        runs = kinds.setdefault((cell.shape, TOGETHER.get(cell.service, cell.service)), [])
        run = next((run for run in runs if len(run) < size and _bears(run, cell)), None)
        if run is None:
            runs.append(run := [])
        run.append(cell)
    return [tuple(run) for runs in kinds.values() for run in runs]


def _bears(run: Sequence[Cell], cell: Cell) -> bool:
    """Whether a cell can be tried in the run of others."""
    if (
        cell.service not in INSISTED_ON
        and cell.fault in MAY_END_A_STEP
        and any(one.fault in MAY_END_A_STEP for one in run)
    ):
        return False
    waits = [one for one in run if one.service == cell.service and one.fault in LONG_WAITS]
    same = [one for one in run if (one.service, one.method, one.route) == (cell.service, cell.method, cell.route)]
    return not same and not (cell.fault in LONG_WAITS and len(waits) >= WAITS_IN_A_RUN)


def some_of_each_call(of: Iterable[Cell], count: int, seed: str) -> list[Cell]:
    """A slice of the matrix with so many cells of each call of each shape, at most."""
    by_call: dict[tuple[Shape, str, str, str], list[Cell]] = {}
    for cell in of:
        by_call.setdefault((cell.shape, cell.service, cell.method, cell.route), []).append(cell)
    chance = random.Random(seed)
    chosen = [cell for same in by_call.values() for cell in chance.sample(same, min(count, len(same)))]
    chance.shuffle(chosen)
    return chosen
