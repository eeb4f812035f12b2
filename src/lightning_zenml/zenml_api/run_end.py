"""Records a run's end in ZenML in place of a controller that can't: it was never started, or was killed.

`python -m lightning_zenml.zenml_api.run_end [RUN_ID ...]` does so from within the studio, for these runs and those
that the launch has recorded. Where nobody follows the launch, it keeps its end as metadata of these runs, as the record
may go with the studio. It may run before anything is installed there, so it needs the standard library only.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lightning.insist import insist
from lightning_zenml.launch.payload.lightning.requests import OddAnswerError, ask, send
from lightning_zenml.launch.payload.protocol import Failure, Phase, Status
from lightning_zenml.launch.payload.records import Record, RunRecord, read
from lightning_zenml.launch.payload.variables import END, FAILURE, LAUNCH_DIR, LAUNCH_ID, STOPPED

FINISHED = frozenset({"completed", "failed", "stopped", "cached", "skipped", "retried", "cancelled"})
"""ZenML's final statuses."""
REASON_LIMIT = 250
"""Characters of a reason that every ZenML server can store."""
PAUSED = "paused"
"""Status of a run that waits for something outside, without a controller."""
LAUNCH_END = "lightning_launch_end"
"""Name of a run's metadata with the end of its launch, where nobody followed that, see `LaunchEnd`."""
SPAN = 60.0
"""Seconds until an odd answer is believed, a refusal above all."""
END_OF_RUN = re.compile("has finished", re.IGNORECASE)
"""In the server's words: a run's own token dies with the run."""
END_OF_TOKEN = re.compile(f"{END_OF_RUN.pattern}|expired", re.IGNORECASE)
"""In the server's words: that, or a token that is to be renewed."""
_RESUMING = "resuming"
"""Status of a run that is on its way to its next launch."""


@dataclass(frozen=True, kw_only=True)
class LaunchEnd(Record):
    """How a launch ended whose record went with the studio.

    Args:
        launch: id of the launch; a run that is resumed has several.
        exit_code: exit code of the command; None when it never came to an end of its own.
        stopped: whether the launch was stopped on request.
        failure: what went wrong, in words; None when nothing did.
        code: kind of that.
    """

    launch: str
    exit_code: int | None = None
    stopped: bool = False
    failure: str | None = None
    code: str = ""

    @classmethod
    def of(cls, launch: str, status: Status) -> LaunchEnd:
        """Makes it of a launch's record."""
        failure = status.failure.message[:REASON_LIMIT] if status.failure else None
        code = status.failure.code if status.failure else ""
        return cls(launch=launch, exit_code=status.exit_code, stopped=status.stopped, failure=failure, code=code)

    @property
    def status(self) -> Status:
        """The launch's record, as far as it is known."""
        failure = None
        if self.failure is not None:
            failure = Failure(phase=Phase.RUNNING, message=self.failure, exit_code=self.exit_code, code=self.code)
        return Status(phase=Phase.FINISHED, exit_code=self.exit_code, failure=failure, stopped=self.stopped)


class Runs(Protocol):
    """What ending a run needs of a ZenML server; runs and steps go by their ids."""

    def status(self, run_id: str) -> str:
        """Asks for the status of a run."""

    def unfinished_steps(self, run_id: str) -> list[str]:
        """Asks for the steps of a run that have not ended."""

    def children(self, run_id: str) -> list[str]:
        """Asks for the runs of the pipelines that a dynamic pipeline has called."""

    def update_run(self, run_id: str, status: str, reason: str | None) -> None:
        """Gives a run another status, with the reason for it unless that is None."""

    def update_step(self, step_id: str, status: str) -> str:
        """Ends a step with this status; returns the one that it has then, which may be another."""


def end_run(run_id: str, *, status: str, reason: str | None, runs: Runs, spared: Collection[str] = frozenset()) -> None:
    """Records a run, those of its child pipelines and all their steps as ended; a finished run stays as it is.

    Args:
        run_id: id of the run.
        status: `failed`, or `stopped`, which also a run becomes that is about to stop.
        reason: shown with the run; None: nothing is.
        runs: the server's runs and steps.
        spared: statuses of a run that is left as it is, as it has no controller at the moment.
    """
    before = runs.status(run_id)
    if before in FINISHED or before in spared:
        return
    status = "stopped" if before == "stopping" else status
    reason = reason and reason[:REASON_LIMIT]
    # First the run: a step that may be retried ends only in a run that does. `stopped` it becomes with its last step.
    runs.update_run(run_id, "stopping" if status == "stopped" else status, reason)
    for step_id in runs.unfinished_steps(run_id):
        # A step with tries left that fails is `retrying`, and nobody is there to do that.
        if runs.update_step(step_id, status) not in FINISHED:
            runs.update_step(step_id, "stopped")
    for child_id in runs.children(run_id):
        end_run(child_id, status=status, reason=reason, runs=runs)
    if runs.status(run_id) not in FINISHED:
        runs.update_run(run_id, status, reason)


def spared(*, has_begun: bool) -> frozenset[str]:
    """Statuses of a run that a launch's end is no end for.

    Args:
        has_begun: whether the run has begun in this launch; else it is this launch that it may be on its way to.
    """
    return frozenset({PAUSED, _RESUMING} if has_begun else {PAUSED})


