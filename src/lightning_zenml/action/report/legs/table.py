"""The comment of several legs: who has come how far, with which parameters and metrics, and which is best."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lightning_zenml.action.report.legs.record import Leg, line_of
from lightning_zenml.action.report.model import State
from lightning_zenml.action.report.render import COMMENT_LIMIT, rendered

_FAILURES = 5
_QUIET = frozenset({State.COMPLETED, State.STARTING, State.RUNNING})


@dataclass(frozen=True, kw_only=True)
class Table:
    """What the template shows.

    Args:
        legs: the rows.
        parameters: names of the columns of parameters.
        metrics: names of the columns of metrics.
        best: name of the best leg; '' where none is, yet.
        judged: name of the metric that it is best by.
        states: number of legs of each status, those that have ended well last.
        hidden: number of legs that there is no room for.
        cost: US dollars that all have cost so far.
        failures: legs that have failed, with the reason.
        bases: names of the branches with which metrics are compared.
    """

    legs: tuple[Leg, ...]
    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    best: str
    judged: str
    states: tuple[tuple[str, int], ...]
    hidden: int
    cost: float | None
    failures: tuple[Leg, ...]
    bases: tuple[str, ...]


def comment(legs: Sequence[Leg], marker: str, key: str, workflow_run_url: str | None) -> str:
    """The comment: begins with the marker, holds the legs for whoever writes next, and fits GitHub's limit.

    Args:
        legs: all legs that are known, in any order.
        marker: first line of the comment.
        key: what the legs share.
        workflow_run_url: page of the workflow run.
    """
    legs = sorted(legs, key=lambda leg: _natural(leg.name))
    best, judged = _best(legs)
    body = ""
    for known in _ever_shorter(legs):
        head = f"{marker}\n{line_of(known)}"
        for rows in (len(known), 100, 30, 10):
            table = _table(known, rows, best, judged)
            body = rendered("legs.md.j2", marker=head, table=table, key=key, workflow_run_url=workflow_run_url)
            if len(body) <= COMMENT_LIMIT:
                return body
    return body


def _ever_shorter(legs: list[Leg]) -> Iterator[list[Leg]]:
    """A leg is never left out of what the comment holds: its state counts more than what it measured."""
    yield legs
    yield [replace(leg, message=leg.message[:80], metrics=leg.metrics[:2]) for leg in legs]
    yield [replace(leg, message="", metrics=leg.metrics[:1], page="", parameters=()) for leg in legs]


def _table(legs: list[Leg], rows: int, best: str, judged: str) -> Table:
    costs = [leg.cost for leg in legs if leg.cost is not None]
    counted = Counter(leg.status for leg in legs)
    return Table(
        legs=_shown(legs, rows, best),
        parameters=tuple(dict.fromkeys(name for leg in legs for name, _ in leg.parameters)),
        metrics=tuple(dict.fromkeys(metric.name for leg in legs for metric in leg.metrics))[:6],
        best=best,
        judged=judged,
        states=tuple(sorted(counted.items(), key=lambda item: (item[0] in _QUIET, item[0]))),
        hidden=max(len(legs) - rows, 0),
        cost=math.fsum(costs) if costs else None,
        failures=tuple(leg for leg in legs if leg.message)[:_FAILURES],
        bases=tuple(
            dict.fromkeys(leg.base_branch for leg in legs if any(metric.base is not None for metric in leg.metrics))
        )[:_FAILURES],
    )


def _shown(legs: list[Leg], rows: int, best: str) -> tuple[Leg, ...]:
    """As many as there is room for, in their order: rather the best, and those that failed or still run."""
    ranked = sorted(range(len(legs)), key=lambda at: (legs[at].name != best, legs[at].state == State.COMPLETED))
    kept = set(ranked[:rows])
    return tuple(leg for at, leg in enumerate(legs) if at in kept)


def _best(legs: list[Leg]) -> tuple[str, str]:
    """The leg that is best by the first metric by which completed ones differ; both '' where there is none."""
    completed = [leg for leg in legs if leg.status == State.COMPLETED]
    metrics = [metric for leg in completed for metric in leg.metrics if metric.better]
    for name, better in dict.fromkeys((metric.name, metric.better) for metric in metrics):
        values = {
            leg.name: metric.value
            for leg in completed
            for metric in leg.metrics
            if (metric.name, metric.better) == (name, better) and math.isfinite(metric.value)
        }
        if len(set(values.values())) > 1:
            best = (max if better == "higher" else min)(values.values())
            return next(leg for leg, value in values.items() if value == best), name
    return "", ""


def _natural(name: str) -> list[tuple[int, float, str]]:
    """Sorts `lr=0.1` before `lr=10`."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part), "") if part[0].isdecimal() else (1, 0.0, part) for part in parts]
