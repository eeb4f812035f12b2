"""Check runs: made and changed by whoever has `checks: write`.

Source: https://docs.github.com/rest/checks/runs. The limits of `output` are bytes, whatever its page says
(https://github.com/github/docs/issues/35252).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.github.store import Store
from localcloud.github.wire import (
    Operation,
    RefusedError,
    check_address,
    check_sha,
    page,
    refuse_field,
    repository_of,
)
from localcloud.schemas.objects import CheckRun, Place

OUTPUT_LIMIT = 65_535
"""Bytes of a summary, and of a text."""
DETAILS_LIMIT = 64 * 1024
"""Bytes of an annotation's message, and of its details."""
TITLE_LIMIT = 255
"""Characters of an annotation's title."""

_CREATE = "/repos/{owner}/{repo}/check-runs"
_UPDATE = "/repos/{owner}/{repo}/check-runs/{check_run_id}"
_LIST = "/repos/{owner}/{repo}/commits/{ref}/check-runs"


class Checks:
    """Answers requests for check runs.

    Args:
        store: what GitHub knows.
        place: where it answers.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = place
        self.operations: dict[tuple[str, str], Operation] = {
            ("POST", _CREATE): self._create,
            ("PATCH", _UPDATE): self._update,
            ("GET", _LIST): self._list,
        }

    def _create(self, request: Request, body: Any) -> Response:
        repository = repository_of(request, self._store)
        check_sha(body["head_sha"])
        _check(body)
        check_run = self._store.add_check_run(repository, body["head_sha"], body["name"], body.get("external_id", ""))
        _change(check_run, body)
        payload = check_run.json(self._place)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _update(self, request: Request, body: Any) -> Response:
        repository, number = repository_of(request, self._store), request.path_params["check_run_id"]
        check_run = self._store.check_run(int(number)) if number.isdecimal() else None
        if check_run is None or check_run.repository != repository:
            raise RefusedError(404, "Not Found")
        _check(body)
        _change(check_run, body)
        return JSONResponse(check_run.json(self._place))

    def _list(self, request: Request, _: Any) -> Response:
        repository, wanted = repository_of(request, self._store), request.query_params
        found = [
            check_run
            for check_run in reversed(self._store.check_runs(repository, request.path_params["ref"]))
            if wanted.get("check_name", check_run.name) == check_run.name
            and wanted.get("status", check_run.status) == check_run.status
        ]
        if wanted.get("filter", "latest") == "latest":
            found = list({check_run.name: check_run for check_run in reversed(found)}.values())
        return page(self._place.server_url, request, [one.json(self._place) for one in found], "check_runs")


def _check(body: dict[str, Any]) -> None:
    """Refuses what the schema can't judge."""
    check_address("CheckRun", "details_url", body.get("details_url"))
    if body.get("status") == "completed" and "conclusion" not in body:
        raise RefusedError(422, "Invalid request.\n\nMissing conclusion for a completed check run.")
    if body.get("conclusion") == "stale":
        refuse_field("CheckRun", "conclusion", "conclusion cannot be set to stale")
    output = body.get("output") or {}
    for name in ("summary", "text"):
        if len((output.get(name) or "").encode()) > OUTPUT_LIMIT:
            refuse_field("CheckRun", name, f"{name} exceeds a maximum bytesize of {OUTPUT_LIMIT}")
    for annotation in output.get("annotations", ()):
        if annotation["start_line"] < 1 or annotation["end_line"] < annotation["start_line"]:
            refuse_field("CheckAnnotation", "start_line", "is invalid")
        if annotation["path"].startswith(("/", "../")):
            refuse_field("CheckAnnotation", "path", "is invalid")
        if len(annotation.get("title", "")) > TITLE_LIMIT:
            refuse_field("CheckAnnotation", "title", f"is too long (maximum is {TITLE_LIMIT} characters)")
        for name in ("message", "raw_details"):
            if len(annotation.get(name, "").encode()) > DETAILS_LIMIT:
                refuse_field("CheckAnnotation", name, f"exceeds a maximum bytesize of {DETAILS_LIMIT}")


def _change(check_run: CheckRun, body: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    check_run.name = body.get("name", check_run.name)
    check_run.external_id = body.get("external_id", check_run.external_id)
    check_run.details_url = body.get("details_url", check_run.details_url)
    check_run.status = "completed" if "conclusion" in body else body.get("status", check_run.status)
    if check_run.status == "completed":
        check_run.conclusion, check_run.completed = body.get("conclusion", check_run.conclusion), now
    else:
        check_run.conclusion = check_run.completed = None
    if output := body.get("output"):
        check_run.title = output.get("title", check_run.title)
        check_run.summaries.append(output["summary"])
        check_run.text = output.get("text", check_run.text)
        # GitHub adds them to those that are there.
        check_run.annotations += output.get("annotations", [])
