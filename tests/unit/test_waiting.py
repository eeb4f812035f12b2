from __future__ import annotations

from collections.abc import Iterator

from lightning_zenml.launch.waiting import Waiting


def said(times: list[float]) -> list[str]:
    """What is said of a wait that began at the first time and ended at the last."""
    told: list[str] = []
    clock: Iterator[float] = iter(times)
    waiting = Waiting("the studio x", told.append, lambda: next(clock))
    for _ in times[1:-1]:
        waiting.go_on()
    waiting.end()
    return told


def test_a_long_wait_is_told_of_now_and_then() -> None:
    assert said([100, 110, 131, 140, 161, 171]) == [
        "Waiting for the studio x: 31 s so far",
        "Waiting for the studio x: 1 min 01 s so far",
        "Waited 1 min 11 s for the studio x",
    ]


def test_a_short_wait_is_not_worth_a_word() -> None:
    assert said([100, 101, 129]) == []
