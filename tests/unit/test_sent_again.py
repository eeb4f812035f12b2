"""What a ZenML server that forgets requests says of one that was sent again, its first answer being lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import tenacity
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from lightning_zenml.zenml_api.patience import PatientAdapter

LIKE_A_NAME = "train: 100% (gpu)"


class Forgetful(ThreadingHTTPServer):
    """Makes what it is asked for, and tells so as often as it is told to; of a name or an id it makes one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.things: list[dict[str, Any]] = []
        self.loses = self.loses_unmade = 0
        self.shows_logs = True
        self.keys: list[str | None] = []
        self.clock = timedelta()

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock


class Handler(BaseHTTPRequestHandler):
    server: Forgetful

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.now.timestamp())

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Idempotency-Key"])
        if self.server.loses_unmade:
            self.server.loses_unmade -= 1
            self.close_connection = True
            return
        there = [one for one in self.server.things if wanted["name"] == one["name"]]
        if there:
            status = 500 if "logs" in self.path else 409
            error = (
                ["RuntimeError", "IntegrityError"] if status == 500 else ["EntityExistsError", "There is such a one."]
            )
            self.answer(status, {"detail": error})
            return
        created = self.server.now.replace(tzinfo=None).isoformat()
        made = {"id": wanted.get("id", f"{len(self.server.things):036x}"), "name": wanted["name"]}
        self.server.things.append({**made, "body": {"created": created}})
        if self.server.loses:
            self.server.loses -= 1
            self.close_connection = True
            return
        self.answer(200, [self.server.things[-1], True] if self.path.endswith("/runs") else self.server.things[-1])

    def do_GET(self) -> None:
        assert "Content-Length" not in self.headers or self.command == "PUT"
        assert "Idempotency-Key" not in self.headers
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        found = [one for one in self.server.things if url.path.endswith(one["id"])]
        if found and "logs" in self.path and self.command == "GET" and not self.server.shows_logs:
            self.answer(403, {"detail": ["IllegalOperationError", "Logs must be associated with a pipeline run."]})
        elif found:
            self.answer(200, {**found[0], "metadata": {}})
        else:
            (name,) = query["name"]
            items = [one for one in self.server.things if f"equals:{one['name']}" == name]
            self.answer(200, {"items": items})

    def do_PUT(self) -> None:
        assert self.rfile.read(int(self.headers["Content-Length"])) == b"{}"
        self.do_GET()

    def answer(self, status: int, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Forgetful]:
    with Forgetful() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def post(server: Forgetful, kind: str, tries_below: int = 0, **wanted: str) -> requests.Response:
    """Posts as ZenML's client does; `tries_below`: by urllib3 instead of the adapter of ours."""
    retry = Retry(total=tries_below, allowed_methods=None, backoff_factor=0)
    adapter = PatientAdapter(
        HTTPAdapter(max_retries=retry), stop=tenacity.stop_after_attempt(4), outages=(requests.ConnectionError,)
    )
    with requests.Session() as session:
        session.mount("http://", adapter)
        url = f"http://127.0.0.1:{server.server_port}/api/v1/{kind}"
        return session.post(url, json=wanted, headers={"Idempotency-Key": "1"}, timeout=20)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_zenml.zenml_api.patience.PAUSES", tenacity.wait_none())


@pytest.mark.parametrize("tries_below", [0, 2])
@pytest.mark.parametrize("clock", [-3600, 0, 3600])
@pytest.mark.parametrize("kind", ["runs", "steps", "schedules", "secrets"])
def test_what_the_first_one_made_is_the_answer(server: Forgetful, kind: str, clock: int, tries_below: int) -> None:
    server.loses, server.clock = 1, timedelta(seconds=clock)
    answer = post(server, kind, tries_below, name=LIKE_A_NAME)
    assert answer.status_code == 200
    made = {**server.things[0], "metadata": {}}
    assert answer.json() == ([made, True] if kind == "runs" else made)
    assert (len(server.things), server.keys) == (1, ["1", "1"])


@pytest.mark.parametrize("shows_logs", [True, False])
def test_what_has_an_id_of_its_own_is_found_by_that(server: Forgetful, shows_logs: bool) -> None:
    server.loses, server.shows_logs = 1, shows_logs
    answer = post(server, "logs", id="1" * 36, name="client")
    assert answer.json()["id"] == "1" * 36


def test_what_somebody_else_has_made_stays_in_the_way(server: Forgetful) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    server.things.append({"id": "0" * 36, "name": "nightly", "body": {"created": long_ago}})
    server.loses_unmade = 1
    assert post(server, "schedules", name="nightly").status_code == 409
    assert len(server.keys) == 2
    # As if another had just made it: this one was sent once.
    server.things[0]["body"]["created"] = server.now.isoformat()
    assert post(server, "schedules", name="nightly").status_code == 409
