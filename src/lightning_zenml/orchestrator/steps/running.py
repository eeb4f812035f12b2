"""What a step under way is, wherever it runs."""

from __future__ import annotations

from typing import Protocol

from lightning_zenml.launch.errors import LaunchError


class RunningStep(Protocol):
    """A step under way, wherever it runs."""

    @property
    def error(self) -> LaunchError | None:
        """Why it has ended before it began, as far as that is known."""

    @property
    def url(self) -> str:
        """Its own page on Lightning AI; '' for a step in the studio."""

    @property
    def age(self) -> float:
        """Seconds since it was started."""

    def poll(self) -> int | None:
        """Gets the exit code; None while the step runs."""

    def wait(self, timeout: float) -> bool:
        """Waits, `timeout` seconds at most; returns whether the step has ended."""

    def terminate(self) -> None:
        """Asks the step to end, once."""

    def kill(self) -> None:
        """Ends it; harmless when it has ended."""


class UnstartedStep:
    """A step that couldn't be started, which is how it has ended, and is recorded so.

    Args:
        error: why it couldn't be started, for whoever records that; None: it is recorded already.
    """

    url = ""
    age = 0.0

    def __init__(self, error: LaunchError | None = None) -> None:
        self.error = error

    def poll(self) -> int | None:
        """Gets an exit code that no command has."""
        return -1

    def wait(self, timeout: float) -> bool:
        """Says that it has ended."""
        return True

    def terminate(self) -> None:
        """Does nothing."""

    def kill(self) -> None:
        """Does nothing."""
