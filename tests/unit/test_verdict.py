"""Whether a difference is real, and which rules of `fail-if` it fails."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from lightning_zenml.action.report import BaseReport, Outcome, Report, RuleReport, RunReport, State, Verdict, render
from lightning_zenml.action.report.metrics import Comparison, Metric, ReportSettings, compare, rows
from lightning_zenml.action.report.metrics.baseline import Base
from lightning_zenml.action.report.metrics.collected import collect, places_of
from lightning_zenml.action.report.metrics.judged import JudgedRun, judge
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.action.report.metrics.measured import Measured, Measurements
from lightning_zenml.action.report.metrics.noise import Centre, half_width, student
from lightning_zenml.zenml_api.models import Run, Step

NAN = float("nan")
FIVE = (0.90, 0.91, 0.92, 0.91, 0.91)


@pytest.mark.parametrize(
    ("share", "freedom", "quantile"),
    # Abramowitz and Stegun, table 26.10.
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.995, 4, 4.604),
        (0.995, 9, 3.250),
        (0.995, 120, 2.617),
    ],
)
def test_student_is_that_of_the_tables(share: float, freedom: int, quantile: float) -> None:
    assert student(share, freedom) == pytest.approx(quantile, abs=5e-4)


def test_noise_is_less_with_more_runs_and_unknown_with_one() -> None:
    assert half_width([0.9], [0.91], Centre.MEAN) is None
    widths = [half_width([1.0], [0.0, 1.0] * times, Centre.MEAN) or 0.0 for times in (1, 2, 5, 20)]
    assert widths == sorted(widths, reverse=True)
    of_several = half_width([0.0, 1.0] * 5, [0.0, 1.0] * 5, Centre.MEAN)
    assert of_several is not None
    assert of_several < widths[2]
    assert half_width([0.5], FIVE, Centre.MEDIAN) == pytest.approx(half_width([0.5], FIVE, Centre.MEAN), rel=0.05)
    assert half_width([1e200], [1e200, -1e200, 1e300], Centre.MEAN) == float("inf")


def settings(**given: Any) -> ReportSettings:
    found, problems = ReportSettings.from_yaml({name.replace("_", "-"): value for name, value in given.items()})
    assert problems == []
    return found


def metric(name: str, *values: float) -> Metric:
    return Metric(name=name, kind="step", place="train", values=values)


def cell(own: Sequence[float], base: Sequence[float], name: str = "accuracy", baseline: str = "last-5") -> str:
    """The difference as the table has it, one base run for each value."""
    chosen = settings(baseline=baseline)
    shown = rows(compare([metric(name, *own)], [[metric(name, value)] for value in base], chosen), chosen)
    branch = BaseReport(branch="main", run_name="b")
    report = Report(state=State.COMPLETED, pipeline="p", runs=(RunReport(run_name="r", metrics=shown, base=branch),))
    (row,) = [line for line in render.comment(report, "m").splitlines() if f"<code>{name}</code>" in line]
    return row.rsplit("|", 2)[1].strip()


def test_within_noise_nothing_is_better_or_worse() -> None:
    assert cell([0.88], FIVE) == "↓ 0.03 (3.3 %) within noise (5 runs, ±0.043)"
    assert cell([0.80], FIVE) == "↓ 0.11 (12.1 %) 🔴 worse (5 runs, ±0.043)"
    assert cell([0.97], FIVE) == "↑ 0.06 (6.6 %) 🟢 better (5 runs, ±0.043)"
    assert cell([0.87, 0.88, 0.88], FIVE) == "↓ 0.0333 (3.7 %) 🔴 worse (3 against 5 runs, ±0.021)"
    assert cell([7], FIVE, "rows") == "↑ 6.09 (669.2 %) (5 runs, ±0.043)"
    assert cell([0.92], FIVE, "rows") == "↑ 0.01 (1.1 %) within noise (5 runs, ±0.043)"


def test_a_training_without_scatter_is_told_to_the_last_digit() -> None:
    assert cell([0.1], [0.1] * 5) == "= no change"
    assert cell([0.1001], [0.1] * 5) == "↑ 0.0001 (0.1 %) 🟢 better (5 runs, ±0)"


def test_of_one_run_nobody_knows_the_noise() -> None:
    assert cell([0.8], [0.9]) == "↓ 0.1 (11.1 %)"
    assert cell([0.8], [0.9], baseline="last") == "↓ 0.1 (11.1 %) 🔴 worse"
    assert cell([0.8], []) == "new"


def test_a_median_is_not_moved_by_one_run_that_went_wrong() -> None:
    assert cell([0.91], (*FIVE, 0.1), baseline="median-6") == "= no change"
    assert cell([0.91], (*FIVE, 0.1), baseline="last-6").startswith("↑ 0.135")


def test_a_base_run_that_diverged_says_nothing_of_the_others() -> None:
    assert cell([0.80], (*FIVE, NAN), baseline="last-6") == cell([0.80], FIVE)
    assert cell([NAN, 0.9], FIVE) == "no finite number any more 🔴 worse"
    assert cell([0.9], [NAN, NAN]) == "a finite number again 🟢 better"


def test_a_list_of_seeds_is_several_values() -> None:
    step = Step(name="train", status="completed", metadata={"f1": [0.5, 0.7], "loss": [3, 2, 1], "text": ["a"]})
    run = Run(id="1", name="r", status="completed", pipeline="p", url="u")
    (found,) = collect(places_of(run, [step], [], {}), seeds=["train.f1", "text"])
    assert found.values == (0.5, 0.7)
    chosen = settings(seeds="f1")
    (row,) = rows(compare([found], [[metric("f1", 0.5, 0.6, 0.7)]], chosen), chosen)
    assert (row.value, row.base, row.own_runs, row.base_runs, row.verdict) == (0.6, 0.6, 2, 3, Verdict.SAME)


def judged(rules: str, *, base: Sequence[float] = (), baseline: str = "last-5", **values: float) -> list[RuleReport]:
    chosen = settings(fail_if=rules, baseline=baseline)
    own = [metric(name, value) for name, value in values.items()]
    before = [[metric(name, value) for name in values] for value in base]
    return list(judge(chosen.rules, [JudgedRun(name="r", compared=compare(own, before, chosen))]))


@pytest.mark.parametrize(
    ("rule", "value", "base", "outcome", "reason"),
    [
        ("m < 0.9", 0.89, (), "failed", "`m` (step train) is 0.89"),
        ("m < 0.9", 0.9, (), "passed", "`m` (step train) is 0.9"),
        ("m<=0.9", 0.9, (), "failed", "`m` (step train) is 0.9"),
        ("m >= -1e-3", 0, (), "failed", "`m` (step train) is 0"),
        ("train.m > .5", 0.6, (), "failed", "`m` (step train) is 0.6"),
        ("`m` > 1", 0.6, (), "passed", "`m` (step train) is 0.6"),
        ("m < 0.9", NAN, (), "failed", "`m` (step train) is nan"),
        ("m > base + 2 %", 0.52, (0.5,), "failed", "that of the base branch 0.5, so the limit is 0.51"),
        ("m > base+2%", 0.505, (0.5,), "passed", "the limit is 0.51"),
        ("m > base + 2 %", -0.48, (-0.5,), "failed", "the limit is -0.49"),
        ("m < base - 0.1", 0.35, (0.4, 0.6), "failed", "that of the base branch 0.5, so the limit is 0.4"),
        ("m > base", 0.5, (0.5,), "passed", "the limit is 0.5"),
        ("m > base + 2 %", 0.5, (), "open", "no completed run with this metric yet"),
        ("m > base + 2 %", 0.5, (NAN,), "open", "no completed run with this metric yet"),
        ("m drops", 0.80, FIVE, "failed", "that of the base branch 0.91, with noise of ±0.043"),
        ("m drops", 0.88, FIVE, "passed", "noise of ±0.043"),
        ("m drops", 0.97, FIVE, "passed", "noise of ±0.043"),
        ("m rises", 0.97, FIVE, "failed", "noise of ±0.043"),
        ("m drops", 0.80, (0.9,), "open", "a second run there will tell how much of that is noise"),
        ("m drops", NAN, FIVE, "failed", "is nan"),
    ],
)
def test_rules(rule: str, value: float, base: Sequence[float], outcome: str, reason: str) -> None:
    (report,) = judged(rule, base=base, m=value)
    assert (report.rule, report.outcome) == (rule, outcome)
    assert report.reason.endswith(reason)


def test_beside_a_single_run_that_was_asked_for_any_drop_is_one() -> None:
    assert [one.outcome for one in judged("m drops", base=[0.9], baseline="last", m=0.899)] == [Outcome.FAILED]
    assert [one.outcome for one in judged("m drops", base=[0.9], baseline="last", m=0.9)] == [Outcome.PASSED]


def test_a_rule_that_nothing_can_be_said_of_has_not_passed() -> None:
    reports = judged("acuracy < 0.9\n# a comment\n* < 1  # two\n\n", accuracy=0.95, loss=2)
    assert [(one.rule, one.outcome, one.reason) for one in reports] == [
        ("acuracy < 0.9", Outcome.FAILED, "no metric `acuracy` was logged; did you mean `accuracy`?"),
        ("* < 1", Outcome.FAILED, "`accuracy` (step train) is 0.95"),
    ]
    assert judge(settings(fail_if="m > 1").rules, [])[0].reason == "no metric was logged, or ZenML tells none"
    chosen = settings(fail_if="m drops")
    lacking = JudgedRun(name="r", compared=compare([metric("m", 1)], [], chosen), lacks="ZenML is away")
    (report,) = judge(chosen.rules, [lacking, lacking])
    assert (report.outcome, report.reason.split("; ")[1]) == (Outcome.FAILED, "ZenML is away (r)")


def test_what_is_excluded_from_the_table_is_judged_all_the_same() -> None:
    chosen = settings(fail_if=["size > 1"], exclude="*")
    compared = compare([metric("size", 2)], [], chosen)
    assert rows(compared, chosen) == ()
    assert judge(chosen.rules, [JudgedRun(name="r", compared=compared)])[0].outcome is Outcome.FAILED


def test_all_that_is_wrong_with_rules_is_told_at_once() -> None:
    wrong = ["m = 3", "m", "< 3", "m < ", "m < nan", "m < base * 2", "m < bas", "m is worse", "m < 1e999", "m < 1 < 2"]
    _, problems = ReportSettings.from_yaml(
        {"fail-if": "\n".join(wrong), "baseline": "best", "seeds": 3, "stale-days": "x", "stale-commits": -1}
    )
    likes = "must be like `accuracy < 0.9`, `val_loss > base + 2 %` or `f1 drops`"
    assert problems == [
        "`baseline: best` is not allowed: must be `last`, or `last-5` or `median-5`, with a number from 2 to 50",
        "`stale-days: x` is not allowed: must be a number",
        "`stale-commits: -1` is not allowed: must be a number",
        "`seeds` must be `runs`, or a list of the metrics that have a number for each seed",
        *(f"`fail-if: {line.strip()}` can't be read: {likes}" for line in wrong),
    ]
    assert ReportSettings.from_yaml({"fail-if": {"a": 1}})[1] == [
        "`fail-if` must be rules, one a line, e.g. `accuracy < 0.9`"
    ]
    for baseline in ("last-1", "last-51", "median", "median-5 ", 5, ["last"]):
        assert ReportSettings.from_yaml({"baseline": baseline})[1], baseline


ON_MAIN = "on <code>main</code> (<code>fedcba9</code>"


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"age": 7_000.0, "commits": 1}, f"the last completed run {ON_MAIN}, 1 hour old, 1 commit behind)."),
        ({"age": 60.0}, f"the last completed run {ON_MAIN}, less than an hour old)."),
        ({"age": 4e6, "commits": 0}, f"the last completed run {ON_MAIN}, 46 days old, 0 commits behind)."),
        (
            {"age": 4e6, "is_stale": True},
            "⚠️ What this is compared with is stale. Run the workflow on ",
        ),
        ({"runs": 5, "centre": "median"}, "the last 5 completed runs on <code>main</code>, of which the newest is b ("),
        ({"runs": 5, "centre": "mean"}, "| <code>main</code> (mean of 5) | Difference |"),
        ({"runs": 1, "wanted": 5}, "There are no 5 yet: with 1, nobody can tell noise from a difference."),
        ({"runs": 3, "wanted": 5, "centre": "mean"}, "There are no 5 yet: with 3, less can be told from noise."),
    ],
)
def test_age_and_number_of_what_is_compared_with(base: dict[str, Any], words: str) -> None:
    report = BaseReport(branch="main", run_name="b", commit_sha="fedcba9876", **base)
    chosen = settings()
    shown = rows(compare([metric("f1", 1)], [[metric("f1", 1)]], chosen), chosen)
    run = RunReport(run_name="r", metrics=shown, base=report)
    assert words in render.comment(Report(state=State.COMPLETED, pipeline="p", runs=(run,)), "m")


def measured(*values: float, is_all: bool = True, lacks: str = "") -> tuple[dict[str, RunReport], dict[str, Measured]]:
    """One run of the same pipeline for each value, beside five of the base branch."""
    reports = {str(at): RunReport(run_name=f"r{at}", pipeline="p") for at, _ in enumerate(values)}
    base = Base(report=BaseReport(branch="main"), logged=tuple(Logged(metrics=(metric("m", one),)) for one in FIVE))
    return reports, {
        str(at): Measured(logged=Logged(metrics=(metric("m", value),)), base=base, is_all=is_all, lacks=lacks)
        for at, value in enumerate(values)
    }


def test_runs_of_one_pipeline_with_other_seeds_are_judged_together() -> None:
    together = Measurements(settings(seeds="runs", baseline="last-5", fail_if="m drops"))
    reports, each = measured(0.87, 0.88, 0.88)
    first, *others = together.added_to(reports, each)
    assert [(row.own_runs, row.verdict) for row in first.metrics] == [(3, None)], "m: neither is better"
    assert [report.metrics for report in others] == [(), ()]
    assert [(rule.outcome, rule.reason.split(",")[0]) for rule in together.judged(reports, each)] == [
        (Outcome.FAILED, "`m` (step train) is 0.876667")
    ]
    apart = Measurements(settings(baseline="last-5", fail_if="m drops"))
    assert [len(report.metrics) for report in apart.added_to(reports, each)] == [1, 1, 1]
    assert [rule.outcome for rule in apart.judged(reports, each)] == [Outcome.PASSED]


def test_what_is_not_known_to_be_all_is_not_judged() -> None:
    rules = Measurements(settings(fail_if="m < 0.9"))
    assert [rule.outcome for rule in rules.judged(*measured(0.95))] == [Outcome.PASSED]
    (rule,) = rules.judged(*measured(0.95, is_all=False))
    assert (rule.outcome, rule.reason) == (Outcome.FAILED, "no metric was logged, or ZenML tells none")
    (rule,) = Measurements(settings(fail_if="m drops")).judged(*measured(0.95, lacks="ZenML is away"))
    assert (rule.outcome, rule.reason) == (Outcome.FAILED, "`m` (step train) is 0.95; ZenML is away")


def of_1000(baseline: str, own: int, drop: float) -> list[Comparison]:
    """A thousand pull requests with so many runs each, beside as many base runs as are named."""
    numbers, chosen = random.Random(7), settings(baseline=baseline)

    def runs(number: int, mean: float) -> list[list[Metric]]:
        return [[metric("accuracy", numbers.gauss(mean, 0.1))] for _ in range(number)]

    found = []
    for _ in range(1_000):
        first, *others = runs(own, 1 - drop)
        found += compare(first, runs(chosen.baseline.runs, 1), chosen, together=others)
    return found


@pytest.mark.parametrize(("baseline", "own"), [("last-5", 1), ("median-5", 1), ("last-13", 13)])
def test_equal_runs_are_hardly_ever_called_different(baseline: str, own: int) -> None:
    assert sum(one.verdict is not Verdict.NOISE for one in of_1000(baseline, own, drop=0)) <= 10


def test_a_drop_of_two_standard_deviations_is_caught_with_thirteen_runs_each() -> None:
    assert sum(one.change < 0 for one in of_1000("last-13", 13, drop=0.2)) >= 950
