"""Keys, legs and markers: the same for the same, others for others, harmless whatever is in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.comments import Marker
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin, leg_of
from lightning_zenml.action.inputs import COMMENT_KEY_LIMIT, Inputs

REQUIRED = {
    "INPUT_RUN": "python run.py",
    "INPUT_LIGHTNING-API-KEY": "key",
    "INPUT_ZENML-STORE-URL": "https://zenml.example",
    "INPUT_ZENML-STORE-API-KEY": "key",
    "GITHUB_REPOSITORY": "octo/model",
    "GITHUB_WORKFLOW": "CI",
    "GITHUB_JOB": "train",
    "GITHUB_RUN_ID": "12",
    "GITHUB_RUN_ATTEMPT": "3",
    "GITHUB_SHA": "a" * 40,
}
text = st.text(max_size=80)
legs = st.dictionaries(text, st.one_of(text, st.integers(), st.booleans(), st.none(), st.lists(text, max_size=3)))


def origin(*, workflow: str = "CI", **inputs: str) -> Origin:
    environ = {**REQUIRED, "GITHUB_WORKFLOW": workflow}
    environ |= {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in inputs.items()}
    return Origin.of(Event.from_environ(environ), Inputs.from_environ(environ))


def marker(key: str, run_id: int = 1, run_attempt: int = 1) -> Marker:
    return Marker(key=key, run_id=run_id, run_attempt=run_attempt)


@pytest.mark.parametrize("matrix", ["", "null", "{}"])
def test_without_a_matrix_workflow_and_job_are_the_key(matrix: str) -> None:
    assert origin(matrix=matrix).comment_key == "CI/train"


def test_a_leg_is_part_of_the_key() -> None:
    found = origin(matrix='{"gpu": "T4", "lr": 0.1, "on": true}')
    assert (found.comment_key, found.leg) == ("CI/train (gpu=T4, lr=0.1, on=true)", "gpu=T4, lr=0.1, on=true")


def test_a_key_that_is_given_is_the_key() -> None:
    assert origin(comment_key="mine", matrix='{"gpu": "T4"}').comment_key == "mine"


def test_a_long_name_of_a_workflow_makes_a_key_of_limited_length() -> None:
    keys = [origin(matrix=f'{{"a": {leg}}}', workflow="W" * 500).comment_key for leg in (1, 2)]
    assert all(len(key) <= COMMENT_KEY_LIMIT for key in keys)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": "x" * 100 + "1"}, {"a": "x" * 100 + "2"}), ({"a": {"b": 1}}, {"a": {"b": 2}}), ({"a": 1}, {"b": 1})],
)
def test_other_legs_have_other_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert leg_of(one) != leg_of(other)


@given(legs)
def test_legs_are_short_and_stable(matrix: dict[str, Any]) -> None:
    assert len(leg_of(matrix)) <= 60
    assert leg_of(matrix) == leg_of(dict(matrix))


def test_travels_as_metadata_of_its_run() -> None:
    found = origin(matrix='{"gpu": "T4"}')
    metadata = {"github": {"repository": "octo/model", "origin": found.as_json()}}
    assert Origin.of_run(metadata, "octo/model") == found
    assert Origin.of_run(metadata, "octo/other") is None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"github": "x"},
        {"github": {"repository": "octo/model"}},
        {"github": {"repository": "octo/model", "origin": "x"}},
        {"github": {"repository": "octo/model", "origin": "[]"}},
        {"github": {"repository": "octo/model", "origin": '{"pull_requests": ["x"]}'}},
    ],
)
def test_metadata_of_another_kind_tells_nothing(metadata: dict[str, Any]) -> None:
    assert Origin.of_run(metadata, "octo/model") is None


@pytest.mark.parametrize("key", ["CI/train (gpu=T4, lr=0.1)", "a.b_c-d"])
def test_marker_keeps_ordinary_keys(key: str) -> None:
    assert str(marker(key, 12, 3)) == f"<!-- lightning-zenml: {key} | run 12.3 -->"


@given(text, text)
def test_marker_is_found_again_whatever_the_key(key: str, other: str) -> None:
    line = str(marker(key))
    # What ends an HTML comment may not stand within, nor may a second line.
    assert re.fullmatch(r"<!-- [^\n<>]* -->", line)
    assert "--" not in line[4:-3]
    assert marker(key, 5, 2).is_on(f"{line}\nx")
    assert marker(other).is_on(line) == (key == other)


@pytest.mark.parametrize(
    ("mine", "theirs", "older"),
    [
        ((1, 1), (2, 1), True),
        ((9, 1), (10, 1), True),
        ((1, 1), (1, 2), True),
        ((1, 1), (1, 1), False),
        ((2, 1), (1, 9), False),
    ],
)
def test_runs_are_ordered_by_id_and_attempt(mine: tuple[int, int], theirs: tuple[int, int], older: bool) -> None:
    assert marker("k", *mine).is_older_than(f"{marker('k', *theirs)}\nx") is older
    assert not marker("other", *mine).is_older_than(f"{marker('k', *theirs)}\nx")
