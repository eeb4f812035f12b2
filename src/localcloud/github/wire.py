"""What goes over the wire: requests as they came in, refusals, lists in pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud import schemas
from localcloud.github.store import Store

BODY_LIMIT = 65_536
DESCRIPTION_LIMIT = 140
DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Recorded:
    """A request as it came in; `body` is the parsed JSON, or the text where it isn't JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: Any


class RefusedError(Exception):
    """GitHub refuses a request, with an HTTP status and a message."""

    def __init__(self, status: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.payload = {
            "message": message,
            "documentation_url": DOCUMENTATION,
            "status": str(status),
            **extra,
        }


Operation = Callable[[Request, Any], Response]
"""Answers a request, given its parsed body."""


async def record(request: Request) -> Recorded:
    """Reads a request."""
    content = (await request.body()).decode(errors="replace")
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = content
    return Recorded(request.method, request.url.path, dict(request.query_params), dict(request.headers), body)


def check_request(operation: str | None, body: Any) -> None:
    """Refuses a body that GitHub's schema of the operation forbids."""
    if operation is None or operation.split()[0] not in {"POST", "PATCH"}:
        return
    if not isinstance(body, dict):
        raise RefusedError(400, "Problems parsing JSON")
    if problem := schemas.request_problem(operation, body):
        raise RefusedError(422, f"Invalid request.\n\n{problem}")


def comment_body(request_body: Any) -> str:
    """The comment in a request that passed its schema; refuses one that is blank or too long."""
    body: str = request_body["body"]
    if not body.strip():
        refuse_field("IssueComment", "data", "Body cannot be blank")
    if len(body) > BODY_LIMIT:
        refuse_field("IssueComment", "data", f"Body is too long (maximum is {BODY_LIMIT} characters)")
    return body


def refuse_field(resource: str, field_name: str, message: str) -> None:
    """Refuses a field whose value no schema can judge."""
    error = {"resource": resource, "code": "unprocessable", "field": field_name, "message": message}
    raise RefusedError(422, "Validation Failed", errors=[error])


def repository_of(request: Request, store: Store) -> str:
    """The repository that a request's path names; refuses one that isn't there."""
    known = store.repository(f"{request.path_params['owner']}/{request.path_params['repo']}")
    if known is None:
        raise RefusedError(404, "Not Found")
    return known


def check_address(resource: str, field_name: str, address: str | None) -> None:
    """Refuses an address that is no web page's; none at all is fine."""
    if address and not address.startswith(("http://", "https://")):
        refuse_field(resource, field_name, "must use http(s) scheme")


def check_sha(sha: str) -> None:
    """Refuses what can't be a commit's hash."""
    if not re.fullmatch(r"[0-9a-f]{7,40}", sha):
        raise RefusedError(422, f"No commit found for SHA: {sha}")


def page(server_url: str, request: Request, items: list[dict[str, Any]], counted_as: str = "") -> Response:
    """One page of a list, with the `Link` header that GitHub gives where there are several.

    Args:
        server_url: where the stand-in answers.
        request: the request, which may name a page and its size.
        items: the whole list.
        counted_as: name of the list in an object that has their number, too; '' for the list alone.
    """
    size = min(max(_number(request, "per_page", 30), 1), 100)
    number = max(_number(request, "page", 1), 1)
    last = max(1, -(-len(items) // size))
    targets = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    wanted = (["prev", "first"] if number > 1 else []) + (["next", "last"] if number < last else [])
    queries = {rel: urlencode({**request.query_params, "per_page": size, "page": targets[rel]}) for rel in wanted}
    links = [f'<{server_url}{request.url.path}?{query}>; rel="{rel}"' for rel, query in queries.items()]
    headers = {"Link": ", ".join(links)} if links else None
    shown = items[(number - 1) * size : number * size]
    answer = {"total_count": len(items), counted_as: shown} if counted_as else shown
    return JSONResponse(answer, headers=headers)


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() else default
