"""How often equal runs are called different, and a real drop is noticed: `make bench-verdict`.

Runs are random numbers around one mean, judged by the code that judges those of a pull request. Each row draws its base
runs anew for each of so many pull requests: a team that compares with the same five runs for a month has good or bad
luck with all of them.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence

from lightning_zenml.action.report import Outcome, Verdict
from lightning_zenml.action.report.metrics import Comparison, Metric, ReportSettings, compare
from lightning_zenml.action.report.metrics.judged import JudgedRun, judge
from lightning_zenml.action.report.metrics.settings import MOST_RUNS

Draw = Callable[[random.Random], float]

NOISES: dict[str, Draw] = {
    "normal": lambda numbers: numbers.gauss(0, 1),
    "even": lambda numbers: numbers.uniform(-math.sqrt(3), math.sqrt(3)),
    "heavy tails": lambda numbers: numbers.choice((-1, 1)) * numbers.expovariate(math.sqrt(2)),
}
"""By name, each with a standard deviation of 1."""
CASES = (
    ("last-5", 1),
    ("last-10", 1),
    ("last-20", 1),
    ("last-50", 1),
    ("median-5", 1),
    ("last-5", 5),
    ("last-10", 10),
    ("last-13", 13),
    ("last-20", 8),
    ("last-50", 6),
    ("median-20", 20),
)
"""`baseline`, and number of the pull request's own runs."""
DROPS = (2, 3, 5, 7)
"""In standard deviations."""


def main() -> None:
    """Prints the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pulls", type=int, default=5_000, help="pull requests for each figure")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pull_requests, numbers = options.pulls, random.Random(options.seed)
    columns = "".join(f"{f'-{drop} SD':>9}" for drop in DROPS)
    print(f"{f'of {pull_requests:,} pull requests':28}{'called different':>18}{columns}")
    for noise, draw in NOISES.items():
        for baseline, own in CASES if noise == "normal" else CASES[:5]:
            settings, problems = ReportSettings.from_yaml({"baseline": baseline, "fail-if": "accuracy drops"})
            assert not problems
            equal = [_compared(settings, own, 0, draw, numbers) for _ in range(pull_requests)]
            alarms = sum(one.verdict in (Verdict.BETTER, Verdict.WORSE) for one in equal) / pull_requests
            caught = [
                sum(_fails(settings, _compared(settings, own, drop, draw, numbers)) for _ in range(pull_requests))
                for drop in DROPS
            ]
            name = f"{noise}, {baseline}, own {own}"
            print(f"{name:28}{alarms:>18.2%}{''.join(f'{one / pull_requests:>9.1%}' for one in caught)}")


def _compared(settings: ReportSettings, own: int, drop: float, draw: Draw, numbers: random.Random) -> Comparison:
    def runs(number: int, mean: float) -> Sequence[Sequence[Metric]]:
        return [
            [Metric(name="accuracy", kind="step", place="evaluate", values=(mean + draw(numbers),))]
            for _ in range(number)
        ]

    assert settings.baseline.runs <= MOST_RUNS
    first, *others = runs(own, 100 - drop)
    (compared,) = compare(first, runs(settings.baseline.runs, 100), settings, together=others)
    return compared


def _fails(settings: ReportSettings, compared: Comparison) -> bool:
    (rule,) = judge(settings.rules, [JudgedRun(name="run", compared=[compared])])
    return rule.outcome is Outcome.FAILED


if __name__ == "__main__":
    main()
