from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.event import Event
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.report import BaseReport, MetricReport, Report, RunReport, State, Verdict, render
from lightning_zenml.action.report.metrics import Metric, ReportSettings, compare, rows
from lightning_zenml.action.report.metrics.collected import collect, places_of
from lightning_zenml.action.report.metrics.directions import Direction, direction_by_name
from lightning_zenml.zenml_api.models import Artifact, Run, Step


def run(**metadata: Any) -> Run:
    return Run(id="1", name="r", status="completed", pipeline="p", url="u", metadata=metadata)


def artifact(name: str, **metadata: Any) -> Artifact:
    return Artifact(name=name, version="1", type="DataArtifact", uri="s3://x", url="u", metadata=metadata)


def metric(name: str, *values: float, place: str = "evaluate") -> Metric:
    return Metric(name=name, kind="step", place=place, values=values)


def shown(
    metrics: Sequence[Metric], base: Sequence[Metric] | None, settings: ReportSettings
) -> tuple[MetricReport, ...]:
    """What is told beside one run of the base branch, or none."""
    return rows(compare(metrics, [] if base is None else [base], settings), settings)


def test_numbers_are_found_wherever_they_were_logged() -> None:
    step = Step(name="train", status="completed", metadata={"loss": 0.5, "text": "x", "flag": True, "list": [1]})
    places = places_of(
        run(epochs=3, nested={"a": {"b": 2.5}}, github={"pull_request": 7}, lightning_start={"version": 1}),
        [step],
        [artifact("data", storage_size=12, rows=40)],
        {"digits": {"auc": 0.9, "infinite": float("inf"), "huge": 10**400}},
    )
    found = collect(places)
    told = {(one.kind, one.place, one.name): one.values[0] for one in found}
    assert told == {
        ("run", "", "epochs"): 3,
        ("run", "", "nested.a.b"): 2.5,
        ("model", "digits", "auc"): 0.9,
        ("model", "digits", "infinite"): float("inf"),
        ("step", "train", "loss"): 0.5,
        ("artifact", "data", "storage_size"): 12,
        ("artifact", "data", "rows"): 40,
    }


def test_what_zenml_says_of_an_artifact_is_shown_only_when_it_is_named() -> None:
    found = collect(places_of(run(), [], [artifact("data", storage_size=12, rows=40)], {}))
    assert [row.name for row in shown(found, None, ReportSettings())] == ["rows"]
    settings = ReportSettings(directions={"storage_size": Direction.LOWER})
    assert [row.name for row in shown(found, None, settings)] == ["storage_size", "rows"]


def test_better_and_worse_follow_the_direction() -> None:
    told = shown(
        [metric("accuracy", 0.9), metric("loss", 0.5), metric("rows", 7), metric("speed", 2), metric("f1", 1)],
        [metric("accuracy", 0.8), metric("loss", 0.4), metric("rows", 6), metric("speed", 3), metric("f1", 1)],
        ReportSettings(directions={"speed": Direction.LOWER, "f?": Direction.HIGHER}),
    )
    assert [(row.name, row.verdict) for row in told] == [
        ("speed", Verdict.BETTER),
        ("f1", Verdict.SAME),
        ("accuracy", Verdict.BETTER),
        ("loss", Verdict.WORSE),
        ("rows", None),
    ]


def test_what_is_named_stays_where_all_else_is_left_out() -> None:
    settings = ReportSettings(directions={"evaluate.*": Direction.NEUTRAL}, exclude=("*",))
    told = shown([metric("accuracy", 1, place="train"), metric("accuracy", 2)], None, settings)
    assert [(row.source, row.verdict) for row in told] == [("step evaluate", None)]


