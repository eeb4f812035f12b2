"""The bound on steps side by side, between threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from lightning_zenml.orchestrator.controller.slots import NotStartedError, Slots

RUN, OTHER = uuid4(), uuid4()


def test_without_a_number_there_is_always_a_place() -> None:
    slots = Slots(None)

    for _ in range(100):
        slots.take(RUN)

    assert slots.take_if_free()


def test_whoever_waits_gets_the_next_place() -> None:
    slots = Slots(1)
    slots.take(RUN)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(slots.take, RUN)
        assert not slots.take_if_free()
        slots.give_back()
        waiting.result(timeout=300)

    assert not slots.take_if_free()


def test_what_runs_already_takes_a_place_from_those_to_come() -> None:
    slots = Slots(1)
    slots.take_anyway()
    slots.take_anyway()
    slots.give_back()

    assert not slots.take_if_free()
    slots.give_back()
    assert slots.take_if_free()


def test_a_run_that_has_failed_waits_no_more_and_others_do() -> None:
    slots = Slots(1)
    slots.take(RUN)
    with ThreadPoolExecutor() as threads:
        failed, other = threads.submit(slots.take, RUN), threads.submit(slots.take, OTHER)
        slots.end(RUN)
        with pytest.raises(NotStartedError):
            failed.result(timeout=300)
        slots.give_back()
        other.result(timeout=300)

    # ZenML may run a step after a failure; nothing keeps it waiting.
    slots.give_back()
    slots.take(RUN)


def test_nothing_has_a_place_after_the_end() -> None:
    slots = Slots(1)
    slots.take(RUN)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(slots.take, OTHER)
        slots.close()
        with pytest.raises(NotStartedError):
            waiting.result(timeout=300)
    slots.give_back()

    with pytest.raises(NotStartedError):
        slots.take(RUN)
