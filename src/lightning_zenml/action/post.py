"""The safety net after main: releases what main left running, finishes the comment. Harmless when nothing is left."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from enum import Enum, auto
from functools import partial

from lightning_zenml.action.checks.checks import connect
from lightning_zenml.action.github.admission import github_of, mask_secrets
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.report import State
from lightning_zenml.action.report.metrics.baseline import Baseline
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs, end_runs
from lightning_zenml.action.report.visualizations.pictures import pictures_of
from lightning_zenml.action.starter import Starter
from lightning_zenml.codes import Code
from lightning_zenml.deadline import begin, within
from lightning_zenml.launch.launcher import Hold, Launcher
from lightning_zenml.launch.payload.protocol import Release
from lightning_zenml.launch.spec import Failure, Phase
from lightning_zenml.zenml_api.models import Teamspace
from lightning_zenml.zenml_api.server import ZenMLServer

_GRACE = 20.0
"""Seconds that a run has for an orderly end."""
_RELEASE_PATIENCE = 225.0
"""Seconds to insist on the release. GitHub ends a job five minutes after the workflow was cancelled, whatever it does
(https://docs.github.com/actions/reference/workflows-and-actions/workflow-cancellation); main has had ten seconds."""
_PAUSE = 3.0
"""Seconds between two tries."""
_END_PATIENCE = 15.0
"""Seconds for ZenML to take note of the end."""
_LOOK_PATIENCE = 15.0
"""Seconds for ZenML to tell what is reported."""
_REPORT_PATIENCE = 25.0
"""Seconds for the report."""


def post(environ: Mapping[str, str], workflow: Workflow) -> int:
    """Cleans up after main.

    Args:
        environ: variables of the step, `STATE_*` among them.
        workflow: the runner.

    Returns:
        The exit code: 1 when something may still be running.
    """
    left = Left.from_environ(environ)
    if left.is_nothing:
        return 0
    try:
        inputs = Inputs.from_environ(environ)
    except InputsError as error:
        # Main refused them too, before it started anything; that may be still to be told.
        inputs = error.inputs
    event = Event.from_environ(environ)
    mask_secrets(inputs, event, workflow, environ)
    zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
    fate = None if left.is_finished else _release_all(left, inputs, Starter.of_workflow(event, inputs), zenml, workflow)
    # What `attach` has let go of may go on elsewhere.
    if fate is _Fate.ENDED and (left.holds or not left.is_attached):
        begun = [record.run_id for record in left.runs]
        _in_time(_END_PATIENCE, lambda: end_runs(zenml, left.run_ids, workflow, begun=begun), workflow)
    if left.report and not left.is_reported:
        github = github_of(inputs, event)
        pictures = pictures_of(inputs, event, environ, workflow)
        baseline = Baseline(zenml, event, github, inputs.report)
        runs = Runs(zenml, workflow, baseline=baseline, settings=inputs.report, pictures=pictures)
        reporter = Reporter.resumed(
            workflow,
            Handover(workflow),
            github,
            event,
            left.report,
            comments=inputs.comment,
            with_runs=runs.added_to,
        )
        _in_time(_LOOK_PATIENCE + _REPORT_PATIENCE, lambda: _report(left, reporter, runs, fate), workflow)
    return 1 if fate is _Fate.UNKNOWN else 0


class _Fate(Enum):
    """What became of a launch that main did not finish."""

    ENDED = auto()
    GOES_ON = auto()
    UNKNOWN = auto()


def _release_all(left: Left, inputs: Inputs, starter: Starter, zenml: ZenMLServer, workflow: Workflow) -> _Fate:
    """Releases all that main held, each by itself: one that can't be released doesn't keep the others."""
    if not left.holds:
        return _Fate.ENDED
    deadline = time.monotonic() + _RELEASE_PATIENCE
    if inputs.stop_on_cancel:
        # Should Lightning not be there: the controller looks at ZenML, and the payload releases what nobody follows.
        begin(lambda: _ask_to_stop(zenml, left.run_ids, workflow))
    releases = {hold: begin(partial(_release, hold, left, inputs, starter, workflow, deadline)) for hold in left.holds}
    fates = {_fate_of(hold, release, deadline, workflow) for hold, release in releases.items()}
    return next(fate for fate in (_Fate.UNKNOWN, _Fate.GOES_ON, _Fate.ENDED) if fate in fates)


def _fate_of(hold: Hold, release: Future[_Fate], deadline: float, workflow: Workflow) -> _Fate:
    try:
        return release.result(max(deadline - time.monotonic(), 0))
    except Exception as error:
        why = str(error) or "Lightning AI does not answer in time."
        workflow.error(
            f"The studio {hold.studio_name} could not be released and may cost money: {why} Stop it on Lightning AI.",
            Code.NOT_RELEASED,
            title="A studio may still be running",
        )
        return _Fate.UNKNOWN


def _release(hold: Hold, left: Left, inputs: Inputs, starter: Starter, workflow: Workflow, deadline: float) -> _Fate:
    """Releases one, again and again until the deadline."""
    told = False
    while True:
        try:
            return _try_to_release(hold, left, inputs, starter, workflow)
        except Exception as error:
            if time.monotonic() + _PAUSE > deadline:
                raise
            if not told:
                workflow.log(f"The studio {hold.studio_name} can't be released yet, which is tried again: {error}\n")
            told = True
            time.sleep(_PAUSE)


def _try_to_release(hold: Hold, left: Left, inputs: Inputs, starter: Starter, workflow: Workflow) -> _Fate:
    launch = Launcher(connect(inputs, Teamspace(name=left.teamspace))).resume(hold)
    if not inputs.stop_on_cancel and launch.is_under_way():
        launch.leave()
        workflow.notice(starter.goes_on(launch.id, launch.studio_url), Code.GOES_ON)
        return _Fate.GOES_ON
    launch.stop(grace=_GRACE)
    if left.report and left.report.report.is_final:
        what, code = "after the run; it is released", Code.NOT_RELEASED
    else:
        what, code = "and is released; the run is stopped", Code.STOPPED
    workflow.notice(f"The studio {hold.studio_name} was still held {what}.", code)
    return _Fate.ENDED


def _ask_to_stop(zenml: ZenMLServer, run_ids: Iterable[str], workflow: Workflow) -> None:
    for run_id in run_ids:
        try:
            zenml.ask_to_stop(run_id)
        except Exception as error:
            workflow.debug(f"ZenML could not be asked to stop the run {run_id}: {error}")


def _in_time(seconds: float, call: Callable[[], None], workflow: Workflow) -> None:
    """Does what counts less than the release, and must not last."""
    try:
        within(seconds, call)
    except Exception as error:
        workflow.log(f"{''.join(traceback.format_exception(error))}\n")


def _report(left: Left, reporter: Reporter, runs: Runs, fate: _Fate | None) -> None:
    """Tells how it ended, with all that main knew and what ZenML knows by now."""
    for record in left.runs:
        runs.add(record)
    runs.set_jobs(left.jobs)
    runs.refresh(reporter.report.machine, ended=fate is not _Fate.GOES_ON, patience=_LOOK_PATIENCE)
    report = reporter.report
    if fate is _Fate.GOES_ON:
        report = replace(report, state=State.RUNNING, is_async=True)
    elif fate and not report.is_final:
        report = replace(report, state=State.CANCELLED)
    deleted = [hold.studio_name for hold in left.holds if hold.release is Release.DELETE]
    if fate is _Fate.ENDED and report.studio_name in deleted:
        report = replace(report, studio_deleted=True)
    if fate is _Fate.UNKNOWN:
        studio = report.studio_name or left.holds[-1].studio_name
        message = f"The studio {studio} could not be released and may cost money. Stop it on Lightning AI."
        failure = Failure(phase=Phase.RUNNING, message=message, code=Code.NOT_RELEASED)
        report = replace(report, failure=failure)
    reporter.report = report
    reporter.update(at_once=True, patience=_REPORT_PATIENCE)
