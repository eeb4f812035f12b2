"""Rules of the input `report`, under `fail-if`: what must not be, one a line.

accuracy < 0.9           a number
val_loss > base + 2 %    the base branch's, and a margin
f1 drops                 below the base branch's by more than noise; or `rises`
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Comparator(StrEnum):
    """How a metric must not compare."""

    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="
    DROPS = "drops"
    RISES = "rises"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Args:
        text: the rule as written.
        metric: name of the metric, or place and name, or a pattern as in a shell.
        comparator: how the metric must not compare.
        number: what it is compared with; beside the base branch the margin.
        is_beside_base: whether it is compared with the base branch's.
        is_share: whether the margin is a part of the base branch's value.
    """

    text: str
    metric: str
    comparator: Comparator
    number: float = 0.0
    is_beside_base: bool = False
    is_share: bool = False

    @property
    def needs_base(self) -> bool:
        """Whether it can't be judged without a run of the base branch."""
        return self.is_beside_base or self.comparator in (Comparator.DROPS, Comparator.RISES)

    def limit(self, base: float) -> float:
        """What the metric is compared with.

        Args:
            base: value of the base branch.
        """
        if not self.is_beside_base:
            return self.number
        return base + self.number * (abs(base) if self.is_share else 1)


def parse(value: Any) -> tuple[tuple[Rule, ...], list[str]]:
    """Reads the rules.

    Args:
        value: lines of text, or a list of such; None: there are none.

    Returns:
        The rules, and what is wrong with the others, each in words for the user.
    """
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        return (), ["`fail-if` must be rules, one a line, e.g. `accuracy < 0.9`"]
    lines = [line.partition(" #")[0].strip() for text in texts for line in text.splitlines()]
    given = [line for line in lines if line and not line.startswith("#")]
    found = {line: _rule(line) for line in given}
    problems = [
        f"`fail-if: {line}` can't be read: must be like {_EXAMPLES}" for line, rule in found.items() if not rule
    ]
    return tuple(rule for rule in found.values() if rule), problems


_EXAMPLES = "`accuracy < 0.9`, `val_loss > base + 2 %` or `f1 drops`"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMPARISON = re.compile(
    rf"(?P<metric>[^<>=]*[^<>=\s])\s*(?P<comparator><=|>=|<|>)\s*"
    rf"(?:(?P<number>{_NUMBER})|base(?:\s*(?P<sign>[-+])\s*(?P<margin>{_NUMBER})\s*(?P<share>%)?)?)"
)
_CHANGE = re.compile(r"(?P<metric>[^<>=]*[^<>=\s])\s+(?P<comparator>drops|rises)")


def _rule(line: str) -> Rule | None:
    if change := _CHANGE.fullmatch(line):
        return Rule(text=line, metric=_name(change["metric"]), comparator=Comparator(change["comparator"]))
    found = _COMPARISON.fullmatch(line)
    if found is None:
        return None
    margin = float(f"{found['sign'] or ''}1") * float(found["margin"] or 0)
    number = float(found["number"] or 0) if found["number"] else margin / (100 if found["share"] else 1)
    if not math.isfinite(number):
        return None
    return Rule(
        text=line,
        metric=_name(found["metric"]),
        comparator=Comparator(found["comparator"]),
        number=number,
        is_beside_base=not found["number"],
        is_share=bool(found["share"]),
    )


def _name(written: str) -> str:
    quoted = re.fullmatch(r"""(["'`])(.+)\1""", written)
    return quoted[2] if quoted else written
