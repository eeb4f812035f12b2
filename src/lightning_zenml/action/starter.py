"""Whoever starts a launch, a workflow on GitHub or a person at a terminal: in what its story differs by that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.launch.payload.variables import GITHUB


@dataclass(frozen=True, kw_only=True)
class Starter:
    """Whoever starts a launch.

    Args:
        name: what a fresh studio is named after.
        owner: who launches, in a few words; shown to a launch that waits for the same studio.
        provenance: variables by which our orchestrator learns where the run comes from.
        no_commit: what is told where no commit is checked out.
        interruption: what an interruption is, as a clause.
        leaving: what has asked that the run go on then, in words.
        attaching: how to follow a launch again, with `ID` in the place of its id.
        insisting: who tries again to release what could not be released, as a sentence.
        grace: seconds that the run has for an orderly end before the three that it has anyhow.
        hurriers: signals that cut them short.
    """

    name: str
    owner: str
    provenance: Mapping[str, str] = field(repr=False)
    no_commit: str
    interruption: str
    leaving: str
    attaching: str
    insisting: str
    grace: float = 0.0
    hurriers: tuple[int, ...] = ()

    @classmethod
    def of_workflow(cls, event: Event, inputs: Inputs) -> Starter:
        """A workflow.

        Args:
            event: what started the workflow run.
            inputs: the step's inputs.
        """
        provenance = {
            "repository": event.repository,
            "sha": event.head_sha,
            "ref": event.ref,
            "branch": event.branch,
            "pull_request": event.pull_requests[0] if event.pull_requests else None,
            "workflow_run_url": event.run_url,
            "actor": event.actor,
            "origin": Origin.of(event, inputs).as_json(),
        }
        return cls(
            name=event.repository.rpartition("/")[2] or "run",
            owner=f"{event.repository} {event.run_url}".strip(),
            provenance={GITHUB: json.dumps(provenance)},
            no_commit="No commit is checked out here; `path:` of actions/checkout goes with the input "
            "`working-directory`",
            interruption="The workflow is cancelled",
            leaving="`stop-on-cancel: false`",
            attaching="run this action with `attach: ID`",
            insisting="It is tried again when the job ends.",
        )

    def attach(self, launch_id: str) -> str:
        """How to follow a launch again, in words."""
        return self.attaching.replace("ID", launch_id)

    def goes_on(self, launch_id: str, studio_url: str) -> str:
        """What is told after an interruption where the run is not to be stopped.

        Args:
            launch_id: id of the launch.
            studio_url: page of its studio.
        """
        return (
            f"{self.interruption}; the run goes on in {studio_url}, as {self.leaving} says. To follow it, "
            f"{self.attach(launch_id)}."
        )
