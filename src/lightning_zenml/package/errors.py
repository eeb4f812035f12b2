"""Errors of packaging. Each says what happened and what to do next, in words meant for the user."""

from __future__ import annotations


class PackageError(Exception):
    """A repository can't be packed. The message is shown to the user as it is."""


class CheckoutError(PackageError):
    """git can't read a checkout. The message holds git's own reason."""
