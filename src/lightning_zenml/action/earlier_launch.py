"""`attach`: a launch that an earlier step has left is found again, with the comment that tells of it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from lightning_zenml.action.checks.checks import connect
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.launch.errors import StudioLostError, UnknownLaunchError
from lightning_zenml.launch.launcher import Launch, Launcher
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.studio.names import studio_name_of
from lightning_zenml.zenml_api.costs import uses
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer


class EarlierLaunch:
    """The launch that `attach` names.

    Args:
        inputs: the step's inputs.
        event: what started this workflow run, not the one that launched.
        zenml: the ZenML server, which knows the launch's runs.
        reporter: what goes on with the launch's comment.
        handover: what post is told.
        log: the step's log.
    """

    def __init__(
        self,
        inputs: Inputs,
        event: Event,
        *,
        zenml: ZenMLServer,
        reporter: Reporter,
        handover: Handover,
        log: Log,
    ) -> None:
        self._inputs = inputs
        self._event = event
        self._zenml = zenml
        self._reporter = reporter
        self._handover = handover
        self._log = log

    def take_over(self, launch_id: str) -> Launch | None:
        """Attaches to the launch, or to the one in which its run was resumed; its comment is ours from then on.

        Args:
            launch_id: id of the launch that `attach` names.

        Returns:
            The launch; None when it has ended.

        Raises:
            LaunchError: if Lightning can't be asked; the launch goes on as it was.
            ZenMLServerError: if the ZenML server can't be asked; the launch goes on as it was.
        """
        runs = self.runs()
        launch_id = next(filter(None, (run.goes_on_in for run in runs)), launch_id)
        launch = self._attach(launch_id)
        names = [run.pipeline or run.name for run in runs]
        self._reporter.report = replace(self._reporter.report, launch_id=launch_id, pipeline=[launch_id, *names][-1])
        self._take_origin(runs)
        if launch is not None:
            self._reporter.set_period(launch.since)
        else:
            starts, ends = [run.start for run in runs if run.start], [run.end for run in runs if run.end]
            if starts and ends:
                self._reporter.set_period(min(starts).timestamp(), max(ends).timestamp())
            self._note_use(runs)
        return launch

    def runs(self) -> list[Run]:
        """The ZenML runs that the launch has made so far; none without `attach`.

        Raises:
            ZenMLServerError: if the ZenML server can't be asked.
        """
        return self._zenml.runs_of_launch(self._inputs.attach) if self._inputs.attach else []

    def find_origin(self) -> None:
        """Where the launch comes from, its runs tell; until they do, nobody knows whose comment is meant."""
        with contextlib.suppress(ZenMLServerError):
            self._take_origin(self.runs())

    def settle_origin(self) -> None:
        """Of what nobody can tell where it comes from, we tell on our own commit."""
        if not self._reporter.has_origin:
            self.find_origin()
        if not self._reporter.has_origin:
            self._reporter.set_origin(Origin.of(self._event, self._inputs))

    def _attach(self, launch_id: str) -> Launch | None:
        stack = self._zenml.stack(self._inputs.stack)
        lightning = connect(self._inputs, stack.teamspace)
        self._handover.note_teamspace(f"{lightning.owner}/{lightning.teamspace}")
        try:
            launch = Launcher(lightning).attach(launch_id)
        except (StudioLostError, UnknownLaunchError) as error:
            self._log.line(str(error))
            gone = Studio.find(lightning, studio_name_of(launch_id)) is None
            self._reporter.report = replace(self._reporter.report, studio_deleted=gone)
            return None
        self._handover.note_hold(launch.hold)
        return launch

    def _note_use(self, runs: list[Run]) -> None:
        """What runs still tell of a studio that is gone: its page, its machine, and what it has cost."""
        with contextlib.suppress(ZenMLServerError):
            used = uses(self._zenml, runs)
            machines = [use.studio.meter.machine for use in used if use.studio]
            costs = [use.cost for use in used]
            known = [cost for cost in costs if cost is not None]
            pages = [run.orchestrator_url for run in runs if run.orchestrator_url]
            self._reporter.report = replace(
                self._reporter.report,
                studio_url=pages[-1] if pages else None,
                machine=machines[-1] if machines else None,
                cost=sum(known) if known and len(known) == len(costs) else None,
            )

    def _take_origin(self, runs: list[Run]) -> None:
        origins = (Origin.of_run(run.metadata, self._event.repository) for run in runs)
        if origin := next(filter(None, origins), None):
            # What was begun with the launch is ended here, too, unasked for.
            check_run = origin.check_run or self._inputs.check_run
            deployment = origin.deployment or self._inputs.deployment
            self._reporter.set_origin(replace(origin, check_run=check_run, deployment=deployment))
