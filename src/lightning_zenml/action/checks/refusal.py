"""Why nothing is started: one reason or several, found before anything costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lightning_zenml.codes import Code, CodedError

T = TypeVar("T")


class InputError(CodedError):
    """An input that can't be used.

    Args:
        name: name of the input.
        message: what is wrong with it, as a clause of which it is the subject; no secret in it.
        code: its kind, where that is another.
    """

    code = Code.INPUT

    def __init__(self, name: str, message: str, *, code: Code | None = None) -> None:
        super().__init__(f"`{name}` {message}", code=code)
        self.name = name


class RefusedError(Exception):
    """Nothing is started.

    Args:
        reasons: why, one at least.
    """

    def __init__(self, reasons: Sequence[CodedError]) -> None:
        super().__init__(" ".join(map(str, reasons)))
        self.reasons = tuple(reasons)


class Refusals:
    """Collects them: where one check fails, what doesn't depend on it is checked all the same.

    Args:
        known: those that are known already.

    Attributes:
        reasons: those so far.
    """

    def __init__(self, known: Sequence[CodedError] = ()) -> None:
        self.reasons = list(known)

    def of(self, check: Callable[[], T]) -> T | None:
        """What a check finds; None where it refuses.

        Args:
            check: a check.
        """
        try:
            return check()
        except CodedError as error:
            self.add(error)
            return None

    def add(self, reason: CodedError) -> None:
        """Takes one, once: a key that is refused fails whatever it is needed for.

        Args:
            reason: a reason.
        """
        if str(reason) not in map(str, self.reasons):
            self.reasons.append(reason)

    def has_input(self, *names: str) -> bool:
        """Whether one of these inputs is refused.

        Args:
            names: names of inputs.
        """
        return any(isinstance(reason, InputError) and reason.name in names for reason in self.reasons)
