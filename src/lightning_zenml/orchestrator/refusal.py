"""How the orchestrator refuses a ZenML that it can't work with: in one line, which the Action finds in the log."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import NoReturn

from lightning_zenml.launch.payload.folder import REFUSAL


class UnsuitableZenMLError(Exception):
    """The ZenML that is installed lacks what the orchestrator relies on; the message says what, and what to do."""


def refuse(reason: str) -> NoReturn:
    """Ends what is about to run; where nobody catches that, it is told without a traceback: no code is to blame.

    Args:
        reason: what is wrong, and what to do, in one line.

    Raises:
        UnsuitableZenMLError: always.
    """
    if sys.excepthook is not _tell:
        _others.append(sys.excepthook)
        sys.excepthook = _tell
    raise UnsuitableZenMLError(reason)


def tell(reason: str) -> None:
    """Says it on stderr."""
    print(f"{REFUSAL}{reason}", file=sys.stderr, flush=True)


_others = [sys.__excepthook__]


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, UnsuitableZenMLError):
        tell(str(error))
    else:
        _others[-1](kind, error, traceback)
