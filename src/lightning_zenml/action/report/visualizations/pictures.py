"""Where pictures and pages go that a job summary can't show: nowhere, a branch, or an artifact of the workflow run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lightning_zenml.action.github.admission import github_of
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import leg_of
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs, PicturesIn
from lightning_zenml.action.report.visualizations.artifact import PicturesInArtifact
from lightning_zenml.action.report.visualizations.branch import PicturesOnBranch
from lightning_zenml.action.report.visualizations.records import Kind, Published, VisualizationFile


class Pictures(Protocol):
    """A place for them.

    Attributes:
        kinds: what it takes.
    """

    kinds: frozenset[Kind]

    def check(self) -> None:
        """Sees whether there is such a place here, before anything is read.

        Raises:
            CodedError: if there is none; says what to do.
        """

    def publish(self, files: Sequence[VisualizationFile]) -> tuple[Published, ...]:
        """Puts files there; doing so twice does no harm.

        Args:
            files: what is put there.

        Returns:
            Where each of them is.

        Raises:
            CodedError: if GitHub doesn't answer or refuses.
        """

    def clean_up(self) -> None:
        """Removes what is long over.

        Raises:
            CodedError: if GitHub doesn't answer or refuses.
        """


def pictures_of(inputs: Inputs, event: Event, environ: Mapping[str, str], workflow: Workflow) -> Pictures | None:
    """Where pictures are put; None where they are not wanted, or there is no token for it.

    Args:
        inputs: the step's inputs.
        event: what started the workflow run.
        environ: variables of the step.
        workflow: the runner, which hides secrets.
    """
    match inputs.pictures:
        case PicturesIn.BRANCH:
            github = github_of(inputs, event)
            return PicturesOnBranch(github, event) if github else None
        case PicturesIn.ARTIFACT:
            return PicturesInArtifact(event, inputs.leg or leg_of(inputs.matrix), environ, workflow)
        case PicturesIn.NONE:
            return None
