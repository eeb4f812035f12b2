"""A leg's own row, made of its report."""

from __future__ import annotations

from collections.abc import Callable

from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.report.legs.record import Leg, LegMetric
from lightning_zenml.action.report.model import Report


def own_leg(shown: Report, origin: Origin, updated: float, redact: Callable[[str], str]) -> Leg:
    """The row.

    Args:
        shown: the report, without secrets.
        origin: where the launch comes from.
        updated: seconds since 1970 when the report was so.
        redact: hides secrets in a text.
    """
    metrics = {
        metric.name: LegMetric(
            name=metric.name,
            value=metric.value,
            better=metric.better,
            verdict=metric.verdict or "",
            base=metric.base,
        )
        for run in reversed(shown.runs)
        for metric in reversed(run.metrics)
    }
    failed = [f"{rule.rule}: {rule.reason}" for rule in shown.failed_rules]
    return Leg(
        name=redact(origin.leg),
        state=shown.state.value,
        run_id=origin.run_id,
        run_attempt=origin.run_attempt,
        updated=updated,
        parameters=tuple((redact(name), redact(value)) for name, value in origin.parameters),
        # What is shown first counts first.
        metrics=tuple(reversed(metrics.values())),
        page=shown.page or shown.workflow_run_url or "",
        cost=shown.cost,
        message=shown.failure.message if shown.failure else "; ".join(failed),
        base_branch=next((run.base.branch for run in shown.runs if run.base and run.base.run_name), ""),
    ).shortened()
