"""Answers of Lightning that make no sense: as good as lost."""

from __future__ import annotations

import pytest
from lightning_sdk.lightning_cloud.openapi import V1CloudSpace

from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.lightning.failures import OddAnswerError, UnreachableError
from lightning_zenml.launch.lightning.records import StudioAnswer

_STUDIO = V1CloudSpace(id="1", name="studio", cluster_id="aws")


@pytest.fixture
def lightning() -> Lightning:
    return Lightning(Credentials(api_key="key"), "https://lightning.example")


@pytest.mark.parametrize("odd", [None, V1CloudSpace(), V1CloudSpace(id="1"), "<html>"])
def test_an_odd_answer_is_asked_for_again(lightning: Lightning, odd: object) -> None:
    given = iter([odd, _STUDIO])
    assert lightning.ask(answers.studio, lambda: next(given)) == StudioAnswer(
        id="1", name="studio", cluster="aws", state=None
    )


def test_an_odd_answer_to_what_must_not_be_sent_twice_is_a_lost_one(lightning: Lightning) -> None:
    with pytest.raises(OddAnswerError, match="makes no sense \\(V1CloudSpace without id\\)") as raised:
        lightning.ask(answers.studio, V1CloudSpace, idempotent=False)
    assert isinstance(raised.value, UnreachableError)
