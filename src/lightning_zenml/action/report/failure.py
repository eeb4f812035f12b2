"""Why a run failed, in the words of the step that failed, and where in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_zenml.codes import Code, known, unmarked
from lightning_zenml.launch import errors, own_code
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.folder import REFUSAL
from lightning_zenml.launch.spec import Failure, Phase
from lightning_zenml.terminal.sgr import CODE as COLOUR
from lightning_zenml.zenml_api.models import Step

_CODE = re.compile(rf"/[^\s\"']*/{re.escape(layout.HOME)}/{layout.LAUNCHES}/[^/\s\"']+/{layout.CODE}/")
_FRAME = re.compile(r'File "(?P<file>[^"\n]{1,4096})", line (?P<line>\d{1,9})')
_FRAME_OF_RICH = re.compile(r"^[│|] (?P<file>[^\s:][^:\n]{0,4096}):(?P<line>\d{1,9}) in ", re.MULTILINE)
_TRACEBACK = re.compile(
    r"^(?:(?:[ ]{2}\+ Exception Group )?Traceback \(most recent call last\):"
    r"|[╭+][─-]+ Traceback \(most recent call last\) [─-]+[╮+])[ \r]*$",
    re.MULTILINE,
)
"""How Python begins a traceback, or rich, which Typer uses; one within a message, or of an exception in a group, stands
further in."""
_IGNORED = re.compile(
    r"^(?:Exception ignored [^\n]*|--- Logging error ---)\n"
    r"(?:Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)*[^\n]*(?:\n|\Z))?",
    re.MULTILINE,
)
"""What Python tells of an exception that nothing ends with, as those of finalizers, however late it tells it."""
_RAISED = re.compile(r"[^\W\d](?:[\w.]|<locals>)*(?::|$)")
_REFUSAL = re.compile(rf"^{re.escape(REFUSAL)}(.+)$", re.MULTILINE)
"""How our orchestrator says that nothing runs with the ZenML that is installed."""
_OURS = re.compile(r"^lightning_zenml\.(?:\w+\.)+(?P<name>\w+Error): ", re.MULTILINE)
_KINDS = {
    name: kind.code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.LaunchError) and kind is not errors.LaunchError
}
"""What ZenML has of an error of ours is the name of its class."""
_SAID_AT_LAST = frozenset({2, 126, 127})
"""Exit codes of a command that was called wrongly, or isn't there: its last line says so."""
_NOT_FOUND = re.compile(r"\bNo module named ['\"]?(?P<name>[^\W\d]\w*)(?![\w.])")
_OF_COMMANDS = (Phase.COMMANDS, Phase.RUNNING)
_CUT_OFF = re.compile(r'^  File "[^"\n]+", line \d+(?:, in |[ \r]*$)', re.MULTILINE)
"""A frame, with which a traceback begins whose beginning is missing, and one of a script that isn't Python."""
_OUTPUT_LIMIT = 8000
"""Characters of a command's output in a comment."""
_TRACEBACK_LIMIT = 4000
_RAISED_LIMIT = 1000
"""Characters of an exception in an annotation, which GitHub cuts at 4,096."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of a file in the repository."""

    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class StepFailure:
    """A failed step or command.

    Args:
        failure: message and traceback, with paths relative to the repository.
        place: innermost line of the repository's own code; None when there is none.
    """

    failure: Failure
    place: Place | None


def of_steps(steps: Iterable[Step], root: Path, run: str = "") -> list[StepFailure]:
    """The failed steps that left a traceback.

    Args:
        steps: steps of a run of the launch.
        root: folder of the repository.
        run: name of the run where it has to be told from others; else ''.
    """
    failures = []
    for step in steps:
        if step.status == "failed" and step.traceback:
            traceback = COLOUR.sub("", in_repository(step.traceback)).rstrip().lstrip("\r\n")
            # What our orchestrator has found out is in words for the user.
            ours = _OURS.search(traceback)
            traceback = _OURS.sub("", traceback)
            reason = raised(traceback) or next(reversed(traceback.splitlines()), "")[:_RAISED_LIMIT]
            reason, code = unmarked(reason, _KINDS.get(ours["name"], Code.STEP) if ours else Code.STEP)
            told = f": {reason}{_not_installed(reason, root)}" if reason else "."
            failure = Failure(
                phase=Phase.RUNNING,
                message=f"Step `{step.name}`{f' of `{run}`' if run else ''} failed{told}",
                output=traceback[-_TRACEBACK_LIMIT:],
                code=code,
            )
            failures.append(StepFailure(failure=failure, place=_place(traceback, root)))
    return failures


