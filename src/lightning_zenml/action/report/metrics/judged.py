"""The rules of `fail-if`, judged by the metrics of the runs that have ended."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lightning_zenml.action.report import Outcome, RuleReport
from lightning_zenml.action.report.metrics.compared import Comparison
from lightning_zenml.action.report.metrics.rules import Comparator, Rule


@dataclass(frozen=True, kw_only=True)
class JudgedRun:
    """What rules are judged by.

    Args:
        name: name of the run.
        compared: its metrics, beside the base branch's.
        lacks: why nothing is known of a base branch, in words; '' where it is, though it may have no run.
    """

    name: str
    compared: Sequence[Comparison]
    lacks: str = ""


def judge(rules: Sequence[Rule], runs: Sequence[JudgedRun]) -> tuple[RuleReport, ...]:
    """Judges rules, each by all metrics that it stands for.

    Args:
        rules: the rules.
        runs: runs of the launch, all of which have ended.

    Returns:
        One for each rule: failed where one metric fails it, or where nothing tells whether it holds.
    """
    return tuple(_judged(rule, runs) for rule in rules)


def _judged(rule: Rule, runs: Sequence[JudgedRun]) -> RuleReport:
    found = [(run, one) for run in runs for one in run.compared if one.metric.matches(rule.metric)]
    if not found:
        return RuleReport(rule=rule.text, outcome=Outcome.FAILED, reason=_nothing_to_judge(rule, runs))
    judged = [
        (outcome, f"{reason} ({run.name})" if len(runs) > 1 else reason)
        for run, one in found
        for outcome, reason in [_by(rule, one, run)]
    ]
    outcome = next(one for one in (Outcome.FAILED, Outcome.OPEN, Outcome.PASSED) if one in dict(judged))
    return RuleReport(
        rule=rule.text, outcome=outcome, reason="; ".join(reason for one, reason in judged if one is outcome)[:_LONGEST]
    )


_LONGEST = 1_000
_OPERATORS: Mapping[Comparator, Callable[[float, float], bool]] = {
    Comparator.BELOW: operator.lt,
    Comparator.AT_MOST: operator.le,
    Comparator.ABOVE: operator.gt,
    Comparator.AT_LEAST: operator.ge,
}


def _by(rule: Rule, one: Comparison, run: JudgedRun) -> tuple[Outcome, str]:
    name = f"`{one.metric.name}` ({one.metric.source})"
    told = f"{name} is {_number(one.value)}"
    if not math.isfinite(one.value):
        return Outcome.FAILED, told
    if not rule.needs_base:
        return _outcome(_OPERATORS[rule.comparator](one.value, rule.number)), told
    if run.lacks:
        return Outcome.FAILED, f"{told}; {run.lacks}"
    if one.base_value is None or not math.isfinite(one.base_value):
        return Outcome.OPEN, f"{told}; the base branch has no completed run with this metric yet"
    if rule.is_beside_base:
        limit = rule.limit(one.base_value)
        beside = f"that of the base branch {_number(one.base_value)}, so the limit is {_number(limit)}"
        return _outcome(_OPERATORS[rule.comparator](one.value, limit)), f"{told}, {beside}"
    beside = f"that of the base branch {_number(one.base_value)}"
    if one.noise is None and not one.is_judged_alone:
        return Outcome.OPEN, f"{told}, {beside}; a second run there will tell how much of that is noise"
    noise = "" if one.noise is None else f", with noise of ±{one.noise:.2g}"
    wanted = -1 if rule.comparator is Comparator.DROPS else 1
    return _outcome(one.change == wanted), f"{told}, {beside}{noise}"


def _outcome(is_true: bool) -> Outcome:
    return Outcome.FAILED if is_true else Outcome.PASSED


def _nothing_to_judge(rule: Rule, runs: Sequence[JudgedRun]) -> str:
    names = list(dict.fromkeys(_names(runs)))
    near = get_close_matches(rule.metric, names, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return f"no metric `{rule.metric}` was logged{hint}" if names else "no metric was logged, or ZenML tells none"


def _names(runs: Sequence[JudgedRun]) -> Iterator[str]:
    return (one.metric.name for run in runs for one in run.compared)


def _number(value: float) -> str:
    return f"{value:.6g}"
