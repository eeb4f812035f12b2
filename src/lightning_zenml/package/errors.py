"""Errors of packaging. Each says what happened and what to do next, in words meant for the user."""

from __future__ import annotations

from lightning_zenml.codes import Code, CodedError


class PackageError(CodedError):
    """A repository can't be packed. The message is shown to the user as it is."""

    code = Code.PACKAGE


class CheckoutError(PackageError):
    """git can't read a checkout. The message holds git's own reason."""

    code = Code.CHECKOUT
