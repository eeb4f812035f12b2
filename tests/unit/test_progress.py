from __future__ import annotations

import threading
from collections.abc import Iterator

from lightning_zenml.launch.studio.progress import WaitProgress, reported


def said(times: list[float]) -> list[str]:
    """What is said of a wait that began at the first time and ended at the last."""
    lines: list[str] = []
    clock: Iterator[float] = iter(times)
    progress = WaitProgress("the studio x", lines.append, lambda: next(clock))
    for _ in times[1:-1]:
        progress.go_on()
    progress.end()
    return lines


def test_a_long_wait_is_told_of_now_and_then() -> None:
    assert said([100, 110, 131, 140, 161, 171]) == [
        "Waiting for the studio x: 31 s so far",
        "Waiting for the studio x: 1 min 01 s so far",
        "Waited 1 min 11 s for the studio x",
    ]


def test_a_short_wait_is_not_worth_a_word() -> None:
    assert said([100, 101, 129]) == []


def test_what_does_not_tell_of_itself_is_told_of_until_it_is_over() -> None:
    said: list[str] = []
    twice = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            twice.set()

    with reported("the upload", say, interval=0.01):
        assert twice.wait(300)
    assert said[0].startswith("Waiting for the upload: ")
    assert not [thread for thread in threading.enumerate() if thread.name == "wait-progress"]
