"""What is relied on of a ZenML server's REST API, and whether a server says that it has it.

A server describes itself in `/openapi.json`, as every one that is made with FastAPI. The one list of what is needed of
it; `lightning_zenml.orchestrator.zenml_internals` is the same for ZenML's Python code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Endpoint:
    """One request that is made.

    Args:
        method: HTTP method.
        path: below `/api/v1/`, `{}` for an id.
        query: names of the query's parameters.
        fields: fields of the answer, those within others behind a dot; of the items where it is a page of them.
        body: fields of the JSON that is sent.
    """

    method: str
    path: str
    query: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    body: tuple[str, ...] = ()


_PAGE = ("page", "size")
_RUN = (
    "id",
    "name",
    "body.index",
    "body.project_id",
    "body.status",
    "metadata.end_time",
    "metadata.run_metadata",
    "metadata.start_time",
    "resources.model_version",
    "resources.pipeline.name",
    "resources.stack.id",
)
_STEP = (
    "id",
    "name",
    "body.end_time",
    "body.start_time",
    "body.status",
    "metadata.exception_info.traceback",
    "metadata.run_metadata",
    "resources.log_collection",
    "resources.model_version.body.model.name",
)
_STACK = ("id", "name", "metadata.components")
_ARTIFACT = (
    "id",
    "body.artifact.name",
    "body.project_id",
    "body.type",
    "body.uri",
    "body.version",
    "metadata.run_metadata",
    "metadata.visualizations.body.type",
    "metadata.visualizations.body.uri",
)
_FILTERS = (
    "created",
    "index",
    "name",
    "orchestrator_run_id",
    "parent_run_id",
    "pipeline_id",
    "sort_by",
    "status",
    "tags",
)

RELIED_ON = (
    Endpoint("POST", "login"),
    Endpoint("GET", "info", fields=("dashboard_url", "deployment_type", "pro_dashboard_url", "server_url", "version")),
    Endpoint("GET", "api_token", query=("expires_in", "token_type")),
    Endpoint("GET", "current-user", fields=("body.default_project_id",)),
    Endpoint("GET", "projects", query=_PAGE, fields=("id", "name")),
    Endpoint("GET", "projects/{}", fields=("id", "name")),
    Endpoint("GET", "stacks", query=("hydrate", *_PAGE), fields=_STACK),
    Endpoint("GET", "components", query=("hydrate", "name", "type", *_PAGE), fields=("metadata.configuration",)),
    Endpoint("GET", "runs", query=("hydrate", *_FILTERS, *_PAGE), fields=(*_RUN, "body.created", "body.root_run_id")),
    Endpoint("GET", "runs/{}", query=("hydrate",), fields=_RUN),
    Endpoint("PUT", "runs/{}", body=("status", "status_reason")),
    Endpoint(
        "GET", "runs/{}/dag", fields=("edges.source", "edges.target", "nodes.name", "nodes.node_id", "nodes.type")
    ),
    Endpoint(
        "GET",
        "schedules",
        query=("hydrate", *_PAGE),
        fields=("id", "name", "body.active", "metadata.orchestrator_id"),
    ),
    Endpoint("GET", "pipeline_snapshots/{}", fields=("id",)),
    Endpoint("GET", "steps", query=("exclude_retried", "hydrate", "pipeline_run_id", *_PAGE), fields=_STEP),
    Endpoint("PUT", "steps/{}", fields=("body.status",), body=("end_time", "status")),
    Endpoint("GET", "artifact_versions", query=("hydrate", "pipeline_run", "sort_by", *_PAGE), fields=_ARTIFACT),
    Endpoint("GET", "artifact_versions/{}/visualize", query=("index",), fields=("value",)),
    Endpoint("GET", "model_versions/{}", query=("hydrate",), fields=("metadata.run_metadata",)),
    Endpoint("GET", "logs/{}/entries", fields=("items.message",)),
)


def missing(description: Any) -> list[str] | None:
    """Looks for all that is relied on.

    Args:
        description: what the server answers at `/openapi.json`.

    Returns:
        What isn't there, one phrase each; None if that is no description of an API.
    """
    paths = description.get("paths") if isinstance(description, dict) else None
    if not isinstance(paths, dict):
        return None
    there = {re.sub(r"\{[^}]*\}", "{}", path): operations for path, operations in paths.items()}
    return [lack for endpoint in RELIED_ON for lack in _missing(endpoint, there, description)]


def _missing(endpoint: Endpoint, there: Mapping[str, Any], description: Any) -> Iterator[str]:
    name = f"{endpoint.method} /api/v1/{endpoint.path}"
    operation = (there.get(f"/api/v1/{endpoint.path}") or {}).get(endpoint.method.lower())
    if operation is None:
        yield name
        return
    query = {parameter.get("name") for parameter in operation.get("parameters", ())}
    yield from (f"parameter `{one}` of {name}" for one in endpoint.query if one not in query)
    answer = _json_of(operation.get("responses", {}).get("200", {}))
    sent = _json_of(operation.get("requestBody", {}))
    fields = [f"items.{one}" for one in endpoint.fields] if "page" in endpoint.query else endpoint.fields
    yield from (f"field `{one}` of {name}" for one in fields if not _has(answer, one.split("."), description))
    yield from (f"field `{one}` for {name}" for one in endpoint.body if not _has(sent, [one], description))


def _json_of(message: Mapping[str, Any]) -> Any:
    return message.get("content", {}).get("application/json", {}).get("schema", {})


def _has(schema: Any, path: list[str], description: Any) -> bool:
    """Whether what a schema describes may have a field; one that says nothing of its fields may have any."""
    if not path:
        return True
    if not isinstance(schema, dict):
        return False
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return _has(description.get("components", {}).get("schemas", {}).get(name), path, description)
    choices = [one for kind in ("anyOf", "oneOf", "allOf") for one in schema.get(kind, ()) if one.get("type") != "null"]
    if choices:
        return any(_has(one, path, description) for one in choices)
    if "items" in schema:
        return _has(schema["items"], path, description)
    if "properties" in schema:
        return path[0] in schema["properties"] and _has(schema["properties"][path[0]], path[1:], description)
    return bool(schema.get("type", "object") == "object")
