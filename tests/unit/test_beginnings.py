"""The bound on how many steps begin at once in the studio."""

from __future__ import annotations

import threading

import pytest

from lightning_zenml.orchestrator.steps import running
from lightning_zenml.orchestrator.steps.running import Beginnings, UnstartedStep


class Step(UnstartedStep):
    """A step that runs until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.exit_code: int | None = None

    def poll(self) -> int | None:
        return self.exit_code


def start(beginnings: Beginnings) -> Step:
    step = Step()
    with beginnings.turn():
        beginnings.add(step, step.begun.is_set)
    return step


def in_a_thread(beginnings: Beginnings) -> tuple[threading.Thread, list[Step]]:
    started: list[Step] = []
    thread = threading.Thread(target=lambda: started.append(start(beginnings)))
    thread.start()
    return thread, started


def test_steps_that_have_begun_or_ended_make_way() -> None:
    beginnings = Beginnings(2)
    first, second = start(beginnings), start(beginnings)
    thread, started = in_a_thread(beginnings)
    assert not started
    first.begun.set()
    thread.join(300)
    assert started

    thread, started = in_a_thread(beginnings)
    assert not started
    second.exit_code = 1
    thread.join(300)
    assert started


def test_one_that_never_tells_makes_way_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BEGINS_WITHIN", 0.1)
    beginnings = Beginnings(1)
    start(beginnings)
    thread, started = in_a_thread(beginnings)
    thread.join(300)
    assert started


def test_nobody_waits_once_nothing_is_started_any_more() -> None:
    beginnings = Beginnings(1)
    start(beginnings)
    thread, started = in_a_thread(beginnings)
    assert not started
    beginnings.close()
    thread.join(300)
    assert started
