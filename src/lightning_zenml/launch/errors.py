"""Errors of the core. Each says what happened and what to do next, in words meant for the user."""

from __future__ import annotations

from lightning_zenml.codes import Code, CodedError


class LaunchError(CodedError):
    """A launch can't go on. The message is shown to the user as it is; it holds no secret."""

    code = Code.LAUNCH


class CredentialsError(LaunchError):
    """No credentials, or Lightning refuses them."""

    code = Code.CREDENTIALS


class TeamspaceError(LaunchError):
    """There is no such teamspace, or it isn't clear which one is meant."""

    code = Code.TEAMSPACE


class MachineError(LaunchError):
    """Unknown machine, out of capacity, or the platform gave another than asked for."""

    code = Code.MACHINE


class StudioError(LaunchError):
    """The studio can't be made ready or refuses a request."""

    code = Code.STUDIO


class CostReachedError(StudioError):
    """A studio has cost what the launch may, before it was ready."""

    code = Code.COST


class CommandLostError(StudioError):
    """A studio that runs knows nothing of a command that it was sent, as one answer has it."""


class NotArrivedError(StudioError):
    """What was uploaded does not show up on the studio, though the upload was answered well."""

    code = Code.NOT_ARRIVED


class UnknownLaunchError(StudioError):
    """The studio is there, but knows no such launch (any more)."""

    code = Code.UNKNOWN_LAUNCH


class StudioAwayError(StudioError):
    """A studio was found gone or not running: by one look, which decides nothing."""

    code = Code.LOST


class StudioBusyError(StudioError):
    """Another launch has a studio, or is about to."""

    code = Code.BUSY


class StudioLostError(StudioError):
    """The studio stopped, slept, was preempted or deleted while the launch needed it, as several looks have found.

    Of the run it tells nothing: its payload may have come to its end before, and given the studio back. How the run
    ended is asked of ZenML.
    """

    code = Code.LOST


class UnfollowableError(LaunchError):
    """A launch can't be looked at any more: for minutes the key was refused, or Lightning did not answer.

    Nothing is known to be wrong with the run, which needs neither us nor our key. So whoever follows stops and releases
    nothing and fails no run: they tell the user why the run is left to itself, and where it is. Its payload finds out
    by itself that nobody follows, and gives the studio back at the end. How the run ends is asked of ZenML.
    """

    code = Code.UNFOLLOWABLE


class JobsLeftError(LaunchError):
    """A launch's jobs can't be ended; its payload goes on trying, keeps the studio meanwhile and releases it then."""

    code = Code.NOT_RELEASED
