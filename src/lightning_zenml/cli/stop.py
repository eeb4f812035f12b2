"""`stop`: ends launches and gives back what they hold, as a cancelled workflow does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.launches import Launched, attached, check_teamspace
from lightning_zenml.cli.output import Output
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.pipeline import Execution

_REASON = "Stopped by `lightning-zenml stop`."


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What became of a launch.

    Args:
        launch_id: id of the launch.
        stopped: whether it was under way.
        told: what was done, in one sentence.
    """

    launch_id: str
    stopped: bool
    told: str


def stop(connection: Connection, output: Output, launched: Sequence[Launched], *, grace: float) -> None:
    """Stops launches, one after the other; one that has ended is left as it is.

    Args:
        connection: ZenML and the teamspace.
        output: where it is told.
        launched: the launches.
        grace: seconds that a run has for an orderly end.

    Raises:
        LaunchError: if Lightning refuses; what is not stopped yet goes on.
        ZenMLServerError: if the ZenML server can't be asked.
    """
    told = [_stopped(connection, one, grace) for one in launched]
    if output.is_json:
        output.json(told)
        return
    for one in told:
        output.line(f"{one.launch_id}: {one.told}")


def _stopped(connection: Connection, launched: Launched, grace: float) -> Stopped:
    check_teamspace(connection, launched)
    # Should its studio not answer: the controller looks at ZenML.
    for run in launched.runs:
        if not run.is_over:
            connection.zenml.ask_to_stop(run.id, _REASON)
    stopped = _stop_execution if launched.is_execution else _stop_launch
    result = stopped(connection, launched, grace)
    # A controller that was killed has told ZenML nothing.
    for run in launched.runs:
        connection.zenml.end_run(run.id, reason=_REASON)
    return result


def _stop_launch(connection: Connection, launched: Launched, grace: float) -> Stopped:
    launch = attached(connection, launched)
    if launch is None:
        Job.end_all(connection.lightning, launched.id)
        return Stopped(launch_id=launched.id, stopped=False, told="It has ended before.")
    if not launch.is_under_way():
        told = f"It has ended before. Studio {launch.studio_name} is left as it is."
        return Stopped(launch_id=launched.id, stopped=False, told=told)
    launch.stop(grace=grace)
    return Stopped(launch_id=launched.id, stopped=True, told=f"Stopped. {launch.release_notice}.")


def _stop_execution(connection: Connection, launched: Launched, grace: float) -> Stopped:
    """A run of a schedule: a job on Lightning, which has been asked to stop by ZenML already."""
    execution = Execution.find(connection.lightning, launched.id)
    if execution is None or execution.ended:
        return Stopped(launch_id=launched.id, stopped=False, told="It has ended before.")
    execution.stop()
    Job.end_all(connection.lightning, launched.id)
    return Stopped(launch_id=launched.id, stopped=True, told="Stopped. The schedule goes on.")
