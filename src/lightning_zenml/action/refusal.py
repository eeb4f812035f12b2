"""Why nothing is started: one reason or several, found before anything costs."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_zenml.codes import Code, CodedError


class InputError(CodedError):
    """An input that can't be used.

    Args:
        name: name of the input.
        message: what is wrong with it, as a clause of which it is the subject; no secret in it.
    """

    code = Code.INPUT

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"`{name}` {message}")
        self.name = name


class RefusedError(Exception):
    """Nothing is started.

    Args:
        reasons: why, one at least.
    """

    def __init__(self, reasons: Sequence[CodedError]) -> None:
        super().__init__(" ".join(map(str, reasons)))
        self.reasons = tuple(reasons)
