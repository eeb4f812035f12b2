"""What runs a step elsewhere than in the studio: the seam for another kind of machine than Lightning's jobs.

`lightning_zenml.launch.lightning.job.Job` is one. Who adds another gives these, starts it as `job_starter` starts jobs,
and has `job.StepJob` watch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.records import JobState, LogLine


class StepMachine(Protocol):
    """One or several machines with the program of one step on them."""

    @property
    def name(self) -> str:
        """Name that users find it by."""

    @property
    def url(self) -> str:
        """Page where users look at it."""

    def state(self) -> JobState:
        """Asks how the program stands, and for its exit code once it has ended.

        Raises:
            JobLostError: if one look finds it gone.
            LaunchError: if the platform can't be asked now.
        """

    def is_listed(self) -> bool:
        """Asks in another way whether it is there: it is gone when several looks of both kinds agree.

        Raises:
            LaunchError: if the platform can't be asked now.
        """

    def logs(self, since: datetime | None = None) -> Sequence[LogLine]:
        """Reads what the program has written, oldest first.

        Args:
            since: time of the first line wanted, with a time zone; None: all of them.

        Raises:
            LaunchError: if the platform can't be asked now.
        """

    def stop(self) -> None:
        """Asks for the program's end. Harmless when it has ended.

        Raises:
            LaunchError: if the platform refuses, or can't be asked now.
        """

    def delete(self) -> None:
        """Makes sure that nothing runs on and nothing costs; the log may be lost. Harmless when it is gone.

        Raises:
            LaunchError: if the platform refuses, or can't be asked now.
        """
