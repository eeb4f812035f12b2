"""Records a run's end in ZenML in place of a controller that can't: it was never started, or was killed.

`python -m lightning_zenml.zenml_api.run_end [RUN_ID ...]` does so from within the studio, for these runs and those
that the launch has recorded. It may run before anything is installed there, so it needs the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.platform import insist, send
from lightning_zenml.launch.payload.records import RunRecord, read
from lightning_zenml.launch.payload.variables import FAILURE, LAUNCH_DIR

FINISHED = frozenset({"completed", "failed", "stopped", "cached", "skipped", "retried", "cancelled"})
"""ZenML's final statuses."""
REASON_LIMIT = 250
"""Characters of a reason that every ZenML server can store."""


def end_run(
    run_id: str,
    *,
    status: str,
    reason: str,
    get: Callable[..., Any],
    put: Callable[[str, dict[str, Any]], Any],
    has_begun: bool = True,
) -> None:
    """Records a run, those of its child pipelines and all their steps as ended.

    A finished run stays as it is, and so does one that is paused, or on its way to its next launch.

    Args:
        run_id: of the run.
        status: `failed`, or `stopped`, which also a run becomes that is about to stop.
        reason: shown with the run.
        get: gets a path below `/api/v1/`; further keywords are the query.
        put: changes a path below `/api/v1/`.
        has_begun: in this launch; else it is this launch that it may be on its way to.
    """
    before = get(f"runs/{run_id}")["body"]["status"]
    if before != "paused" and not (before == "resuming" and has_begun):
        _end(run_id, status, reason, get, put)


def _end(
    run_id: str, status: str, reason: str, get: Callable[..., Any], put: Callable[[str, dict[str, Any]], Any]
) -> None:
    before = get(f"runs/{run_id}")["body"]["status"]
    if before in FINISHED:
        return
    status = "stopped" if before == "stopping" else status
    # First the run: a step that may be retried ends only in a run that does. `stopped` it becomes with its last step.
    under_way = "stopping" if status == "stopped" else status
    put(f"runs/{run_id}", {"status": under_way, "status_reason": reason[:REASON_LIMIT]})
    for step in _pages("steps", get, pipeline_run_id=run_id, exclude_retried=True):
        if step["body"]["status"] not in FINISHED:
            _end_step(step["id"], status, put)
    for child in _pages("runs", get, parent_run_id=run_id):
        # A server without child pipelines would not know that filter, and name runs of others.
        if child["body"].get("root_run_id"):
            _end(child["id"], status, reason, get, put)
    if get(f"runs/{run_id}")["body"]["status"] not in FINISHED:
        put(f"runs/{run_id}", {"status": status, "status_reason": reason[:REASON_LIMIT]})


def _pages(path: str, get: Callable[..., Any], **query: object) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    number = total = 1
    while number <= total:
        page = get(path, page=number, size=100, **query)
        items += page["items"]
        number, total = number + 1, page["total_pages"]
    return items


def _end_step(step_id: str, status: str, put: Callable[[str, dict[str, Any]], Any]) -> None:
    end = {"end_time": datetime.now(UTC).replace(tzinfo=None).isoformat()}
    step = put(f"steps/{step_id}", {"status": status, **end})
    if step["body"]["status"] not in FINISHED:
        # A step with tries left that fails is `retrying`, and nobody is there to do that.
        put(f"steps/{step_id}", {"status": "stopped", **end})


def main(run_ids: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Records runs as failed.

    Args:
        run_ids: runs besides those in the `runs.jsonl` of the launch.
        environ: the variables of the launch, with ZenML's address and token or key.

    Returns:
        The exit code.
    """
    server = _Server(environ)
    reason = environ.get(FAILURE) or "The controller on Lightning AI was never started or was killed."
    recorded = _recorded(environ)
    for run_id in dict.fromkeys([*run_ids, *recorded]):
        fail = partial(end_run, run_id, status="failed", reason=reason, get=server.get, put=server.put)
        fail = partial(fail, has_begun=run_id in recorded)
        insist(fail, pause=5, times=24)
    return 0


class _Server:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._url = f"{environ['ZENML_STORE_URL'].rstrip('/')}/api/v1"
        self._token = environ.get("ZENML_STORE_API_TOKEN", "")
        self._key = environ.get("ZENML_STORE_API_KEY", "")

    def get(self, path: str, **query: object) -> Any:
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, None)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("PUT", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if not self._token:
            form = urllib.parse.urlencode({"grant_type": "zenml-api-key", "password": self._key}).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            self._token = json.loads(send("POST", f"{self._url}/login", headers=kind, body=form))["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        return json.loads(send(method, f"{self._url}/{path}", headers=headers, body=body))


def _recorded(environ: Mapping[str, str]) -> list[str]:
    folder = Path(environ.get(LAUNCH_DIR, "/nowhere"))
    return [run.run_id for run in read(RunRecord, folder / layout.RUNS)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