def test_a_step_that_was_renamed_is_still_compared() -> None:
    (row,) = shown([metric("loss", 2, place="fit")], [metric("loss", 1, place="train")], ReportSettings())
    assert row.base == 1
    ambiguous = [metric("loss", 1, place="a"), metric("loss", 2, place="b")]
    (row,) = shown([metric("loss", 2, place="fit")], ambiguous, ReportSettings())
    assert row.base is None
    assert row.verdict is None


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_accuracy", Direction.HIGHER),
        ("valLoss", Direction.LOWER),
        ("test/f1-macro", Direction.HIGHER),
        ("train.rmse", Direction.LOWER),
        *((name, Direction.HIGHER) for name in ("mAP", "mAP50-95", "AP50", "nDCG@10", "PSNR", "val/SSIM", "BLEU-4")),
        *((name, Direction.HIGHER) for name in ("rougeL", "rouge1", "pass@1", "pass_at_10", "hit_rate", "R2", "top1")),
        *((name, Direction.HIGHER) for name in ("testRecall@5", "roc_auc", "log_likelihood", "tokens_per_second")),
        *((name, Direction.LOWER) for name in ("perplexity", "p95_latency_ms", "WER", "FID", "NLL", "error_rate")),
        *((name, Direction.LOWER) for name in ("negative_log_likelihood", "false_positive_rate", "valRMSE", "HD95")),
        *((name, Direction.NEUTRAL) for name in ("learning_rate", "epoch", "rows", "passed", "fidelity", "lossless")),
        *(
            (name, Direction.HIGHER)
            for name in ("neg_mean_squared_error", "R²", "F0.5", "spearmanr", "tokens/s", "HR@10")
        ),
        *((name, Direction.LOWER) for name in ("top1_err", "dice_loss", "accuracy_loss", "neg_log_likelihood", "ttft")),
        ("mapping", Direction.NEUTRAL),
        ("glossary", Direction.NEUTRAL),
        ("", Direction.NEUTRAL),
    ],
)
def test_direction_by_name(name: str, direction: Direction) -> None:
    assert direction_by_name(name) is direction


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value", "base", "verdict", "words"),
    [
        ("loss", NAN, 0.5, Verdict.WORSE, "no finite number any more 🔴 worse"),
        ("loss", -INFINITE, 0.5, Verdict.WORSE, "no finite number any more 🔴 worse"),
        ("accuracy", INFINITE, 0.5, Verdict.WORSE, "no finite number any more 🔴 worse"),
        ("loss", 0.5, NAN, Verdict.BETTER, "a finite number again 🟢 better"),
        ("loss", NAN, INFINITE, Verdict.SAME, "= no finite number"),
        ("rows", NAN, 3, None, "no finite number any more"),
    ],
)
def test_a_training_that_diverged_is_judged_as_such(
    name: str, value: float, base: float, verdict: Verdict | None, words: str
) -> None:
    (row,) = shown([metric(name, value)], [metric(name, base)], ReportSettings())
    assert row.verdict is verdict
    report = RunReport(
        run_name="r", pipeline="p", status="completed", metrics=(row,), base=BaseReport(branch="main", run_name="b")
    )
    comment = render.summary(Report(state=State.COMPLETED, pipeline="p", runs=(report,)))
    assert f"| {'NaN' if value != value else ''}" in comment
    assert words in comment


def test_what_zenml_keeps_as_text_or_null_is_shown_where_it_can_be_a_metric() -> None:
    metadata = {
        "accuracy": "0.93",
        "loss": "nan",
        "version": "3.11",
        "at": "end",
        "nested": {"mae": None, "note": None},
    }
    step = Step(name="train", status="completed", metadata=metadata)
    told = shown(collect(places_of(run(), [step], [], {})), None, ReportSettings())
    assert {row.name: str(row.value) for row in told} == {"accuracy": "0.93", "loss": "nan", "nested.mae": "nan"}
    settings = ReportSettings(directions={"version": Direction.NEUTRAL})
    assert shown(collect(places_of(run(), [step], [], {})), None, settings)[0].value == 3.11


def test_what_the_report_names_comes_first_of_however_many() -> None:
    many = {f"metric_{number}": number for number in range(600)} | {"chosen": 1}
    found = collect(places_of(run(), [Step(name="train", status="completed", metadata=many)], [], {}))
    told = shown(found, None, ReportSettings(directions={"chosen": Direction.HIGHER}))
    assert (told[0].name, len(told)) == ("chosen", 500)


def test_metadata_may_be_nested_deeply() -> None:
    deep: dict[str, Any] = {"loss": 1.0}
    for _ in range(2_000):
        deep = {"a": deep}
    (found,) = collect(places_of(run(**deep), [], [], {}))
    assert found.name.endswith(".a.loss")


