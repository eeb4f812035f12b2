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


class UnknownLaunchError(StudioError):
    """The studio is there, but knows no such launch (any more)."""


class StudioLostError(StudioError):
    """The studio stopped, slept, was preempted or deleted while the launch needed it."""


class JobsLeftError(LaunchError):
    """A launch's jobs can't be ended; its payload goes on trying, keeps the studio meanwhile and releases it then."""
