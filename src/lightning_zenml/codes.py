"""The kinds of messages that users meet, each with a code that stays: docs/troubleshooting.md has a section of each.

A code is given where a message is written: an error has that of its class, or its own; an annotation of the Action and
a launch's failure name theirs. Where a message leaves its process as plain text, the code stands behind it in brackets.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Self, TypeVar

T = TypeVar("T")

PAGE = "https://github.com/org/lightning-zenml-action/blob/main/docs/troubleshooting.md"
"""Where the sections are; each has its code as anchor, in small letters."""


class Code(StrEnum):
    """A kind of message. Codes are never given another meaning, nor given again.

    Attributes:
        heading: what the kind is, in words.
    """

    heading: str

    def __new__(cls, value: str, heading: str) -> Self:
        """Makes it of its code and its heading."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.heading = heading
        return member

    @property
    def url(self) -> str:
        """Address of the section that tells what to do."""
        return f"{PAGE}#{self.lower()}"

    # What the workflow gives.
    INPUT = "LZ-1001", "An input can't be used"
    INPUT_IN_DOUBT = "LZ-1002", "An input may not be what is meant"
    NO_TLS = "LZ-1003", "No TLS"
    NOTHING_STARTED = "LZ-1004", "Nothing was started"
    EVENT = "LZ-1005", "Event unknown"
    COMMIT = "LZ-1006", "Commit unknown"
    OTHER_COMMIT = "LZ-1007", "Another commit is checked out"
    RUNNER = "LZ-1008", "The runner's files can't be written"

    # The repository, and what it needs.
    PACKAGE = "LZ-2001", "The repository can't be packed"
    CHECKOUT = "LZ-2002", "git can't read the checkout"
    NOT_PACKED = "LZ-2003", "Not in the package"
    LARGE = "LZ-2004", "Large repository"
    NOT_INSTALLED = "LZ-2005", "Not installed"
    OTHER_ENVIRONMENT = "LZ-2006", "Another environment"
    INSTALL = "LZ-2007", "Requirements can't be installed"
    DOCKER_SETTINGS = "LZ-2008", "DockerSettings can't be met"
    CODE_ELSEWHERE = "LZ-2009", "The run's code isn't here"
    NO_PACKAGE = "LZ-2010", "Steps can't import their package"

    # Lightning AI.
    LAUNCH = "LZ-3000", "The launch can't go on"
    CREDENTIALS = "LZ-3001", "Lightning refuses the key"
    TEAMSPACE = "LZ-3002", "Which teamspace?"
    MACHINE = "LZ-3003", "The machine can't be had"
    STUDIO = "LZ-3004", "The studio can't be made ready"
    BUSY = "LZ-3005", "The studio is in use"
    LOST = "LZ-3006", "The studio was lost"
    NOT_ARRIVED = "LZ-3007", "The upload does not arrive"
    UNKNOWN_LAUNCH = "LZ-3008", "No such launch"
    LIGHTNING = "LZ-3009", "Lightning answers with an error"
    UNREACHABLE = "LZ-3010", "Lightning doesn't answer"
    UNFOLLOWABLE = "LZ-3011", "The run can't be followed"
    JOB = "LZ-3012", "A step's job failed"
    NOT_RELEASED = "LZ-3013", "A machine may still be running"

    # ZenML.
    ZENML = "LZ-4001", "The ZenML server refuses"
    ZENML_UNREACHABLE = "LZ-4002", "The ZenML server can't be reached"
    ZENML_KEY = "LZ-4003", "The ZenML server refuses the key"
    NO_ZENML = "LZ-4004", "This isn't a ZenML server"
    STACK = "LZ-4005", "The stack won't do"
    ZENML_VERSION = "LZ-4006", "Unsuitable version of ZenML"
    ZENML_UNTESTED = "LZ-4007", "Untested version of ZenML"
    LONG_LIVED_KEY = "LZ-4008", "Long-lived key in the studio"
    NO_TOKEN = "LZ-4009", "No token for the studio"
    SETTINGS = "LZ-4010", "Settings that make no sense"
    SCHEDULE = "LZ-4011", "The schedule can't be kept"
    ZENML_AWAY = "LZ-4012", "ZenML could not be asked"

    # The run.
    COMMAND = "LZ-5001", "A command failed"
    STEP = "LZ-5002", "A step failed"
    RUN = "LZ-5003", "The run did not complete"
    TIMEOUT = "LZ-5004", "The run took too long"
    STOPPED = "LZ-5005", "The run was stopped"
    COST = "LZ-5006", "Cost"
    PAUSED = "LZ-5007", "The run is paused"
    NO_RUN = "LZ-5008", "No pipeline run"
    RULE = "LZ-5009", "The run is completed, but fails a rule"
    OPEN_RULE = "LZ-5010", "Rules that can't be judged yet"
    KILLED = "LZ-5011", "The launch's own program was killed"
    END_UNSEEN = "LZ-5012", "The end was not seen"
    GOES_ON = "LZ-5013", "The run goes on"
    NOT_YET = "LZ-5014", "Not yet"
    IDLE = "LZ-5015", "Idle GPUs"

    # GitHub.
    GITHUB = "LZ-6001", "GitHub refuses"
    GITHUB_AWAY = "LZ-6002", "GitHub can't be reached"
    GITHUB_TOKEN = "LZ-6003", "The token may not do that"
    GITHUB_CERTIFICATE = "LZ-6004", "GitHub's certificate is not trusted"
    ARTIFACT = "LZ-6005", "No artifact of the workflow run"

    # The command line.
    USAGE = "LZ-7001", "Something is missing or wrong"
    NOT_FOUND = "LZ-7002", "There is no such launch, run or pull request"

    FAULT = "LZ-9001", "A fault of this program"


class CodedError(Exception):
    """An error with a message for the user.

    Args:
        message: what happened and what to do next.
        code: its kind, where that is another than that of its class.
    """

    code: Code = Code.FAULT

    def __init__(self, message: str = "", *, code: Code | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


def marked(message: str, code: Code) -> str:
    """A message with its code behind it, for where only text goes on."""
    return f"{message} [{code}]"


def unmarked(text: str, code: Code) -> tuple[str, Code]:
    """A message without the code behind it, and that code; the given one where none stands there."""
    found = re.fullmatch(r"(?s)(.*) \[(LZ-\d{4})\]\s*", text)
    return (found[1], known(found[2], code)) if found else (text, code)


def of(error: Exception, otherwise: Code) -> tuple[str, Code]:
    """What an error says, and its kind; the given one where it has none, as errors of others don't."""
    return unmarked(str(error), error.code if isinstance(error, CodedError) else otherwise)


def known(value: str, otherwise: T) -> Code | T:
    """The code of that value, or something else where there is none, or only a newer version knows it."""
    return next((one for one in Code if one == value), otherwise)
