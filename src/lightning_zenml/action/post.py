"""The safety net after main: releases what main left running, finishes the comment. Harmless when nothing is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto

from lightning_zenml.action.ending import goes_on
from lightning_zenml.action.github.admission import github_of, mask_secrets
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.prepare import connect
from lightning_zenml.action.report import State
from lightning_zenml.action.report.baseline import Baseline
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.action.report.runs import Runs, end_runs
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.launcher import Hold, Launcher
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.spec import Failure, Phase
from lightning_zenml.zenml_api.models import Teamspace
from lightning_zenml.zenml_api.server import ZenMLServer

_GRACE = 20.0


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
    except InputsError:
        # Main refused them too, before it started anything.
        return 0
    event = Event.from_environ(environ)
    mask_secrets(inputs, event, workflow)
    handover = Handover(workflow)
    zenml = ZenMLServer(inputs.zenml_store_url, inputs.zenml_store_api_key)
    fate = None if left.is_finished else _release_all(left, inputs, workflow)
    # What `attach` has let go of may go on elsewhere.
    if fate is _Fate.ENDED and (left.holds or not inputs.attach):
        end_runs(zenml, left.run_ids, workflow, begun=[record.run_id for record in left.runs])
    if fate is not _Fate.UNKNOWN:
        # Before the comment: whatever GitHub says to that, nothing is left to release.
        handover.note_finished()
    if left.report and not left.is_reported:
        github = github_of(inputs, event)
        reporter = Reporter.resumed(workflow, handover, github, event, left.report, comments=inputs.comment)
        baseline = Baseline(zenml, event, github, inputs.report)
        _report(left, reporter, Runs(zenml, workflow, baseline=baseline, settings=inputs.report), fate)
    return 1 if fate is _Fate.UNKNOWN else 0


class _Fate(Enum):
    """What became of a launch that main did not finish."""

    ENDED = auto()
    GOES_ON = auto()
    UNKNOWN = auto()


def _release_all(left: Left, inputs: Inputs, workflow: Workflow) -> _Fate:
    """Releases all that main held; one that can't be released doesn't keep the others."""
    if not left.holds:
        return _Fate.ENDED
    try:
        lightning = connect(inputs, Teamspace(name=left.teamspace))
    except LaunchError as error:
        _warn(", ".join(hold.studio_name for hold in left.holds), error, workflow)
        return _Fate.UNKNOWN
    fates = {_release(lightning, hold, inputs, workflow) for hold in left.holds}
    return next(fate for fate in (_Fate.UNKNOWN, _Fate.GOES_ON, _Fate.ENDED) if fate in fates)


def _release(lightning: Lightning, hold: Hold, inputs: Inputs, workflow: Workflow) -> _Fate:
    try:
        launch = Launcher(lightning).resume(hold)
        if not inputs.stop_on_cancel and launch.is_under_way():
            launch.leave()
            workflow.notice(goes_on(launch.id, launch.studio_url), title="The run goes on")
            return _Fate.GOES_ON
        launch.stop(grace=_GRACE)
    except LaunchError as error:
        _warn(hold.studio_name, error, workflow)
        return _Fate.UNKNOWN
    workflow.notice(f"The studio {hold.studio_name} was still held; the run is stopped, the studio released.")
    return _Fate.ENDED


def _warn(studio_name: str, error: Exception, workflow: Workflow) -> None:
    workflow.error(
        f"The studio {studio_name} could not be released and may cost money: {error} Stop it on Lightning AI.",
        title="A studio may still be running",
    )


def _report(left: Left, reporter: Reporter, runs: Runs, fate: _Fate | None) -> None:
    """Tells how it ended, with all that main knew and what ZenML knows by now."""
    for record in left.runs:
        runs.add(record)
    runs.set_jobs(left.jobs)
    runs.refresh(reporter.report.machine, ended=fate is not _Fate.GOES_ON)
    report = reporter.report
    if fate is _Fate.GOES_ON:
        report = replace(report, state=State.RUNNING, is_async=True)
    elif fate and not report.is_final:
        report = replace(report, state=State.CANCELLED)
    deleted = [hold.studio_name for hold in left.holds if hold.release == "delete"]
    if fate is _Fate.ENDED and report.studio_name in deleted:
        report = replace(report, studio_deleted=True)
    if fate is _Fate.UNKNOWN:
        studio = report.studio_name or left.holds[-1].studio_name
        message = f"The studio {studio} could not be released and may cost money. Stop it on Lightning AI."
        report = replace(report, failure=Failure(phase=Phase.RUNNING, message=message))
    reporter.report = report
    reporter.update(at_once=True, runs=runs.reports, jobs=runs.jobs)
