"""How the orchestrator says why it runs nothing: in words for the user, whose first line the Action finds in the log.

A traceback would show code in which nothing is wrong.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import NoReturn

from zenml.exceptions import SettingsResolvingError

from lightning_zenml.codes import Code, CodedError, marked, unmarked
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.folder import REFUSAL
from lightning_zenml.package.errors import PackageError


class UnsuitableZenMLError(CodedError):
    """The ZenML that is installed lacks what the orchestrator relies on; the message says what, and what to do."""

    code = Code.ZENML_VERSION


def refuse(reason: str) -> NoReturn:
    """Ends what is about to run; where nobody catches that, it is told plainly.

    Args:
        reason: what is wrong, and what to do, in one line.

    Raises:
        UnsuitableZenMLError: always.
    """
    tell_plainly()
    raise UnsuitableZenMLError(reason)


def tell_plainly() -> None:
    """From now on, errors with a message for the user that nobody catches are told without a traceback."""
    if sys.excepthook is not _tell:
        _others.append(sys.excepthook)
        sys.excepthook = _tell


def tell(reason: str) -> None:
    """Says it on stderr."""
    print(f"{REFUSAL}{reason}", file=sys.stderr, flush=True)


_FOR_THE_USER = (LaunchError, PackageError, UnsuitableZenMLError)
_others = [sys.__excepthook__]


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, _FOR_THE_USER):
        tell(marked(str(error), error.code))
    elif isinstance(error, SettingsResolvingError) and unmarked(str(error), Code.RUN)[0] != str(error):
        tell(str(error))
    elif isinstance(error, KeyboardInterrupt) and str(error):
        # ZenML says how to stop the run.
        print(error, file=sys.stderr, flush=True)
    else:
        _others[-1](kind, error, traceback)
