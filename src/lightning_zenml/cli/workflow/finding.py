"""What a look at a workflow finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """With this, nothing runs, or what must be secret isn't."""
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to change.

    Args:
        file: path of the workflow, relative to the repository.
        line: line to change.
        severity: how bad it is.
        message: what is wrong, and what to write instead.
    """

    file: str
    line: int
    severity: Severity
    message: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was looked at, and what is to be changed.

    Args:
        findings: all that is to be changed, from the first line to the last.
        files: files of the repository that inputs name, and that are there.
        machines: machines that inputs name, and that lightning-sdk knows.
        unread: inputs that hold an expression, so that nobody knows here what they will be.
    """

    findings: tuple[Finding, ...]
    files: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
