"""What our steps keep of numbers that they log again and again."""

from __future__ import annotations

from typing import Any

from lightning_zenml.orchestrator.zenml_client.curves import Curves
from lightning_zenml.zenml_api.curves import parse, points_of


def kept(
    curves: Curves, logged: list[dict[str, Any]], resource: str = "step"
) -> dict[tuple[str, str], dict[str, float]]:
    """Curves by name and axis, as ZenML merges what it is given; nothing else may change."""
    merged: dict[tuple[str, str], dict[str, float]] = {}
    for metadata in logged:
        told = curves.added_to(metadata, resource)
        for key in set(told) - set(metadata):
            merged.setdefault(parse(key), {}).update(told.pop(key))
        assert told == metadata
    return merged


def test_what_is_logged_once_is_no_curve() -> None:
    curves = Curves()
    assert kept(curves, [{"loss": 1, "text": "x", "flag": True, "list": [1], "nested": {"f1": 2}}]) == {}
    assert kept(curves, [{"loss": 1}], "another step") == {}


def test_values_are_counted_or_come_with_an_epoch_or_a_step() -> None:
    assert kept(Curves(), [{"loss": 3.0}, {"loss": 2.0, "auc": 0.5}, {"loss": 1.0}]) == {
        ("loss", ""): {"1": 3.0, "2": 2.0, "3": 1.0}
    }
    by_step = [{"loss": 3.0, "epoch": 0.5, "step": 50}, {"loss": 2.0, "epoch": 1, "step": 100}]
    assert kept(Curves(), by_step) == {("loss", "step"): {"50": 3.0, "100": 2.0}}
    nested = [{"train": {"a.b": 1}, "epoch": 1}, {"train": {"a.b": 2}, "epoch": 2}, {"by_epoch": {"1": 2}}]
    assert kept(Curves(), nested * 2) == {("train.a.b", "epoch"): {"1": 1.0, "2": 2.0}}


def test_of_a_long_training_a_bounded_number_is_kept() -> None:
    (found,) = kept(Curves(), [{"loss": 1 / number} for number in range(1, 50_001)]).values()
    assert 256 <= len(found) < 1_500
    assert points_of(found)[:3] == ((1, 1), (2, 1 / 2), (3, 1 / 3))
    assert points_of(found)[-1][0] > 49_000
    names = [{f"loss_{number}": 1} for number in range(1_000)]
    assert len(kept(Curves(), names * 2)) == 200
