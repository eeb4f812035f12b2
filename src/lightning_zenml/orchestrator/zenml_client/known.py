"""What the process of a step has asked ZenML for already, and ZenML's own code would ask it for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.orchestrators import BaseOrchestrator

if TYPE_CHECKING:
    from zenml.models import PipelineSnapshotResponse

_known: dict[object, PipelineSnapshotResponse] = {}


def keep(snapshot: PipelineSnapshotResponse) -> None:
    """Keeps what the process of a step has from its beginning: project, stack, and the snapshot.

    Args:
        snapshot: compiled pipeline, with this step's configuration alone. The whole of it, which hooks would ask for,
            holds that of all steps: each step would cost the more, the more steps there are.
    """
    _known[snapshot.id] = snapshot
    client, configuration = Client(), GlobalConfiguration()
    # The client looks whether they are those of its variables, and asks for others.
    client._active_project = client._active_project or configuration._active_project
    client._active_stack = client._active_stack or configuration._active_stack


class HooksOfKnownSnapshots(BaseOrchestrator):  # type: ignore[misc]
    """Runs the hooks of a pipeline, in the process of each step, by the snapshot that is known there."""

    @classmethod
    def run_init_hook(cls, snapshot: PipelineSnapshotResponse) -> None:
        """Runs the hook at the begin.

        Args:
            snapshot: compiled pipeline, maybe no more than its id yet.
        """
        super().run_init_hook(_known.get(snapshot.id, snapshot))

    @classmethod
    def run_cleanup_hook(cls, snapshot: PipelineSnapshotResponse) -> None:
        """Runs the hook at the end.

        Args:
            snapshot: compiled pipeline, maybe no more than its id yet.
        """
        super().run_cleanup_hook(_known.get(snapshot.id, snapshot))
