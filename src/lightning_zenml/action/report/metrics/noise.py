"""How far two groups of runs of the same code lie apart by chance: what is within that is no difference.

Student's interval for the difference of two means, with the scatter of both groups pooled; for one run beside several,
that is the prediction interval of the next run (G. J. Hahn and W. Q. Meeker, Statistical Intervals, Wiley 1991, chapter
4; https://www.itl.nist.gov/div898/handbook/eda/section3/eda353.htm). It supposes that the scatter is roughly normal,
and that of both groups the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from enum import StrEnum
from functools import cache

FALSE_ALARMS = 0.005
"""Part of the comparisons of equal runs that are called different, either way: half of the 1 % that is promised, which
is for scatter that isn't quite normal, and for luck."""


class Centre(StrEnum):
    """What stands for several runs."""

    MEAN = "mean"
    MEDIAN = "median"

    def of(self, values: Sequence[float]) -> float:
        """The centre of at least one number."""
        if len(set(values)) == 1:
            return values[0]
        return statistics.median(values) if self is Centre.MEDIAN else _mean(values)


def half_width(own: Sequence[float], base: Sequence[float], centre: Centre) -> float | None:
    """How far the centres of two groups may lie apart by chance.

    Args:
        own: values of the runs that are judged.
        base: values of the runs that they are judged by.
        centre: what stands for each group.

    Returns:
        The distance; None where the scatter can't be known, as no group has two values.
    """
    freedom = len(own) + len(base) - 2
    if not own or not base or freedom < 1:
        return None
    spread = math.sqrt((_squares(own) + _squares(base)) / freedom)
    uncertainty = math.sqrt(_variance(len(own), centre) + _variance(len(base), centre))
    width = student(1 - FALSE_ALARMS / 2, freedom) * spread * uncertainty
    # Of numbers that are too large to be squared, nothing is known.
    return math.inf if math.isnan(width) else width


@cache
def student(share: float, freedom: int) -> float:
    """Quantile of Student's t-distribution.

    Args:
        share: part of the distribution that lies below, above 0.5.
        freedom: degrees of freedom, a whole number.
    """
    below, above = 0.0, 1.0
    while _share_below(above, freedom) < share:
        above *= 2
    for _ in range(80):
        middle = (below + above) / 2
        below, above = (middle, above) if _share_below(middle, freedom) < share else (below, middle)
    return above


def _share_below(t: float, freedom: int) -> float:
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4, for t above 0."""
    angle = math.atan2(t, math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for number in range(1 + odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * number / (number + 1)
    inner = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inner) / 2


def _squares(values: Sequence[float]) -> float:
    distances = [value - _mean(values) for value in values]
    # Not by a power, which raises where a number is too large.
    return sum(distance * distance for distance in distances)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(value / len(values) for value in values)


def _variance(number: int, centre: Centre) -> float:
    """Of the centre of so many normal values whose own variance is 1; of a median nearly, as is known for many."""
    return 1 / number if centre is Centre.MEAN else (math.pi / 2) / (number - 1 + math.pi / 2)
