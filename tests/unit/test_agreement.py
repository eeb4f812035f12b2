from __future__ import annotations

import pytest

from lightning_zenml.launch import agreement


def test_one_look_that_finds_nothing_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "SPAN", 0.01)
    looks = iter([None, None, "it"])

    assert agreement.found(lambda: next(looks)) == "it"


def test_what_no_look_finds_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "SPAN", 0.01)
    looks = 0

    def look() -> str | None:
        nonlocal looks
        looks += 1
        return None

    assert agreement.found(look) is None
    assert looks >= 3