class RestRuns:
    """Runs and steps over REST, see `Runs`.

    Args:
        get: gets a path below `/api/v1/`; further keywords are the query.
        put: changes a path below `/api/v1/`.
    """

    def __init__(self, get: Callable[..., Any], put: Callable[[str, dict[str, Any]], Any]) -> None:
        self._get = get
        self._put = put

    def status(self, run_id: str) -> str:
        """Asks for the status of a run."""
        return str(self._get(f"runs/{run_id}")["body"]["status"])

    def unfinished_steps(self, run_id: str) -> list[str]:
        """Asks for the steps of a run that have not ended."""
        steps = self._pages("steps", pipeline_run_id=run_id, exclude_retried=True)
        return [step["id"] for step in steps if step["body"]["status"] not in FINISHED]

    def children(self, run_id: str) -> list[str]:
        """Asks for the runs of the pipelines that a dynamic pipeline has called."""
        children = self._pages("runs", parent_run_id=run_id)
        # A server without child pipelines would not know that filter, and name runs of others.
        return [child["id"] for child in children if child["body"].get("root_run_id")]

    def update_run(self, run_id: str, status: str, reason: str | None) -> None:
        """Gives a run another status, with the reason for it unless that is None."""
        self._put(f"runs/{run_id}", {"status": status, **({} if reason is None else {"status_reason": reason})})

    def update_step(self, step_id: str, status: str) -> str:
        """Ends a step with this status; returns the one that it has then, which may be another."""
        end = datetime.now(UTC).replace(tzinfo=None).isoformat()
        return str(self._put(f"steps/{step_id}", {"status": status, "end_time": end})["body"]["status"])

    def _pages(self, path: str, **query: object) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        number = total = 1
        while number <= total:
            page = self._get(path, page=number, size=100, **query)
            items += page["items"]
            number, total = number + 1, page["total_pages"]
        return items


def main(run_ids: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Records runs as failed, or what became of their launch.

    Args:
        run_ids: ids of runs besides those that the launch has recorded.
        environ: the variables of the launch, with ZenML's address and token or key.

    Returns:
        The exit code.
    """
    server = StudioServer(environ)
    reason = environ.get(FAILURE) or "The controller on Lightning AI was never started or was killed."
    recorded = _recorded(environ)
    if end := environ.get(END):
        for run_id in recorded:
            _insist(partial(_keep_end, server, run_id, environ[LAUNCH_ID], end))
        return 0
    status = "stopped" if environ.get(STOPPED) else "failed"
    for run_id in dict.fromkeys([*run_ids, *recorded]):
        fail = partial(end_run, run_id, status=status, reason=reason, runs=RestRuns(server.get, server.put))
        _insist(partial(fail, spared=spared(has_begun=run_id in recorded)))
    return 0


def _insist(tell: Callable[[], None]) -> None:
    def unless_it_is_over() -> None:
        try:
            tell()
        except urllib.error.HTTPError as error:
            if not says(END_OF_TOKEN, error):
                raise

    insist(unless_it_is_over, pause=1, longest=10, times=20, refused_for=SPAN)


def says(why: re.Pattern[str], error: urllib.error.HTTPError) -> bool:
    """Whether it is ZenML itself that refuses a token, and for this reason: `END_OF_TOKEN` or `END_OF_RUN`."""
    try:
        detail = json.loads(error.read())["detail"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return error.code == 401 and isinstance(detail, list) and bool(why.search(str(detail)))


def _keep_end(server: StudioServer, run_id: str, launch_id: str, end: str) -> None:
    told = LaunchEnd.of(launch_id, Status.from_json(json.loads(end))).to_json()
    body = {
        "project": server.get(f"runs/{run_id}")["body"]["project_id"],
        "resources": [{"id": run_id, "type": "pipeline_run"}],
        "values": {LAUNCH_END: {name: value for name, value in told.items() if value is not None}},
        "types": {LAUNCH_END: "dict"},
    }
    # Kept once, however often it is sent.
    server.post("run-metadata", body, key=uuid.uuid5(uuid.UUID(run_id), launch_id))


class StudioServer:
    """The ZenML server, as the studio reaches it.

    Args:
        environ: variables with its address and a token or key; that it has neither shows with the first request.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._url = f"{environ['ZENML_STORE_URL'].rstrip('/')}/api/v1"
        self._token = environ.get("ZENML_STORE_API_TOKEN", "")
        self._key = environ.get("ZENML_STORE_API_KEY", "")

    def get(self, path: str, **query: object) -> Any:
        """Gets a path below `/api/v1/`; keywords are the query."""
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, None)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Changes a path below `/api/v1/`."""
        return self._call("PUT", path, body)

    def post(self, path: str, body: dict[str, Any], *, key: uuid.UUID) -> None:
        """Makes something below `/api/v1/`; the server makes one of all that have the same key."""
        send("POST", f"{self._url}/{path}", headers={**self._headers(), "Idempotency-Key": str(key)}, body=body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        return ask(method, f"{self._url}/{path}", headers=self._headers(), body=body)

    def _headers(self) -> dict[str, str]:
        if not self._token:
            form = urllib.parse.urlencode({"grant_type": "zenml-api-key", "password": self._key}).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            token = ask("POST", f"{self._url}/login", headers=kind, body=form).get("access_token")
            if not isinstance(token, str):
                raise OddAnswerError("ZenML's answer to a login has no token.")
            self._token = token
        return {"Authorization": f"Bearer {self._token}"}


def _recorded(environ: Mapping[str, str]) -> list[str]:
    folder = Path(environ.get(LAUNCH_DIR, "/nowhere"))
    return [run.run_id for run in read(RunRecord, folder / layout.RUNS)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
