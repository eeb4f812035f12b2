"""Check runs: a report among a commit's checks, with annotations in the files of a pull request.

Source: https://docs.github.com/rest/checks/runs. With a workflow's own token GitHub ignores `details_url` and links to
a page of its own, so the report has to hold the link as well (https://github.com/actions/github-script/issues/143).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from lightning_zenml.action.github.rest import GitHubRest, NotFoundError, expected

OUTPUT_LIMIT = 65_535
"""Bytes of a check run's summary; its page says characters (https://github.com/github/docs/issues/35252)."""
_TITLE_LIMIT = 255
_DETAILS_LIMIT = 16_000
"""Characters of an annotation's texts, of which GitHub takes 64 KiB."""
_OF_A_CALL = 50
_LOOKS = 2
"""How often is looked for one that may be there: one empty list is no proof."""


class Conclusion(StrEnum):
    """How a check ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    ACTION_REQUIRED = "action_required"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a check run shows.

    Args:
        conclusion: how the check ended; None: it is under way.
        title: one line.
        summary: Markdown of at most `OUTPUT_LIMIT` bytes.
        details_url: page that the check leads to.
    """

    conclusion: Conclusion | None
    title: str
    summary: str
    details_url: str | None


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A failure at a line of a file.

    Args:
        path: path of the file, relative to the root of the repository.
        line: number of the line, from 1.
        title: one line.
        message: what is wrong there.
        details: what is shown on demand, such as a traceback.
    """

    path: str
    line: int
    title: str
    message: str
    details: str


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """A check run as GitHub has it; `annotations` is their number."""

    id: int
    is_completed: bool
    annotations: int


class CheckRuns:
    """The check runs of one name that tell of one launch.

    Args:
        rest: sends the requests.
        repository: name of the repository, `owner/name`.
        name: name of the check.
        external_id: what tells this launch's check run from others of the name.
    """

    def __init__(self, rest: GitHubRest, repository: str, *, name: str, external_id: str) -> None:
        self._rest = rest
        self._path = f"/repos/{repository}"
        self._name = name
        self._external_id = external_id

    def put(self, sha: str, check: Check, check_run_id: int | None) -> CheckRun:
        """Changes the check run, or creates it where there is none (any more).

        One that has ended is not begun again: what is to be told then is another attempt.

        Args:
            sha: hash of the commit.
            check: what is to be shown.
            check_run_id: id of the check run; None: it is looked for.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        if check_run_id is not None:
            try:
                return self._send("PATCH", f"check-runs/{check_run_id}", _body(check))
            except NotFoundError:
                # GitHub deletes old ones of a name.
                pass
        body = {"name": self._name, "head_sha": sha, "external_id": self._external_id, **_body(check)}
        made: list[CheckRun] = []

        def make() -> CheckRun:
            made.append(self._send("POST", "check-runs", body, repeatable=False))
            return made[0]

        found = self._rest.made_once(lambda: self._find(sha, check), make)
        return found if made else self._send("PATCH", f"check-runs/{found.id}", _body(check))

    def annotate(self, check_run: CheckRun, check: Check, annotations: Sequence[Annotation]) -> None:
        """Adds those annotations that it doesn't have yet.

        Args:
            check_run: the check run, as it was answered last.
            check: what it shows, which GitHub wants to be told again.
            annotations: all annotations, in the order of earlier calls.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        for first in range(check_run.annotations, len(annotations), _OF_A_CALL):
            some = [_annotation(one) for one in annotations[first : first + _OF_A_CALL]]
            output = {**_output(check), "annotations": some}
            # Sent again, they would be there twice.
            self._send("PATCH", f"check-runs/{check_run.id}", {"output": output}, repeatable=False)

    def _find(self, sha: str, check: Check) -> CheckRun | None:
        query = urlencode({"check_name": self._name, "filter": "all", "per_page": 100})
        for _ in range(_LOOKS):
            answer = self._rest.get(f"{self._path}/commits/{sha}/check-runs?{query}")
            with expected():
                found = [_check_run(one) for one in answer["check_runs"] if one["external_id"] == self._external_id]
            usable = [one for one in found if check.conclusion or not one.is_completed]
            if usable:
                return max(usable, key=lambda one: one.id)
        return None

    def _send(self, method: str, path: str, body: dict[str, Any], *, repeatable: bool = True) -> CheckRun:
        answer = self._rest.send(method, f"{self._path}/{path}", body, repeatable=repeatable)
        with expected():
            return _check_run(answer)


def _check_run(answer: dict[str, Any]) -> CheckRun:
    return CheckRun(
        id=int(answer["id"]),
        is_completed=answer["status"] == "completed",
        annotations=int(answer["output"]["annotations_count"]),
    )


def _body(check: Check) -> dict[str, Any]:
    state = {"status": "completed", "conclusion": check.conclusion} if check.conclusion else {"status": "in_progress"}
    page = {"details_url": check.details_url} if check.details_url else {}
    return {**state, **page, "output": _output(check)}


def _output(check: Check) -> dict[str, Any]:
    return {"title": check.title[:_TITLE_LIMIT], "summary": check.summary}


def _annotation(annotation: Annotation) -> dict[str, Any]:
    details = {"raw_details": annotation.details[-_DETAILS_LIMIT:]} if annotation.details else {}
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": "failure",
        "title": annotation.title[:_TITLE_LIMIT],
        "message": annotation.message[:_DETAILS_LIMIT],
        **details,
    }
