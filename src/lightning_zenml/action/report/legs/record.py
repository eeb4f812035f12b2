"""The legs that a comment tells of, as it holds them itself: in a line that no page shows, for whoever writes next.

Legs write the same comment from jobs that know nothing of each other, and GitHub has no write that fails where somebody
else was faster. So each writer takes over what the comment says of the others.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lightning_zenml.action.report.model import State

FAILS_A_RULE = "failing a rule"
_LINE = re.compile(r"^<!-- lightning-zenml legs: ([A-Za-z0-9+/=]*) -->$", re.MULTILINE)
_MOST = 1_000_000
"""Bytes of what a line may hold: somebody else may have written it."""
MOST_LEGS = 256
"""As many jobs does GitHub make of a matrix (https://docs.github.com/actions/reference/limits)."""
MOST_METRICS = 6
_WORDS = 80
_MESSAGE = 300


@dataclass(frozen=True, kw_only=True)
class LegMetric:
    """A metric of a leg.

    Args:
        name: name as logged.
        value: its value.
        better: which value is the better one: `higher`, `lower`, or '' where nobody says.
        verdict: how it compares with the base branch's: a `Verdict`, or ''.
        base: its value on the base branch; None where it has none.
    """

    name: str
    value: float
    better: str = ""
    verdict: str = ""
    base: float | None = None


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg of a workflow run, as it was told last. No text of it is a secret: it is redacted before.

    Args:
        name: name of the leg, which no other leg has.
        state: a `State`.
        run_id: id of the workflow run.
        run_attempt: number of the attempt of that run.
        updated: seconds since 1970 when this was so.
        parameters: names and values of the matrix.
        metrics: metrics in the order in which they are shown.
        page: where to look at the run.
        cost: US dollars that it has cost so far.
        message: why it failed, in a sentence.
        base_branch: name of the branch with which its metrics are compared; '' where nothing is.
    """

    name: str
    state: str
    run_id: int
    run_attempt: int
    updated: float
    parameters: tuple[tuple[str, str], ...] = ()
    metrics: tuple[LegMetric, ...] = ()
    page: str = ""
    cost: float | None = None
    message: str = ""
    base_branch: str = ""

    @property
    def status(self) -> str:
        """Its state in words: one that is completed and yet has a message fails a rule."""
        return FAILS_A_RULE if self.state == State.COMPLETED and self.message else self.state

    @classmethod
    def from_json(cls, found: Any) -> Leg:
        """The way back from JSON.

        Args:
            found: what JSON has made of a leg.

        Raises:
            TypeError: if a field is missing, unknown, or of another kind.
            ValueError: likewise.
        """
        metrics = tuple(LegMetric(**metric) for metric in found["metrics"])
        parameters = tuple((str(name), str(value)) for name, value in found["parameters"])
        leg = cls(**{**found, "metrics": metrics, "parameters": parameters})
        measured = [number for metric in metrics for number in (metric.value, metric.base) if number is not None]
        numbers = (leg.run_id, leg.run_attempt, leg.updated, *measured)
        texts = (leg.name, leg.state, leg.page, leg.message, leg.base_branch, *(metric.name for metric in metrics))
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError("no number")
        if not all(isinstance(text, str) for text in texts) or not isinstance(leg.cost, int | float | None):
            raise TypeError("no text")
        return leg.shortened()

    def shortened(self) -> Leg:
        """The leg with as much of it as a row has room for."""
        return replace(
            self,
            name=self.name[:_WORDS],
            message=self.message[:_MESSAGE],
            base_branch=self.base_branch[:_WORDS],
            page=self.page if len(self.page) <= _MESSAGE else "",
            parameters=tuple((name[:_WORDS], value[:_WORDS]) for name, value in self.parameters[:MOST_METRICS]),
            metrics=tuple(replace(metric, name=metric.name[:_WORDS]) for metric in self.metrics[:MOST_METRICS]),
        )

    def is_newer_than(self, other: Leg) -> bool:
        """Whether this is the later word on the same leg."""
        return (self.run_attempt, self.updated) > (other.run_attempt, other.updated)


def line_of(legs: Iterable[Leg]) -> str:
    """The line of a comment that holds legs.

    Args:
        legs: the legs, of which no two have the same name.
    """
    text = json.dumps([asdict(leg) for leg in legs], separators=(",", ":"), ensure_ascii=False)
    packed = base64.b64encode(zlib.compress(text.encode(errors="replace"), 9)).decode()
    return f"<!-- lightning-zenml legs: {packed} -->"


def legs_in(body: str) -> dict[str, Leg]:
    """The legs that a comment holds, by name; what can't be read, as somebody has edited it, is left out.

    Args:
        body: Markdown of the comment.
    """
    found = _LINE.search(body)
    if found is None:
        return {}
    try:
        text = zlib.decompressobj().decompress(base64.b64decode(found[1], validate=True), _MOST)
        items = json.loads(text)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return {}
    legs = {}
    for item in items[:MOST_LEGS] if isinstance(items, list) else ():
        try:
            leg = Leg.from_json(item)
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
        legs[leg.name] = leg
    return legs
