"""Errors of the core. Each says what happened and what to do next, in words meant for the user."""

from __future__ import annotations


class LaunchError(Exception):
    """A launch can't go on. The message is shown to the user as it is; it holds no secret."""


class CredentialsError(LaunchError):
    """No credentials, or Lightning refuses them."""


class TeamspaceError(LaunchError):
    """There is no such teamspace, or it isn't clear which one is meant."""


class MachineError(LaunchError):
    """Unknown machine, out of capacity, or the platform gave another than asked for."""


class StudioError(LaunchError):
    """The studio can't be made ready or refuses a request."""


class CommandLostError(StudioError):
    """A studio that runs knows nothing of a command that it was sent, as one answer has it."""


class NotArrivedError(StudioError):
    """What was uploaded does not show up on the studio, though the upload was answered well."""


class UnknownLaunchError(StudioError):
    """The studio is there, but knows no such launch (any more)."""


class StudioAwayError(StudioError):
    """A studio was found gone or not running: by one look, which decides nothing."""


class StudioBusyError(StudioError):
    """Another launch has a studio, or is about to."""


class StudioLostError(StudioError):
    """The studio stopped, slept, was preempted or deleted while the launch needed it, as several looks have found.

    Of the run it tells nothing: its payload may have come to its end before, and given the studio back. How the run
    ended is asked of ZenML.
    """


class UnfollowableError(LaunchError):
    """A launch can't be looked at any more: for minutes the key was refused, or Lightning did not answer.

    Nothing is known to be wrong with the run, which needs neither us nor our key. So whoever follows stops and releases
    nothing and fails no run: they tell the user why the run is left to itself, and where it is. Its payload finds out
    by itself that nobody follows, and gives the studio back at the end. How the run ends is asked of ZenML.
    """


class JobsLeftError(LaunchError):
    """A launch's jobs can't be ended; its payload goes on trying, keeps the studio meanwhile and releases it then."""
