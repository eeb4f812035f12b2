"""What runs have measured, set beside the base branch: what is shown of each, and what comes of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lightning_zenml.action.report import RuleReport, RunReport
from lightning_zenml.action.report.metrics.baseline import Base
from lightning_zenml.action.report.metrics.compared import Comparison, compare, rows
from lightning_zenml.action.report.metrics.drawn import drawn
from lightning_zenml.action.report.metrics.judged import JudgedRun, judge
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.action.report.metrics.settings import ReportSettings


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run has measured.

    Args:
        metrics: its metrics.
        base: what it is compared with; None: nothing.
        lacks: why there is no base, in words; '' where there is one.
        is_all: whether the run had ended, so that nothing is to come.
    """

    logged: Logged
    base: Base | None = None
    lacks: str = ""
    is_all: bool = False


class Measurements:
    """What the runs of a launch have measured.

    Args:
        settings: the input `report`: what is better, what is shown, what is to fail.
    """

    def __init__(self, settings: ReportSettings) -> None:
        self._settings = settings

    def added_to(self, reports: Mapping[str, RunReport], measured: Mapping[str, Measured]) -> tuple[RunReport, ...]:
        """Reports of runs, with their metrics; those of runs that are judged together stand with the first.

        Args:
            reports: what else is known of the runs, by their ids.
            measured: what they have measured, by their ids.
        """
        shown: list[RunReport] = []
        for run_id, report in reports.items():
            one = measured.get(run_id)
            if one is not None and one.logged.metrics and self._leads(run_id, reports, measured):
                compared = self._compared(run_id, reports, measured)
                before = one.base.logged[0].curves if one.base and one.base.logged else ()
                report = replace(
                    report,
                    metrics=rows(compared, self._settings),
                    curves=drawn(one.logged.curves, before, self._settings),
                    base=one.base.report if one.base else None,
                )
            shown.append(report)
        return tuple(shown)

    def judged(self, reports: Mapping[str, RunReport], measured: Mapping[str, Measured]) -> tuple[RuleReport, ...]:
        """The rules of `fail-if`, judged by runs that have ended.

        Args:
            reports: what else is known of the runs, by their ids.
            measured: what they have measured, by their ids.
        """
        runs = [
            JudgedRun(
                name=report.run_name,
                compared=self._compared(run_id, reports, measured),
                lacks=measured[run_id].lacks,
            )
            for run_id, report in reports.items()
            if run_id in measured and measured[run_id].is_all and self._leads(run_id, reports, measured)
        ]
        return judge(self._settings.rules, runs)

    def _compared(
        self, run_id: str, reports: Mapping[str, RunReport], measured: Mapping[str, Measured]
    ) -> tuple[Comparison, ...]:
        one = measured[run_id]
        others = [measured[other] for other in self._together(run_id, reports, measured) if other != run_id]
        return compare(
            one.logged.metrics,
            [run.metrics for run in one.base.logged] if one.base else [],
            self._settings,
            together=[other.logged.metrics for other in others],
        )

    def _leads(self, run_id: str, reports: Mapping[str, RunReport], measured: Mapping[str, Measured]) -> bool:
        return self._together(run_id, reports, measured)[0] == run_id

    def _together(
        self, run_id: str, reports: Mapping[str, RunReport], measured: Mapping[str, Measured]
    ) -> Sequence[str]:
        """The runs that are judged together with one, itself among them."""
        if not self._settings.has_runs_of_seeds:
            return [run_id]
        pipeline = reports[run_id].pipeline
        return [other for other in reports if other in measured and reports[other].pipeline == pipeline]
