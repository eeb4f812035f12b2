from __future__ import annotations

import urllib.error
from dataclasses import dataclass
from email.message import Message
from http.client import IncompleteRead

import pytest

from lightning_zenml.launch.payload.lightning.insist import insist


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://lightning", status, "", Message(), None)


@dataclass
class Call:
    """Fails as it is told, in that order; then it succeeds."""

    errors: list[Exception]
    made: int = 0

    def __call__(self) -> None:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)


def test_outages_and_refusals_are_sat_out() -> None:
    errors = [ConnectionResetError(), IncompleteRead(b""), ValueError("no JSON")]
    call = Call([*errors, *(http_error(status) for status in (503, 401, 401, 403, 404, 404, 429, 400))])
    insist(call, pause=0, times=20)
    assert call.errors == []


@pytest.mark.parametrize(
    ("statuses", "made"), [([401] * 9, 4), ([401, 401, 503, 401, 403, 404, 404], 7), ([503] * 9, 8), ([400] * 9, 8)]
)
def test_refusals_in_a_row_are_believed_after_a_while_and_patience_ends(statuses: list[int], made: int) -> None:
    call = Call([http_error(status) for status in statuses])
    pauses: list[float] = []
    with pytest.raises(urllib.error.HTTPError):
        insist(call, pause=20, times=8, refused_for=60, sleep=pauses.append, clock=lambda: sum(pauses))
    assert call.made == made


def test_pauses_grow_up_to_the_longest() -> None:
    pauses: list[float] = []
    insist(Call([OSError()] * 5), pause=2, longest=5, times=9, sleep=pauses.append)
    assert pauses == [2, 3, 4.5, 5, 5]
