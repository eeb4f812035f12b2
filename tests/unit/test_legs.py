"""The comment of several legs: what it shows, what it holds for whoever writes next, and how long it may be."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.report import COMMENT_LIMIT, State
from lightning_zenml.action.report.legs.record import MOST_LEGS, MOST_METRICS, Leg, LegMetric, legs_in, line_of
from lightning_zenml.action.report.legs.table import comment

GOLDEN = Path(__file__).parents[1] / "golden/comment_legs.md"
MARKER = "<!-- lightning-zenml: sweep | run 7.1 -->"
RUN_URL = "https://github.com/octo/repo/actions/runs/7"


def leg(name: str, state: State = State.COMPLETED, **changes: object) -> Leg:
    given = {"name": name, "state": state.value, "run_id": 7, "run_attempt": 1, "updated": 1.5, **changes}
    return Leg(**given)  # type: ignore[arg-type]


def accuracy(value: float, verdict: str = "", base: float | None = None) -> LegMetric:
    return LegMetric(name="accuracy", value=value, better="higher", verdict=verdict, base=base)


LEGS = [
    leg(
        "lr=10",
        parameters=(("lr", "10"), ("gpu", "T4")),
        metrics=(accuracy(0.81, "worse", 0.9124), LegMetric(name="loss", value=0.9, better="lower", base=0.9)),
        base_branch="main",
        page="https://lightning.ai/octo/research/studios/a",
        cost=0.41,
    ),
    leg(
        "lr=0.1",
        parameters=(("lr", "0.1"), ("gpu", "T4")),
        metrics=(accuracy(0.93, "better", 0.918), LegMetric(name="loss", value=0.2, better="lower")),
        base_branch="main",
        page="https://lightning.ai/octo/research/studios/b",
        cost=0.5,
    ),
    leg("lr=1", State.RUNNING, parameters=(("lr", "1"), ("gpu", "T4")), metrics=(accuracy(0.99),)),
    leg("lr=2", State.FAILED, parameters=(("lr", "2"), ("gpu", "T4")), message="`python run.py`: the loss is NaN"),
]


def told(legs: list[Leg]) -> str:
    return comment(legs, MARKER, "sweep", RUN_URL)


def test_it_looks_like_this() -> None:
    body = re.sub(r"(?<=legs: )\S+(?= -->)", "...", told(LEGS))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(body)
    assert body == GOLDEN.read_text()


def test_it_is_the_same_whoever_writes_it() -> None:
    assert told(LEGS) == told(LEGS[::-1])
    assert legs_in(told(LEGS)) == {one.name: one for one in LEGS}


def best(*legs: Leg) -> list[str]:
    rows = [line for line in told(list(legs)).splitlines() if line.startswith("| 🏆")]
    return [re.sub(r".*<code>(.*?)</code>.*", r"\1", row) for row in rows]


def test_a_leg_that_fails_a_rule_is_none_that_is_well() -> None:
    told = comment(
        [leg("lr=1", message="`accuracy < 0.9`: it is 0.8"), leg("lr=2")], "<!-- m -->", "Train / train", None
    )
    assert "1 ❌ failing a rule, 1 ✅ completed" in told
    assert "| ❌ failing a rule |" in told


def test_the_best_is_of_those_that_have_completed_by_a_number_that_tells_them_apart() -> None:
    same, loss = accuracy(0.5), LegMetric(name="loss", value=0.1, better="lower")
    assert best(*LEGS) == ["lr&#61;0.1"]
    assert best(leg("a", metrics=(same, loss)), leg("b", metrics=(same, replace(loss, value=0.05)))) == ["b"]
    assert best(leg("a", metrics=(same,)), leg("b", metrics=(same,))) == []
    assert best(leg("a", metrics=(same,)), leg("b", metrics=(accuracy(float("nan")),))) == []
    assert best(leg("a", metrics=(same,)), leg("b", State.FAILED, metrics=(accuracy(0.9),))) == []
    assert best(leg("a", metrics=(replace(same, better=""),)), leg("b", metrics=(replace(same, value=1),))) == []
    assert best(leg("a")) == []


@pytest.mark.parametrize("number", [2, 60, MOST_LEGS])
def test_however_many_there_are_and_whatever_they_say_it_fits_and_holds_all(number: int) -> None:
    legs = [
        leg(
            f"{at} " + "<|@`" * 40,
            [State.COMPLETED, State.FAILED, State.RUNNING][at % 3],
            parameters=tuple((f"p{of}", os.urandom(40).hex()) for of in range(9)),
            metrics=tuple(LegMetric(name=os.urandom(40).hex(), value=at / 7) for _ in range(MOST_METRICS)),
            page="https://lightning.ai/" + os.urandom(100).hex(),
            message=os.urandom(600).hex(),
        ).shortened()
        for at in range(number)
    ]
    body = told(legs)
    assert len(body) <= COMMENT_LIMIT
    assert {one.name: one.state for one in legs_in(body).values()} == {one.name: one.state for one in legs}


text = st.text(max_size=90)


@given(
    st.builds(leg, text, st.sampled_from(State), message=text, page=text, parameters=st.tuples(st.tuples(text, text)))
)
def test_no_text_ends_the_hidden_line_or_is_markup(one: Leg) -> None:
    one = one.shortened()
    body = told([one, leg("other")])
    hidden = [line for line in body.splitlines() if line.startswith("<!--")]
    assert hidden[0] == MARKER
    assert len(hidden) == 2
    assert body.count("-->") == 2
    assert "\ud800" not in body


@given(st.text(max_size=30) | st.sampled_from([line_of([]), line_of(LEGS)[:-9] + "AAA= -->"]))
def test_a_line_that_somebody_has_edited_holds_nothing(text: str) -> None:
    assert legs_in(f"{MARKER}\n<!-- lightning-zenml legs: {text} -->\n") == {}
    assert legs_in(text) == {}


def test_of_a_line_what_makes_sense_is_kept() -> None:
    odd = [replace(LEGS[0], name=7), replace(LEGS[0], updated="now"), LEGS[1]]  # type: ignore[arg-type]
    assert list(legs_in(line_of(odd))) == ["lr=0.1"]