def of_output(failure: Failure, root: Path) -> StepFailure:
    """A failed command, with the exception and the place that a traceback in its output names, or its last words.

    Args:
        failure: failure of the command.
        root: folder of the repository.
    """
    output = COLOUR.sub("", in_repository(failure.output)).replace(f"{root}/", "")
    failure = replace(failure, message=in_repository(failure.message))
    if refusals := _REFUSAL.findall(output):
        refusal, code = unmarked(refusals[-1], known(failure.code, Code.RUN))
        failure = replace(failure, message=f"{failure.message}: {refusal}", code=code, output=output[-_OUTPUT_LIMIT:])
        return StepFailure(failure=failure, place=None)
    fatal = _IGNORED.sub("", output)
    reason, place = raised(fatal), _place(_last_traceback(fatal), root)
    # One that is not the user's, and before the end, may have been handled; whose a cut one is nobody knows.
    if not (reason and (place or fatal.rstrip().endswith(reason) or not _TRACEBACK.search(fatal))):
        reason, place = None, None
    reason, code = unmarked(reason or "", known(failure.code, Code.COMMAND))
    told = f": {reason}" if reason else ""
    if not reason and failure.phase in _OF_COMMANDS and failure.exit_code and (last := _last_line(fatal)):
        # Whether that says why, nobody knows, unless the exit code tells.
        told = f": {last}" if failure.exit_code in _SAID_AT_LAST else f". It printed last: {last}"
    told += _not_installed(told, root)
    failure = replace(failure, message=f"{failure.message}{told}", code=code, output=output[-_OUTPUT_LIMIT:])
    return StepFailure(failure=failure, place=place)


def raised(text: str) -> str | None:
    """Finds the exception that a program has died of: its name and the first line of what it says.

    What follows it (notes, hints, links, what was printed later) is not the exception; of several that led to one
    another it is the last, and of a group the first of its members is named too.

    Args:
        text: output that holds a traceback as Python prints it.

    Returns:
        E.g. `ValueError: the loss is NaN`; None where no traceback is.
    """
    lines = _last_traceback(text).splitlines()
    in_group = bool(lines) and lines[0].startswith("  + ")
    words = [line for line in (_unframed(line, in_group=in_group) for line in lines[1:]) if line[:1].strip(" \t│|╰+")]
    if not words or not _RAISED.match(words[0]):
        return None
    reason = words[0].strip()
    if reason.endswith(":"):
        # Some draw lines first.
        first = next((line.strip() for line in words[1:] if re.search(r"\w", line)), "")
        reason = f"{reason} {first}".strip()
    if in_group and (members := [line.strip() for line in words[1:] if _RAISED.match(line) and "Group:" not in line]):
        reason = f"{reason}, the first: {members[0]}"
    return reason[:_RAISED_LIMIT]


def _not_installed(reason: str, root: Path) -> str:
    """The way out where a module is missing; '' for any other reason."""
    found = _NOT_FOUND.search(reason)
    if found is None:
        return ""
    package = own_code.find(root, found["name"])
    if package is None:
        return f". List the package that brings `{found['name']}` in a file that `requirements` names."
    if not package.install:
        return ""
    # Folders of data and scripts are often called like a library.
    if not own_code.is_source(root, root / package.folder) and not _is_file(root / package.path / "__init__.py"):
        return ""
    return (
        f". `{package.name}` is a package of this repository ({package.path}) that nothing has installed: add "
        f"`{package.install}` to `commands`."
    )


def _last_line(output: str) -> str:
    """The last line in which something stands; of one that was written over, as it showed at last."""
    lines = (line.strip().rpartition("\r")[2].strip() for line in reversed(output.split("\n")))
    return next((line for line in lines if re.search(r"\w", line)), "")[:_RAISED_LIMIT]


def _last_traceback(text: str) -> str:
    """A text from its last traceback on: the one that those before it led to."""
    starts = list(_TRACEBACK.finditer(text))
    begin = starts[-1] if starts else _CUT_OFF.search(text)
    return text[begin.start() :] if begin else ""


def _unframed(line: str, *, in_group: bool) -> str:
    """A line of a traceback without the lines that are drawn around a group."""
    if not in_group:
        return line
    return re.sub(r"^[ ]+(?:\| |\+-[-+]*(?: \d+ -+)?)", "", line)


def in_repository(text: str) -> str:
    """The text with paths of the launch's folder made relative to the repository."""
    return _CODE.sub("", text)


def _place(traceback: str, root: Path) -> Place | None:
    own = [
        Place(file=frame["file"], line=int(frame["line"]))
        for frame in (*_FRAME.finditer(traceback), *_FRAME_OF_RICH.finditer(traceback))
        if not Path(frame["file"]).is_absolute() and _is_file(root / frame["file"])
    ]
    return own[-1] if own else None


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a traceback's names are anybody's words, and may be too long for one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
