from __future__ import annotations

import urllib.error
from email.message import Message
from http.client import IncompleteRead

import pytest

from lightning_zenml.launch.payload.platform import insist


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://lightning", status, "", Message(), None)


def test_an_outage_is_sat_out() -> None:
    answers: list[Exception | None] = [
        ConnectionResetError(),
        http_error(503),
        http_error(429),
        IncompleteRead(b""),
        ValueError("no JSON"),
        None,
    ]

    def call() -> None:
        if error := answers.pop(0):
            raise error

    insist(call, pause=0)
    assert answers == []


@pytest.mark.parametrize(
    ("error", "calls"),
    [(http_error(403), 1), (http_error(404), 1), (http_error(503), 3), (http_error(409), 3), (http_error(400), 3)],
)
def test_a_refusal_is_final_and_patience_ends(error: OSError, calls: int) -> None:
    made: list[None] = []

    def call() -> None:
        made.append(None)
        raise error

    with pytest.raises(urllib.error.HTTPError) as raised:
        insist(call, pause=0, times=3)
    assert raised.value is error
    assert len(made) == calls
