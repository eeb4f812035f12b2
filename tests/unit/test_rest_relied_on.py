"""A ZenML server is asked what it is before anything is started."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lightning_zenml.zenml_api.relied_on import RELIED_ON, missing
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer

API = "/api/v1/"


@contextmanager
def answering(answers: Mapping[str, object]) -> Iterator[str]:
    """A server with these answers; text is HTML."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def description() -> dict[str, object]:
    """All that is relied on, as a server would describe it."""
    paths: dict[str, dict[str, object]] = {}
    for endpoint in RELIED_ON:
        query = [{"name": name, "in": "query"} for name in endpoint.query]
        properties = {field.partition(".")[0]: {"type": "object"} for field in endpoint.fields}
        one: dict[str, object] = {"anyOf": [{"type": "object", "properties": properties}, {"type": "null"}]}
        page = {"properties": {"items": {"type": "array", "items": one}}}
        sent = {"schema": {"properties": {name: {"type": "string"} for name in endpoint.body}}}
        paths.setdefault(f"{API}{endpoint.path.replace('{}', '{some_id}')}", {})[endpoint.method.lower()] = {
            "parameters": query,
            "requestBody": {"content": {"application/json": sent}},
            "responses": {
                "200": {"content": {"application/json": {"schema": page if "page" in endpoint.query else one}}}
            },
        }
    return {"paths": paths}


def info(version: str) -> dict[str, object]:
    return {"id": "1", "version": version, "deployment_type": "other", "server_url": ""}


@pytest.mark.parametrize(
    "answer",
    [
        "<html><title>Sign in</title></html>",
        {"version": "2.3.1", "product": "Another"},
        {"error": "unknown"},
        ["0.98.0"],
        None,
    ],
    ids=["HTML", "another product", "another's error", "a list", "null"],
)
def test_another_kind_of_server_is_refused(no_pauses: None, answer: object) -> None:
    with answering({f"{API}info": answer}) as url, pytest.raises(ZenMLServerError, match="isn't a ZenML server"):
        ZenMLServer(url, "key").info()


def test_a_server_without_that_page_is_refused(no_pauses: None) -> None:
    with answering({}) as url, pytest.raises(ZenMLServerError, match="isn't a ZenML server"):
        ZenMLServer(url, "key").info()


def test_an_older_server_is_refused() -> None:
    with (
        answering({f"{API}info": info("0.96.4")}) as url,
        pytest.raises(ZenMLServerError, match=r"has version 0.96.4, which is too old; ZenML 0.97.0 to 0.98.0 work"),
    ):
        ZenMLServer(url, "key").info()


def test_a_tested_server_is_not_asked_for_more() -> None:
    with answering({f"{API}info": info("0.97.0")}) as url:
        assert ZenMLServer(url, "key").info().notice is None


def test_a_newer_server_that_has_all_is_used_with_a_notice() -> None:
    with answering({f"{API}info": info("0.99.0"), "/openapi.json": description()}) as url:
        notice = ZenMLServer(url, "key").info().notice

    assert notice is not None
    assert "has version 0.99.0, which isn't tested" in notice
    assert "It has all that is relied on" in notice


@pytest.mark.parametrize("described", [{}, {"/openapi.json": "<html>"}, {"/openapi.json": {"paths": None}}])
def test_a_newer_server_that_does_not_describe_itself_is_used_with_a_notice(described: Mapping[str, object]) -> None:
    with answering({f"{API}info": info("1.2.0"), **described}) as url:
        notice = ZenMLServer(url, "key").info().notice

    assert notice is not None
    assert "does not describe its REST API" in notice


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("/steps/{", "/step_runs/{", "PUT /api/v1/steps/{}"),
        ('"exclude_retried"', '"latest_only"', "parameter `exclude_retried` of GET /api/v1/steps"),
        ('"status_reason"', '"reason"', "field `status_reason` for PUT /api/v1/runs/{}"),
        ('"nodes"', '"vertices"', "field `nodes.name` of GET /api/v1/runs/{}/dag"),
    ],
    ids=["endpoint", "parameter", "field that is sent", "field of an answer"],
)
def test_a_newer_server_that_lacks_something_is_refused(old: str, new: str, lack: str) -> None:
    changed = json.loads(json.dumps(description()).replace(old, new))

    with (
        answering({f"{API}info": info("0.99.0"), "/openapi.json": changed}) as url,
        pytest.raises(ZenMLServerError, match="which lacks what is relied on") as refused,
    ):
        ZenMLServer(url, "key").info()
    assert lack in str(refused.value)
    assert "ZenML 0.97.0 to 0.98.0 work." in str(refused.value)


def test_a_field_within_others_is_looked_for() -> None:
    run = {"$ref": "#/components/schemas/Run"}
    whole = description()
    whole["paths"][f"{API}runs/{{some_id}}"]["get"]["responses"] = {  # type: ignore[index]
        "200": {"content": {"application/json": {"schema": run}}}
    }
    properties = {name: {"type": "object"} for name in ("id", "name", "metadata", "resources")}
    body = {"properties": {"index": {}, "project_id": {}}}
    whole["components"] = {"schemas": {"Run": {"properties": {**properties, "body": body}}}}

    assert missing(whole) == ["field `body.status` of GET /api/v1/runs/{}"]
