"""Curves: in what was logged, beside the base branch's, as text and drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.report import BaseReport, CurveReport, Report, RunReport, State, render
from lightning_zenml.action.report.mermaid import chart
from lightning_zenml.action.report.metrics import ReportSettings, compare, rows
from lightning_zenml.action.report.metrics.curves import Curve
from lightning_zenml.action.report.metrics.drawn import MOST_POINTS, drawn
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.zenml_api.curves import key_of
from lightning_zenml.zenml_api.models import Artifact, Run, Step

NAN = float("nan")
RUN = Run(id="1", name="r", status="completed", pipeline="p", url="u")


def logged(settings: ReportSettings | None = None, **metadata: Any) -> Logged:
    step = Step(name="train", status="completed", metadata=metadata)
    return Logged.of(RUN, [step], [], {}, settings or ReportSettings())


def points(found: Logged) -> dict[tuple[str, str], tuple[tuple[float, float], ...]]:
    return {(curve.name, curve.axis): curve.points for curve in found.curves}


def test_curves_are_found_in_every_way_in_which_they_are_logged() -> None:
    found = logged(
        val_loss=[0.9, 0.5, 0.4],
        by_epoch={"10": 3, "2": 1, "9": 2},
        history=[
            {"loss": 2.0, "epoch": 0.5, "step": 50},
            {"loss": 1.5, "epoch": 1.0, "step": 100, "note": "x"},
            {"eval_loss": 1.7, "epoch": 1.0, "step": 100},
            {"eval_loss": 1.4, "epoch": 2.0, "step": 200},
        ],
        loss=0.25,
        step=200,
        nested={"auc": [0.5, 0.75]},
        **{key_of("loss", "step"): {"100": 0.5, "200": 0.25}, key_of("by_epoch", ""): {"1": 7, "2": 8}},
    )
    assert points(found) == {
        ("val_loss", ""): ((1, 0.9), (2, 0.5), (3, 0.4)),
        ("by_epoch", ""): ((2, 1), (9, 2), (10, 3)),
        ("history.loss", "epoch"): ((0.5, 2.0), (1.0, 1.5)),
        ("history.eval_loss", "epoch"): ((1.0, 1.7), (2.0, 1.4)),
        ("nested.auc", ""): ((1, 0.5), (2, 0.75)),
        ("loss", "step"): ((100, 0.5), (200, 0.25)),
    }


@pytest.mark.parametrize(
    "value",
    [[], [1], ["a", 1], ["1", "2"], [True, False], [[1, 2], [3]], {"1": 2}, {"a": 1, "2": 3}, {"1": "x", "2": 3}],
)
def test_what_is_no_curve(value: Any) -> None:
    assert logged(value=value).curves == ()


def test_what_zenml_says_of_an_artifact_and_seeds_are_no_curves() -> None:
    artifact = Artifact(name="x", version="1", type="t", uri="u", url="u", metadata={"shape": [2, 3], "f1": [0.1, 0.2]})
    settings = ReportSettings(seeds=("f1",))
    assert Logged.of(RUN, [], [artifact], {}, settings).curves == ()


def test_a_curve_with_gaps_ends_with_what_was_logged_last() -> None:
    kept = {key: {"100": 3, "200": 2} for key in (key_of("loss", "step"), key_of("auc", ""))}
    found = logged(loss=0.1, auc=0.9, step=700, **kept)
    assert [curve.points[-1] for curve in found.curves] == [(700, 0.1), (300, 0.9)]


def test_null_is_no_number_in_a_curve() -> None:
    (curve,) = logged(loss=[1, None, 0.5]).curves
    assert str(curve.points) == "((1.0, 1.0), (2.0, nan), (3.0, 0.5))"


def test_last_and_best_are_metrics_for_rules_and_not_for_the_table() -> None:
    found = logged(
        val_loss=[0.9, 0.4, 0.5], rows=[3, 4], acc={"1": 0.5, "2": 0.75}, **{key_of("f1", ""): {"1": 0, "2": 1}}
    )
    told = {metric.name: metric.values[0] for metric in found.metrics}
    assert told == {
        "val_loss": 0.5,
        "val_loss.best": 0.4,
        "rows": 4,
        "acc": 0.75,
        "acc.best": 0.75,
        "f1": 1,
        "f1.best": 1,
        "acc.1": 0.5,
        "acc.2": 0.75,
    }
    compared = compare(found.metrics, [], ReportSettings())
    assert rows(compared, ReportSettings()) == ()
    settings, _ = ReportSettings.from_yaml({"metrics": {"val_loss.best": "lower"}})
    assert [row.name for row in rows(compared, settings)] == ["val_loss.best"]


def curve(values: Sequence[float], name: str = "loss", start: float = 1, step: float = 1, axis: str = "epoch") -> Curve:
    found = tuple((start + step * at, value) for at, value in enumerate(values))
    return Curve(name=name, kind="step", place="train", axis=axis, points=found)


def beside(own: Curve, base: Curve | None = None, settings: ReportSettings | None = None) -> CurveReport:
    (report,) = drawn([own], [base] if base else [], settings or ReportSettings())
    return report


def test_a_short_curve_is_drawn_point_by_point_beside_the_base_branch_s() -> None:
    report = beside(curve([4, 2, 3]), curve([5, 4, 3, 2, 1.5]))
    assert report.own.values == (4, 2, 3, 3, 3)
    assert report.base
    assert report.base.values == (5, 4, 3, 2, 1.5)
    assert (report.own.final, report.own.best, report.own.best_at) == (3, 2, 2)
    assert chart(report) == (
        '%%{init: {"themeVariables": {"xyChart": '
        '{"backgroundColor": "transparent", "plotColorPalette": "#8c959f, #218bff"}}}}%%\n'
        "xychart-beta\n"
        '  title "loss"\n'
        '  x-axis "epoch" 1 --> 5\n'
        "  y-axis 1.325 --> 5.175\n"
        "  line [5, 4, 3, 2, 1.5]\n"
        "  line [4, 2, 3, 3, 3]"
    )


@pytest.mark.parametrize(
    ("number", "start", "step"),
    [(60, 1, 1), (61, 1, 1), (1_000, 0, 50), (100_000, 1, 1), (30, 0.1, 0.1), (500, 0, 0.01)],
)
def test_a_long_curve_is_thinned(number: int, start: float, step: float) -> None:
    report = beside(curve([1 / (at + 1) for at in range(number)], start=start, step=step))
    values = report.own.values
    assert number / 2 < len(values) <= MOST_POINTS + 1 or MOST_POINTS / 2 < len(values) <= MOST_POINTS + 1
    assert values[0] > values[-1]
    # As Mermaid counts: it adds up, and leaves out what is beyond the end.
    end, at, places = report.start + report.step * (len(values) - 1), report.start, 0
    while at <= end:
        at, places = at + report.step, places + 1
    assert places == len(values)


def test_a_line_of_text_says_the_same() -> None:
    falling, rising = curve([5, 4, 3, 2, 1], "val_loss"), curve([1, 2, 3, 4, 9], "val_loss")
    run = RunReport(
        run_name="r",
        curves=drawn([falling, curve([3, 3], "rows", axis="")], [rising], ReportSettings()),
        base=BaseReport(branch="main", run_name="b"),
    )
    report = Report(state=State.COMPLETED, pipeline="p", runs=(run,))
    comment, summary = render.comment(report, "m"), render.summary(report)
    for text in (comment, summary):
        assert "| <code>val&#95;loss</code> | step train | this run | ▅▄▃▂▁ | 1 | 1 at epoch 5 |" in text
        assert "| | | <code>main</code> | ▁▂▃▄█ | 9 | 1 at epoch 1 |" in text
        assert "| <code>rows</code> | step train | this run | ▄▄ | 3 |  |" in text
    assert (comment.count("xychart-beta"), summary.count("xychart-beta")) == (1, 2), "rows: neither is better"
    named, _ = ReportSettings.from_yaml({"metrics": {"rows": "neutral"}, "exclude": "*"})
    (only,) = drawn([falling, curve([3, 3], "rows")], [], named)
    assert (only.name, only.is_chosen, only.base) == ("rows", True, None)


def test_a_curve_that_diverged_is_drawn_as_far_as_it_goes() -> None:
    report = beside(curve([1, 0.5, NAN, NAN]))
    assert report.own.values == (1, 0.5, 0.5, 0.5)
    assert str(report.own.final) == "nan"
    assert report.own.best_at == 2
    nothing = beside(curve([NAN, NAN]))
    assert (nothing.own.values, nothing.own.best, chart(nothing)) == ((), None, None)
    assert chart(beside(curve([1e300, 1]))) is None
    assert chart(beside(curve([1, 2], start=1e300))) is None


@given(st.lists(st.tuples(st.floats(), st.floats()), min_size=2, max_size=80), st.text(max_size=9))
def test_whatever_was_logged_is_drawn_or_not(values: list[tuple[float, float]], name: str) -> None:
    found = logged(**{name or "x": {str(when): value for when, value in values}})
    for report in drawn(found.curves, found.curves, ReportSettings()):
        text = chart(report)
        number = r"-?\d+(\.\d+)?"
        assert text is None or re.fullmatch(
            rf'%%.*%%\nxychart-beta\n  title "[\w .+-]+"\n  x-axis "time" {number} --> {number}\n'
            rf"  y-axis {number} --> {number}(\n  line \[{number}(, {number})*\]){{2}}",
            text,
        )
        assert len(text or "") < 50_000 / 10


def test_many_long_curves_fit() -> None:
    many = [curve([0.123456789] * 5_000, f"loss_{number}") for number in range(100)]
    run = RunReport(run_name="r", curves=drawn(many, many, ReportSettings()), base=BaseReport(branch="m", run_name="b"))
    report = Report(state=State.COMPLETED, pipeline="p", runs=(run,) * 10)
    comment, summary = render.comment(report, "m"), render.summary(report)
    assert len(comment) <= render.COMMENT_LIMIT
    assert len(summary.encode()) <= render.SUMMARY_LIMIT
    assert summary.count("xychart-beta") == 300
    assert "Curves" in comment
