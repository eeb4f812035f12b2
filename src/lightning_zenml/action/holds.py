"""What must be released at the end, noted for `post` before it costs anything: main may be killed at any time."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.launch.launcher import Hold


class Holds:
    """What the launches of this step hold, by their ids; a command on the runner may make several.

    Args:
        workflow: the runner, which keeps them for `post`.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._holds: dict[str, Hold] = {}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def take(self, hold: Hold) -> None:
        """Notes what a launch holds now, and sets the outputs that tell of it."""
        if hold.is_over:
            self._holds.pop(hold.launch_id, None)
        else:
            self._holds[hold.launch_id] = hold
        self._workflow.save_state("holds", json.dumps([hold.as_dict() for hold in self._holds.values()]))
        self._workflow.set_output("studio-name", hold.studio_name)
        self._workflow.set_output("launch-id", hold.launch_id)


def left_by_main(environ: Mapping[str, str]) -> list[Hold]:
    """What main held when it ended.

    Args:
        environ: variables of the step, `STATE_*` among them.
    """
    return [Hold(**hold) for hold in json.loads(environ.get("STATE_holds") or "[]")]
