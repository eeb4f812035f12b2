"""What a report tells of a run's numbers: metrics, curves, rules, and what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a metric compares with the base branch's."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NOISE = "noise"


class Outcome(StrEnum):
    """What came of a rule of `fail-if`; open: there is nothing yet to judge it by."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class MetricReport:
    """A metric beside the base branch's.

    Args:
        name: name as logged.
        source: what it was logged for.
        value: its value; that of several runs or seeds is their centre.
        base: its value on the base branch.
        verdict: how the two compare; None: nobody can say.
        noise: how far the two may lie apart by chance; None: that isn't known.
        own_runs: number of runs, or seeds, behind `value`.
        base_runs: number of those behind `base`.
        better: which value is the better one: `higher`, `lower`, or '' where nobody says.
    """

    name: str
    source: str
    value: float
    base: float | None = None
    verdict: Verdict | None = None
    noise: float | None = None
    own_runs: int = 1
    base_runs: int = 1
    better: str = ""


@dataclass(frozen=True, kw_only=True)
class CourseReport:
    """How one run's curve went.

    Args:
        values: values at equal distances, to be drawn; none where they can't be.
        final: its last value.
        best: its best value; None where nobody knows which is better.
        best_at: when it had that.
        end: when it ended.
    """

    values: tuple[float, ...]
    final: float
    best: float | None = None
    best_at: float | None = None
    end: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CurveReport:
    """A number that was logged for each epoch or step, beside the base branch's.

    Args:
        name: name as logged.
        source: what it was logged for.
        axis: what its values are counted by, e.g. `epoch`; '' where nobody said.
        start: epoch or step of the first value that is drawn.
        step: distance of the values that are drawn.
        own: how it went.
        base: how it went in the base branch's last run; None: it is new.
        is_chosen: whether it is drawn in a comment, too: as settings name it, or its name says what is better.
    """

    name: str
    source: str
    axis: str
    start: float
    step: float
    own: CourseReport
    base: CourseReport | None = None
    is_chosen: bool = True


@dataclass(frozen=True, kw_only=True)
class RuleReport:
    """A rule of `fail-if`, and why it came out as it did, in words."""

    rule: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, kw_only=True)
class BaseReport:
    """The runs that metrics are compared with; without a name there was none yet.

    Args:
        branch: name of the base branch.
        run_name: name of the branch's last completed run.
        run_url: page of that run in ZenML.
        commit_sha: hash of the commit of that run.
        centre: what stands for several runs: `mean` or `median`; '' where it is one.
        runs: number of runs.
        wanted: number of runs that was asked for.
        age: seconds since that run ended.
        commits: number of commits since that run's; None where GitHub doesn't say.
        is_stale: whether that is too old, or too many.
    """

    branch: str
    run_name: str | None = None
    run_url: str | None = None
    commit_sha: str | None = None
    centre: str = ""
    runs: int = 1
    wanted: int = 1
    age: float | None = None
    commits: int | None = None
    is_stale: bool = False
