"""The pipeline runs that a launch made, with what ZenML knows of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lightning_zenml.action.report import RunReport, StepReport
from lightning_zenml.action.workflow import Workflow
from lightning_zenml.zenml_rest import ZenMLServerError
from lightning_zenml.zenml_server import Step, ZenMLServer


class Runs:
    """Runs in the order in which they were made.

    Args:
        zenml: the ZenML server.
        workflow: the runner.
    """

    def __init__(self, zenml: ZenMLServer, workflow: Workflow) -> None:
        self._zenml = zenml
        self._workflow = workflow
        self._reports: dict[str, RunReport] = {}
        self.steps: list[Step] = []

    def __bool__(self) -> bool:
        return bool(self._reports)

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids in ZenML."""
        return tuple(self._reports)

    @property
    def reports(self) -> tuple[RunReport, ...]:
        """What is known of them."""
        return tuple(self._reports.values())

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes a run as our orchestrator records it (`lightning_zenml.launch.spec.Update`), and sets the outputs."""
        self._reports[record["run_id"]] = RunReport(
            run_name=record["run_name"],
            pipeline=record["pipeline"],
            run_url=record["run_url"],
            orchestrator_url=record["orchestrator_url"],
            status="running",
        )
        for output, key in (
            ("run-id", "run_id"),
            ("run-name", "run_name"),
            ("run-url", "run_url"),
            ("orchestrator-url", "orchestrator_url"),
        ):
            self._workflow.set_output(output, record[key] or "")

    def refresh(self, machine: str | None) -> None:
        """Asks ZenML how runs and steps stand. What it can't tell now stays as it was.

        Args:
            machine: that the steps run on.
        """
        steps: list[Step] = []
        for run_id, known in self._reports.items():
            try:
                run, of_run = self._zenml.run(run_id), self._zenml.steps(run_id)
            except ZenMLServerError as error:
                self._workflow.log(f"{error}\n")
                continue
            steps += of_run
            reports = tuple(_report(step, machine) for step in of_run)
            self._reports[run_id] = replace(known, status=run.status, steps=reports)
        self.steps = steps

    @property
    def bad_status(self) -> str | None:
        """Status of the first run that did not complete."""
        return next((run.status for run in self.reports if run.status not in ("completed", "cached")), None)


def end_runs(zenml: ZenMLServer, run_ids: Iterable[str], workflow: Workflow, *, lost: str | None = None) -> None:
    """Records runs as ended in ZenML whose controllers had no time to do so themselves.

    Args:
        zenml: the ZenML server.
        run_ids: their ids.
        workflow: the runner.
        lost: why they failed; None: they were stopped.
    """
    for run_id in run_ids:
        try:
            if lost is None:
                zenml.end_run(run_id)
            else:
                zenml.end_run(run_id, status="failed", reason=lost)
        except ZenMLServerError as error:
            workflow.warning(f"ZenML could not be told that the run has ended: {error}")


def _report(step: Step, machine: str | None) -> StepReport:
    return StepReport(
        name=step.name,
        status=step.status,
        duration=step.duration.total_seconds() if step.duration else None,
        machine=machine,
    )
