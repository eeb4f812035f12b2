"""Why a run failed, in the words of the step that failed, and where in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_zenml.launch.spec import Failure, Phase
from lightning_zenml.zenml_api.models import Step

_CODE = re.compile(r"/[^\s\"']*/\.lightning_zenml/launches/[^/\s\"']+/code/")
_FRAME = re.compile(r'File "(?P<file>[^"\n]{1,4096})", line (?P<line>\d{1,9})')
_RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Exit)\b.*)$", re.MULTILINE)
_TRACEBACK = 4000


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of a file in the repository."""

    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class StepFailure:
    """A failed step or command.

    Args:
        failure: its message and traceback, with paths relative to the repository.
        place: the innermost line of the repository's own code; None when there is none.
    """

    failure: Failure
    place: Place | None


def of_steps(steps: Iterable[Step], root: Path) -> list[StepFailure]:
    """The failed steps that left a traceback.

    Args:
        steps: of all runs.
        root: of the repository.
    """
    failures = []
    for step in steps:
        if step.status == "failed" and step.traceback:
            traceback = in_repository(step.traceback).strip()
            last_line = traceback.splitlines()[-1]
            failure = Failure(
                phase=Phase.RUNNING,
                message=f"Step `{step.name}` failed: {last_line}",
                output=traceback[-_TRACEBACK:],
            )
            failures.append(StepFailure(failure=failure, place=_place(traceback, root)))
    return failures


def of_output(failure: Failure, root: Path) -> StepFailure:
    """A failed command, with the exception and the place that a traceback in its output names.

    Args:
        failure: of the command.
        root: of the repository.
    """
    output = in_repository(failure.output).replace(f"{root}/", "")
    _, traceback, rest = output.rpartition("Traceback (most recent call last):")
    place, raised = _place(rest, root), _RAISED.search(rest)
    if not (traceback and place and raised):
        return StepFailure(failure=replace(failure, output=output), place=None)
    message = f"{failure.message}: {raised[1]}"
    return StepFailure(failure=replace(failure, message=message, output=output), place=place)


def in_repository(text: str) -> str:
    """The text with paths of the launch's folder made relative to the repository."""
    return _CODE.sub("", text)


def _place(traceback: str, root: Path) -> Place | None:
    own = [
        Place(file=frame["file"], line=int(frame["line"]))
        for frame in _FRAME.finditer(traceback)
        if not Path(frame["file"]).is_absolute() and _is_file(root / frame["file"])
    ]
    return own[-1] if own else None


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a traceback's names are anybody's words, and may be too long for one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
