"""The pipeline runs that a launch made, with what ZenML knows of them."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import JobReport, Report, RuleReport, RunReport, State, StepReport
from lightning_zenml.action.report.failure import in_repository
from lightning_zenml.action.report.metrics.baseline import Baseline
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.action.report.metrics.measured import Measured, Measurements
from lightning_zenml.action.report.metrics.settings import ReportSettings
from lightning_zenml.action.report.parts import artifact_report, job_report, step_report
from lightning_zenml.action.report.usage.advice import advise
from lightning_zenml.action.report.visualizations.pictures import Pictures
from lightning_zenml.action.report.visualizations.records import VisualizationReport
from lightning_zenml.action.report.visualizations.visualizations import Visualizations
from lightning_zenml.codes import Code
from lightning_zenml.deadline import within
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.zenml_api.models import Artifact, Graph, Run, Step
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.results import ZenMLResults
from lightning_zenml.zenml_api.run_end import FINISHED
from lightning_zenml.zenml_api.server import ZenMLServer

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.machines import Machine

_NO_BASE = "there is no base branch to compare with: name one in the input `report`, as `base: main`"
_LOG_LINES = 200
_PATIENCE = 90.0
"""Seconds for ZenML to tell how the runs stand, and all that is shown of them."""
_WITNESS_PATIENCE = 120.0
"""Seconds for ZenML to tell how runs ended that nobody saw the end of."""
_MARGIN = 2.0
"""Seconds of these that are left when visualizations are told, which come last."""
_ADVICE_PATIENCE = 20.0
"""Seconds for Lightning to tell what other machines cost."""
_LOOKS = 3
"""Looks that must find a run still under way before it is believed that nobody has ended it."""
_LOOK_PAUSE = 3.0

T = TypeVar("T")
_Read = tuple[RunReport, Measured]
_Seen = tuple[VisualizationReport, ...]


class Runs:
    """Runs in the order in which they were made.

    Args:
        zenml: the ZenML server.
        workflow: the runner, for log and warnings.
        baseline: what metrics are compared with.
        settings: the input `report`: which metrics are shown, and what is better.
        pictures: where pictures and pages are put that visualize artifacts; None: nowhere.
    """

    def __init__(
        self,
        zenml: ZenMLServer,
        workflow: Workflow,
        *,
        baseline: Baseline,
        settings: ReportSettings,
        pictures: Pictures | None = None,
    ) -> None:
        self._zenml = zenml
        self._results = ZenMLResults(zenml)
        self._visualizations = Visualizations(self._results, workflow, pictures, settings.exclude)
        self._artifacts: dict[str, list[Artifact]] = {}
        self._workflow = workflow
        self._baseline = baseline
        self._settings = settings
        self._measurements = Measurements(settings)
        self._reports: dict[str, RunReport] = {}
        self._measured: dict[str, Measured] = {}
        self._jobs: tuple[JobRecord, ...] = ()
        self._over: dict[str, tuple[Run, list[Step]]] = {}
        """Runs of which nothing new is to come, by id: of many, one after the other, only the last is asked for."""
        self._noted: set[str] = set()
        self._lock = threading.Lock()
        self._turn = 0
        self.steps: dict[str, list[Step]] = {}
        """By name of the run, as ZenML had them last."""
        self.is_up_to_date = True
        self.catalog: Callable[[], Sequence[Machine]] = tuple
        """Asks Lightning for its machines."""
        self._advice: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._reports)

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids in ZenML."""
        return tuple(self._reports)

    @property
    def reports(self) -> tuple[RunReport, ...]:
        """What is known of them."""
        return self._measurements.added_to(dict(self._reports), dict(self._measured))

    @property
    def rules(self) -> tuple[RuleReport, ...]:
        """The rules of `fail-if`, judged by what the runs have measured."""
        return self._measurements.judged(dict(self._reports), dict(self._measured))

    @property
    def jobs(self) -> tuple[JobReport, ...]:
        """The Lightning jobs that their steps run as, with what they have cost so far."""
        return tuple(map(job_report, self._jobs))

    def set_jobs(self, records: Sequence[JobRecord]) -> None:
        """Takes all jobs so far."""
        self._jobs = tuple(records)

    def add(self, record: RunRecord) -> None:
        """Takes a run, and sets the outputs."""
        self._reports[record.run_id] = RunReport(
            run_name=record.run_name,
            pipeline=record.pipeline,
            run_url=record.run_url,
            orchestrator_url=record.orchestrator_url,
            status="running",
        )
        if len(self._reports) > 1:
            # The outputs are the first run's.
            return
        for output, value in (
            ("run-id", record.run_id),
            ("run-name", record.run_name),
            ("run-url", record.run_url),
            ("orchestrator-url", record.orchestrator_url),
        ):
            self._workflow.set_output(output, value or "")

    def added_to(self, report: Report) -> Report:
        """A report with the runs and jobs, as far as they are known by now."""
        rules, advice = (self.rules, self._advice) if report.state is State.COMPLETED else ((), ())
        return replace(report, runs=self.reports, jobs=self.jobs, rules=rules, advice=advice)

    def refresh(self, machine: str | None, *, ended: bool = False, patience: float = _PATIENCE) -> None:
        """Asks ZenML how runs and steps stand. What it can't tell now stays as it was.

        Two threads may ask at once: what was asked later counts.

        Args:
            machine: name of the studio's machine, on which all steps run that are not jobs.
            ended: whether to ask for all that the runs have made, too.
            patience: seconds that it may take in all.
        """
        with self._lock:
            self._turn += 1
            turn = self._turn
            self.is_up_to_date = not self._reports
        deadline = time.monotonic() + patience
        try:
            within(patience, lambda: self._refresh(turn, machine, deadline, ended=ended))
        except Exception as error:
            # How a run ended is known by then, or nobody can tell.
            self._note(error)

    def _refresh(self, turn: int, machine: str | None, deadline: float, *, ended: bool) -> None:
        seen: dict[str, tuple[Run, list[Step]]] = {}
        for run_id, known in tuple(self._reports.items()):
            if not ended and run_id in self._over:
                seen[run_id] = self._over[run_id]
                continue
            try:
                run, steps = self._zenml.run(run_id), self._zenml.steps(run_id)
            except ZenMLServerError as error:
                self._note(error)
                if error.status is None:
                    # Nor would it answer for the others.
                    break
                continue
            seen[run_id] = run, steps
            self._keep(turn, replace(known, status=run.status), run_id)
        with self._lock:
            if turn != self._turn:
                return
            self.steps = {run.name: steps for run, steps in seen.values()}
            self.is_up_to_date = len(seen) == len(self._reports)
        # Only then what is merely shown.
        for run_id, (run, steps) in seen.items():
            if not ended and run_id in self._over:
                continue
            try:
                report, measured = self._read(self._reports[run_id], run, steps, machine, ended=ended)
            except Exception as error:
                self._note(error)
            else:
                self._keep(turn, report, run_id, measured)
                if run.finished and all(step.status in FINISHED for step in steps):
                    self._over[run_id] = run, steps
        if ended:
            self._advice = self._or(lambda: within(_ADVICE_PATIENCE, lambda: advise(seen.values(), self.catalog)), ())
            left = deadline - time.monotonic() - _MARGIN
            names = {run_id: report.run_name for run_id, report in self._reports.items()}
            found = self._or(lambda: self._visualizations.of(self._artifacts, names, patience=left), dict[str, _Seen]())
            for run_id, visualizations in found.items():
                self._keep(turn, replace(self._reports[run_id], visualizations=visualizations), run_id)

    def ended(self, launch_ids: Collection[str], *, patience: float = _WITNESS_PATIENCE) -> list[Run]:
        """Asks ZenML, the witness that outlives the studio, for the runs of a launch that has ended unseen.

        Args:
            launch_ids: ids of the launch, and of the one in which its run has begun.
            patience: seconds for ZenML to answer, where it doesn't at once.

        Returns:
            All of them, once none is under way any more; none where one stays so, or ZenML tells nothing.
        """
        deadline, looks = time.monotonic() + patience, _LOOKS
        while True:
            try:
                runs = [run for launch_id in sorted(launch_ids) for run in self._zenml.runs_of_launch(launch_id)]
                known = {run.id for run in runs}
                runs += [self._zenml.run(run_id) for run_id in self.ids if run_id not in known]
                if all(run.is_over for run in runs):
                    return runs
                # Its controller told ZenML before it gave the studio back: one more look is enough.
                looks -= 1
            except Exception as error:
                self._note(error)
            if not looks or time.monotonic() + _LOOK_PAUSE > deadline:
                return []
            time.sleep(_LOOK_PAUSE)

    def settle(self, runs: Iterable[Run]) -> None:
        """Takes how runs ended, which ZenML may not tell once more."""
        for run in runs:
            if known := self._reports.get(run.id):
                self._reports[run.id] = replace(known, status=run.status)

    def _keep(self, turn: int, report: RunReport, run_id: str, measured: Measured | None = None) -> None:
        with self._lock:
            if turn == self._turn:
                self._reports[run_id] = report
                if measured:
                    self._measured[run_id] = measured

    def _note(self, error: Exception) -> None:
        """Logs what keeps the report from being whole, once of each kind."""
        kind = f"{type(error).__name__}: {error}"
        if kind not in self._noted:
            self._noted.add(kind)
            if not isinstance(error, ZenMLServerError | TimeoutError):
                self._workflow.log("".join(traceback.format_exception(error)))
            self._workflow.log(f"{error or 'ZenML takes too long to answer.'}\n")

    @property
    def bad_status(self) -> str | None:
        """Status of the run that tells why not all completed: one that failed, else the first that did not complete."""
        bad = [run.status for run in self._reports.values() if run.status not in ("completed", "cached")]
        return "failed" if "failed" in bad else next(iter(bad), None)

    def _read(self, known: RunReport, run: Run, steps: list[Step], machine: str | None, *, ended: bool) -> _Read:
        report = self._with_steps(replace(known, status=run.status), run, steps, machine)
        artifacts: list[Artifact] = []
        models: dict[str, Mapping[str, Any]] = {}
        if ended:
            report = self._with_logs(report, steps)
            artifacts = self._artifacts[run.id] = self._or(lambda: self._results.artifacts(run), artifacts)
            models = self._or(lambda: self._results.models(run, steps), models)
        report = replace(report, artifacts=tuple(map(artifact_report, artifacts)))
        logged = Logged.of(run, steps, artifacts, models, self._settings)
        return report, self._beside_base(run, Measured(logged=logged, is_all=ended))

    def _with_steps(self, known: RunReport, run: Run, steps: list[Step], machine: str | None) -> RunReport:
        begun = {step.name for step in steps}
        graph = self._or(lambda: self._results.graph(run.id), Graph(steps=(), edges=known.edges))
        to_come = "skipped" if run.finished else "waiting"
        waiting = tuple(StepReport(name=name, status=to_come) for name in graph.steps if name not in begun)
        # Of a step that was tried again, the last job.
        jobs = {job.step: job for job in self._jobs if job.run_id == run.id}
        begun_steps = (step_report(step, machine, jobs.get(step.name)) for step in steps)
        return replace(known, steps=(*begun_steps, *waiting), edges=graph.edges)

    def _with_logs(self, known: RunReport, steps: list[Step]) -> RunReport:
        logs = {step.name: self._log(step) for step in steps if step.status == "failed"}
        return replace(known, steps=tuple(replace(step, log=logs.get(step.name, "")) for step in known.steps))

    def _beside_base(self, run: Run, measured: Measured) -> Measured:
        if not measured.logged.metrics:
            return measured
        try:
            base = self._baseline.of(run)
        except Exception as error:
            self._note(error)
            return replace(measured, lacks=f"the base branch's runs are not known: {error}")
        return replace(measured, base=base, lacks="" if base else _NO_BASE)

    def _log(self, step: Step) -> str:
        """The end of a failed step's log; the traceback, where the server can't read the artifact store."""
        log_id = step.log_id
        log = self._or(lambda: self._results.log(log_id, _LOG_LINES), "") if log_id else ""
        return in_repository(log or step.traceback or "").strip()

    def _or(self, ask: Callable[[], T], otherwise: T) -> T:
        """The answer; a report with a part missing is better than none."""
        try:
            return ask()
        except Exception as error:
            self._note(error)
            return otherwise


def end_runs(
    zenml: ZenMLServer,
    run_ids: Iterable[str],
    workflow: Workflow,
    *,
    begun: Collection[str],
    lost: str | None = None,
) -> None:
    """Records runs as ended in ZenML whose controllers had no time to do so themselves.

    Args:
        zenml: the ZenML server.
        run_ids: ids of the runs in ZenML.
        workflow: the runner, for log and warnings.
        begun: ids of the runs that have begun; the others came to nothing before.
        lost: why the runs failed; None: they were stopped.
    """
    for run_id in run_ids:
        try:
            if lost is None:
                zenml.end_run(run_id, has_begun=run_id in begun)
            else:
                zenml.end_run(run_id, status="failed", reason=lost, has_begun=run_id in begun)
        except Exception as error:
            workflow.warning(f"ZenML could not be told that the run has ended: {error}", Code.ZENML_AWAY)
            if isinstance(error, ZenMLServerError) and error.status is None:
                # Nor would it answer for the others, and each try takes its time.
                return
