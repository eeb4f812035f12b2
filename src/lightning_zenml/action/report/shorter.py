"""What is left out of a report that is too long for where it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from lightning_zenml.action.report.model import Report, RunReport, StepReport
from lightning_zenml.action.report.numbers import CurveReport

_STEPS_WHEN_SHORT = 50
_RUNS_WHEN_SHORT = 10

T = TypeVar("T", RunReport, StepReport)


def ever_shorter(report: Report) -> Iterator[Report]:
    """The report, then with less and less of it: first goes what can be looked at elsewhere, last how each run ended.

    Args:
        report: all that is known of the run.

    Yields:
        What is left.
    """
    yield report
    report = _with_logs(report, 4_000)
    yield report
    if any(run.visualizations for run in report.runs):
        report = _for_each_run(report, lambda run: replace(run, visualizations=run.visualizations[:2]))
        yield report
        report = _for_each_run(report, lambda run: replace(run, visualizations=()))
        yield report
    report = _with_logs(report, 0)
    yield report
    report = _for_each_run(report, lambda run: replace(run, curves=tuple(map(_undrawn, run.curves[:20]))))
    yield report
    report = _for_each_run(
        report,
        lambda run: replace(
            run, artifacts=run.artifacts[:20], edges=(), steps=_most_telling(run.steps, _STEPS_WHEN_SHORT)
        ),
    )
    yield report
    report = _for_each_run(
        report, lambda run: replace(run, artifacts=(), steps=(), metrics=run.metrics[:10], curves=())
    )
    yield report
    report = _for_each_run(report, lambda run: replace(run, metrics=run.metrics[:3]))
    yield report
    # How each of many runs ended is worth more than what some of them measured.
    report = replace(_for_each_run(report, lambda run: replace(run, metrics=(), base=None)), jobs=())
    yield report
    yield replace(report, runs=_most_telling(report.runs, _RUNS_WHEN_SHORT))


def _undrawn(curve: CurveReport) -> CurveReport:
    base = replace(curve.base, values=()) if curve.base else None
    return replace(curve, own=replace(curve.own, values=()), base=base)


def _with_logs(report: Report, characters: int) -> Report:
    def end(log: str) -> str:
        return log[-characters:] if characters else ""

    if report.failure:
        report = replace(report, failure=replace(report.failure, output=end(report.failure.output)))
    return _for_each_run(
        report, lambda run: replace(run, steps=tuple(replace(step, log=end(step.log)) for step in run.steps))
    )


def _most_telling(several: tuple[T, ...], most: int) -> tuple[T, ...]:
    """As many as fit, in their order: rather those that failed or run."""
    quiet = {"completed", "cached", "skipped", "waiting"}
    ranked = sorted(range(len(several)), key=lambda number: several[number].status in quiet)
    kept = set(ranked[:most])
    return tuple(one for number, one in enumerate(several) if number in kept)


def _for_each_run(report: Report, change: Callable[[RunReport], RunReport]) -> Report:
    return replace(report, runs=tuple(change(run) for run in report.runs))
