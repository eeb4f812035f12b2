"""What a run logged: its metrics and its curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_zenml.action.report.metrics.collected import Metric, collect, places_of
from lightning_zenml.action.report.metrics.curves import Curve, collect_curves, ends
from lightning_zenml.action.report.metrics.settings import ReportSettings
from lightning_zenml.zenml_api.models import Artifact, Run, Step


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What a run logged.

    Args:
        metrics: its numbers, the last and the best of curves among them.
        curves: its curves.
    """

    metrics: tuple[Metric, ...] = ()
    curves: tuple[Curve, ...] = ()

    @classmethod
    def of(
        cls,
        run: Run,
        steps: Iterable[Step],
        artifacts: Iterable[Artifact],
        models: Mapping[str, Mapping[str, Any]],
        settings: ReportSettings,
    ) -> Logged:
        """Finds it.

        Args:
            run: the run.
            steps: steps of the run.
            artifacts: artifacts that the run made.
            models: metadata of model versions by name of the model.
            settings: the input `report`: what is a list of seeds, and what is better.
        """
        places = places_of(run, steps, artifacts, models)
        metrics = collect(places, seeds=settings.seeds)
        curves = collect_curves(places, seeds=settings.seeds)
        return cls(metrics=(*metrics, *ends(curves, metrics, settings.directions)), curves=curves)
