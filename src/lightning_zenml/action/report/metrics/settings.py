"""The input `report`, read and checked: what is told of metrics, what they are compared with, and what is to fail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lightning_zenml.action.report.metrics import rules
from lightning_zenml.action.report.metrics.directions import Direction
from lightning_zenml.action.report.metrics.noise import Centre
from lightning_zenml.action.report.metrics.rules import Rule

MOST_RUNS = 50
"""Runs of the base branch: each costs ZenML some requests."""
_KEYS = ("metrics", "exclude", "base", "baseline", "seeds", "stale-days", "stale-commits", "fail-if")


@dataclass(frozen=True)
class BaselineChoice:
    """What a run is compared with: so many completed runs of the base branch, the last ones, and their centre."""

    runs: int = 1
    centre: Centre = Centre.MEAN

    @classmethod
    def parse(cls, value: Any) -> BaselineChoice | None:
        """Reads `last`, `last-5` or `median-5`; None where it is none of these."""
        if value == "last":
            return cls()
        found = re.fullmatch(r"(last|median)-(\d{1,3})", value) if isinstance(value, str) else None
        if found is None or not 2 <= int(found[2]) <= MOST_RUNS:
            return None
        return cls(int(found[2]), Centre.MEDIAN if found[1] == "median" else Centre.MEAN)


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """The input `report`.

    Patterns are those of a shell (`val_*`) and stand for a metric's name, or place and name (`train.loss`).

    Args:
        directions: which value is better, by pattern of metrics; the first that matches counts.
        exclude: patterns of metrics that are not shown, unless `directions` names them.
        base: name of the branch to compare with; None: the pull request's base, else the default branch.
        baseline: which of that branch's runs are compared with.
        seeds: patterns of lists that hold a number for each seed.
        has_runs_of_seeds: whether the runs that a command makes of one pipeline differ by nothing but their seeds.
        stale_days: days after which the runs that are compared with are stale.
        stale_commits: commits after which the runs that are compared with are stale.
        rules: what must not be.
    """

    directions: Mapping[str, Direction] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    base: str | None = None
    baseline: BaselineChoice = BaselineChoice()
    seeds: tuple[str, ...] = ()
    has_runs_of_seeds: bool = False
    stale_days: float = 30
    stale_commits: float = 100
    rules: tuple[Rule, ...] = ()

    @classmethod
    def from_yaml(cls, value: Mapping[str, Any]) -> tuple[ReportSettings, list[str]]:
        """Reads the parsed input.

        Args:
            value: mapping with the keys that docs/metrics.md has.

        Returns:
            The settings, and what is wrong with the input, each in words for the user.
        """
        problems = [_unknown_key(key) for key in value if key not in _KEYS]
        base, seeds = value.get("base"), value.get("seeds")
        directions = _directions(value.get("metrics"), problems)
        of_names = '`exclude` must be a list of metric names, e.g. `["*_seconds"]`'
        exclude = _patterns(value.get("exclude"), of_names, problems)
        if base is not None and not (isinstance(base, str) and base.strip()):
            problems.append("`base` must be the name of a branch")
            base = None
        baseline = BaselineChoice.parse(value.get("baseline") or "last")
        if baseline is None:
            several = f"`last-5` or `median-5`, with a number from 2 to {MOST_RUNS}"
            problems.append(f"`baseline: {value['baseline']}` is not allowed: must be `last`, or {several}")
        of_lists = "`seeds` must be `runs`, or a list of the metrics that have a number for each seed"
        stale = {key: _limit(key, value.get(key), problems) for key in ("stale-days", "stale-commits")}
        rules_found, wrong_rules = rules.parse(value.get("fail-if"))
        settings = cls(
            directions=directions,
            exclude=exclude,
            base=base,
            baseline=baseline or BaselineChoice(),
            seeds=() if seeds == "runs" else _patterns(seeds, of_lists, problems),
            has_runs_of_seeds=seeds == "runs",
            rules=rules_found,
            **{key.replace("-", "_"): limit for key, limit in stale.items() if limit is not None},
        )
        return settings, problems + wrong_rules


_DIRECTIONS = "`higher`, `lower` or `neutral`"


def _directions(value: Any, problems: list[str]) -> dict[str, Direction]:
    if not isinstance(value, dict):
        if value is not None:
            problems.append(f"`metrics` must be a mapping of metric names to {_DIRECTIONS}")
        return {}
    for pattern, direction in value.items():
        if direction not in tuple(Direction):
            problems.append(f"`metrics: {pattern}: {direction}` is not allowed: must be {_DIRECTIONS}")
    return {str(pattern): Direction(one) for pattern, one in value.items() if one in tuple(Direction)}


def _patterns(value: Any, problem: str, problems: list[str]) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value or []
    if isinstance(patterns, list) and all(isinstance(pattern, str) for pattern in patterns):
        return tuple(patterns)
    problems.append(problem)
    return ()


def _limit(key: str, value: Any, problems: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        problems.append(f"`{key}: {value}` is not allowed: must be a number")
        return None
    return value


def _unknown_key(key: Any) -> str:
    near = get_close_matches(str(key), _KEYS, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"has no key `{key}`: must be " + ", ".join(f"`{name}`" for name in _KEYS[:-1]) + f" or `{_KEYS[-1]}`.{hint}"