def test_settings() -> None:
    settings, problems = ReportSettings.from_yaml(
        {"metrics": {"accuracy": "higher", "loss": "lower"}, "exclude": "*_s", "base": "develop"}
    )
    assert problems == []
    assert settings == ReportSettings(
        directions={"accuracy": Direction.HIGHER, "loss": Direction.LOWER}, exclude=("*_s",), base="develop"
    )


KEYS = "must be `metrics`, `exclude`, `base`, `baseline`, `seeds`, `stale-days`, `stale-commits` or `fail-if`"


def test_all_that_is_wrong_with_settings_is_told() -> None:
    _, problems = ReportSettings.from_yaml(
        {"metric": {}, "metrics": {"a": "up", "b": "lower", "c": ["x"]}, "exclude": [1], "base": 7}
    )
    assert problems == [
        f"has no key `metric`: {KEYS}. Did you mean `metrics`?",
        "`metrics: a: up` is not allowed: must be `higher`, `lower` or `neutral`",
        "`metrics: c: ['x']` is not allowed: must be `higher`, `lower` or `neutral`",
        '`exclude` must be a list of metric names, e.g. `["*_seconds"]`',
        "`base` must be the name of a branch",
    ]
    assert ReportSettings.from_yaml({"metrics": ["accuracy"]})[1] == [
        "`metrics` must be a mapping of metric names to `higher`, `lower` or `neutral`"
    ]


def test_the_input_is_read_and_its_problems_are_told() -> None:
    required = {
        "INPUT_RUN": "python run.py",
        "INPUT_LIGHTNING-API-KEY": "key",
        "INPUT_ZENML-STORE-URL": "https://zenml.example",
        "INPUT_ZENML-STORE-API-KEY": "key",
    }
    given = Inputs.from_environ({**required, "INPUT_REPORT": "metrics: {loss: lower}\nexclude: [rows]"})
    assert given.report == ReportSettings(directions={"loss": Direction.LOWER}, exclude=("rows",))
    with pytest.raises(InputsError) as refused:
        Inputs.from_environ({**required, "INPUT_REPORT": "metrics: {loss: down}\nexcluded: [rows]"})
    assert refused.value.problems == [
        ("report", f"has no key `excluded`: {KEYS}. Did you mean `exclude`?"),
        ("report", "`metrics: loss: down` is not allowed: must be `higher`, `lower` or `neutral`"),
    ]
    rules = {**required, "INPUT_REPORT": "fail-if: loss > 1", "INPUT_ASYNC": "true"}
    with pytest.raises(InputsError, match="`fail-if` goes with a run that is waited for; with `async`, give it to the"):
        Inputs.from_environ(rules)
    (rule,) = Inputs.from_environ({**rules, "INPUT_RUN": "", "INPUT_ATTACH": "ci-0123abcd"}).report.rules
    assert rule.metric == "loss"
    with pytest.raises(InputsError, match="report: is not valid YAML"):
        Inputs.from_environ({**required, "INPUT_REPORT": "[1"})


@pytest.mark.parametrize(
    ("payload", "branches"),
    [
        ({"pull_request": {"base": {"ref": "develop"}}, "repository": {}}, ("develop", "")),
        ({"repository": {"default_branch": "trunk"}}, ("", "trunk")),
        ({"repository": "x", "pull_request": {"base": []}}, ("", "")),
    ],
)
def test_the_event_names_branches_to_compare_with(payload: dict[str, Any], branches: tuple[str, str]) -> None:
    event = Event.from_environ({"GITHUB_EVENT_PATH": "x"}, read=lambda path: json.dumps(payload))
    assert (event.base_branch, event.default_branch) == branches


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["metrics", "exclude", "base", "baseline", "seeds", "stale-days", "fail-if", "other"])
        | st.text(max_size=5),
        PLAIN,
    )
)
def test_whatever_yaml_holds_is_settings_or_told(value: dict[str, Any]) -> None:
    settings, problems = ReportSettings.from_yaml(value)
    assert all(isinstance(problem, str) for problem in problems)
    shown([metric("loss", 1)], [metric("loss", 2)], settings)


@given(st.dictionaries(st.text(max_size=5), PLAIN))
def test_whatever_was_logged_is_numbers_or_nothing(metadata: dict[str, Any]) -> None:
    found = collect(places_of(run(x=metadata), [], [], {}))
    assert all(isinstance(value, int | float) for one in found for value in one.values)
