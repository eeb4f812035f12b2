"""A stateful stand-in for the GitHub REST calls that a commenting action makes.

Pull requests and comments live in memory. Whatever is answered is checked against GitHub's own schemas
(`schemas/`), so a client can't come to rely on something that GitHub doesn't send. Faults are injected on
request: `fail`, `lose_answers`.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from localcloud import schemas
from localcloud.faults import Fault, Faults
from localcloud.schemas.objects import Comment, Place, PullRequest

BODY_LIMIT = 65_536
DOCUMENTATION = "https://docs.github.com/rest"

_PULLS = "/repos/{owner}/{repo}/commits/{commit_sha}/pulls"
_COMMENTS = "/repos/{owner}/{repo}/issues/{issue_number}/comments"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}"


@dataclass(frozen=True)
class Recorded:
    """A request as it came in; `body` is the parsed JSON, or the text where it isn't JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: Any


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.payload = {
            "message": message,
            "documentation_url": DOCUMENTATION,
            "status": str(status),
            **extra,
        }


class GitHub:
    """GitHub on a free port of 127.0.0.1, while the context is open.

    Args:
        path: what precedes the routes, e.g. `/api/v3` as on GitHub Enterprise Server.
        token: the one token that is accepted.
        login: whom the token belongs to; a name that ends in `[bot]` is a bot's.

    Attributes:
        url: base URL of the REST interface, to be used as `GITHUB_API_URL`.
        server_url: the beginning of every `html_url`, to be used as `GITHUB_SERVER_URL`.
        read_only: refuse every write, as for a token without `pull-requests: write`.
        requests: every request so far.
        refused: those among them that no route serves.
    """

    def __init__(
        self,
        *,
        path: str = "",
        token: str = "ghs_localcloud",
        login: str = "github-actions[bot]",
        port: int = 0,
    ) -> None:
        self.token = token
        self.login = login
        self.read_only = False
        self.requests: list[Recorded] = []
        self.refused: list[Recorded] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.server_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = self.server_url + path
        self._place = Place(self.url, self.server_url)
        self._repositories: set[str] = set()
        self._pull_requests: dict[tuple[str, int], PullRequest] = {}
        self._comments: dict[int, Comment] = {}
        self._next_id = 1
        self._faults = Faults()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app(path), log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="github", daemon=True)

    def __enter__(self) -> GitHub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def add_repository(self, repository: str) -> None:
        """Creates a repository, given as `owner/name`."""
        self._repositories.add(repository)

    def add_pull_request(
        self,
        repository: str,
        number: int,
        head_sha: str,
        head_ref: str = "feature",
        *,
        base_ref: str = "main",
        base_sha: str = "0" * 40,
        head_repo: str | None = None,
        state: str = "open",
        merge_commit_sha: str | None = None,
        commits: tuple[str, ...] = (),
    ) -> PullRequest:
        """Opens a pull request.

        Args:
            repository: `owner/name` of the base; created if need be.
            number: of the pull request.
            head_sha: newest commit of the head branch.
            head_ref: head branch.
            base_ref: base branch.
            base_sha: commit of the base branch.
            head_repo: `owner/name` of the head; None: the same repository.
            state: `open` or `closed`.
            merge_commit_sha: the test merge, or the merge once merged.
            commits: older commits of the head branch.
        """
        self.add_repository(repository)
        pull_request = PullRequest(
            repository=repository,
            number=number,
            head_sha=head_sha,
            head_ref=head_ref,
            base_ref=base_ref,
            base_sha=base_sha,
            head_repository=head_repo or repository,
            state=state,
            merge_commit_sha=merge_commit_sha,
            commits=(*commits, head_sha),
        )
        self._pull_requests[repository, number] = pull_request
        return pull_request

    def add_comment(
        self, repository: str, number: int, body: str, *, login: str | None = None, association: str = "NONE"
    ) -> Comment:
        """Comments on a pull request as `login` (None: the token's own), an author of that association."""
        now = datetime.now(UTC)
        comment = Comment(
            id=self._next_id,
            repository=repository,
            number=number,
            login=login or self.login,
            association=association,
            history=[body],
            created=now,
            updated=now,
        )
        self._next_id += 1
        self._comments[comment.id] = comment
        return comment

    def delete_comment(self, comment_id: int) -> None:
        """Deletes a comment, as a person would on the page."""
        del self._comments[comment_id]

    def comments(self, repository: str, number: int) -> list[Comment]:
        """Lists the comments on a pull request, oldest first."""
        return [c for c in list(self._comments.values()) if (c.repository, c.number) == (repository, number)]

    def fail(
        self,
        method: str,
        pattern: str,
        status: int | None,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        message: str = "Injected failure",
    ) -> None:
        """Refuses the next requests that match; `status` None drops the connection. See `Fault` for the arguments."""
        self._faults.add(Fault(method, pattern, status, times, headers or {}, message))

    def lose_answers(self, method: str, pattern: str, *, times: int = 1) -> None:
        """Carries out the next matching requests, but drops the connection instead of answering."""
        self._faults.add(Fault(method, pattern, None, times, carried_out=True))

    def _app(self, path: str) -> Starlette:
        operations: dict[tuple[str, str], Callable[[Request, Any], Response]] = {
            ("GET", _PULLS): self._list_pull_requests,
            ("GET", _COMMENTS): self._list_comments,
            ("POST", _COMMENTS): self._create_comment,
            ("GET", _COMMENT): self._get_comment,
            ("PATCH", _COMMENT): self._update_comment,
            ("DELETE", _COMMENT): self._delete_comment,
        }
        routes: list[Route] = [
            Route(route, self._endpoint(f"{method} {route}", operation), methods=[method])
            for (method, route), operation in operations.items()
        ]
        routes.append(Route("/{rest:path}", self._endpoint(None, self._refuse), methods=list(_ANY_METHOD)))
        return Starlette(routes=[Mount(path, routes=routes)] if path else routes)

    def _endpoint(self, operation: str | None, handler: Callable[[Request, Any], Response]) -> Any:
        async def endpoint(request: Request) -> Response:
            recorded = await _record(request)
            self.requests.append(recorded)
            fault = self._faults.next(request.method, request.url.path)
            response: Response | None = None
            try:
                if fault and not fault.carried_out and fault.status:
                    raise _RefusedError(fault.status, fault.message)
                if fault is None or fault.carried_out:
                    self._authorize(request)
                    _check_request(operation, recorded.body)
                    response = handler(request, recorded.body)
            except _RefusedError as problem:
                headers = dict(fault.headers) if fault else None
                response = JSONResponse(problem.payload, problem.status, headers)
            if response is None or (fault and fault.carried_out):
                await self._drop_connection(request)
                return Response()
            if response.body:
                schemas.check_answer(operation, response.status_code, json.loads(bytes(response.body)))
            return response

        return endpoint

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise _RefusedError(401, "Requires authentication")
        if scheme.lower() not in {"bearer", "token"} or token != self.token:
            raise _RefusedError(401, "Bad credentials")
        if self.read_only and request.method not in {"GET", "HEAD"}:
            raise _RefusedError(403, "Resource not accessible by integration")

    async def _drop_connection(self, request: Request) -> None:
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "client", None) == tuple(request.scope["client"]):
                connection.transport.abort()
        while not await request.is_disconnected():
            await asyncio.sleep(0)

    def _list_pull_requests(self, request: Request, _: Any) -> Response:
        repository, sha = self._repository(request), request.path_params["commit_sha"]
        if not re.fullmatch(r"[0-9a-f]{7,40}", sha):
            raise _RefusedError(422, f"No commit found for SHA: {sha}")
        found = [
            pull_request
            for pull_request in list(self._pull_requests.values())
            if pull_request.repository == repository and sha in (*pull_request.commits, pull_request.merge_commit_sha)
        ]
        return _page(self.server_url, request, [pull_request.json(self._place) for pull_request in found])

    def _list_comments(self, request: Request, _: Any) -> Response:
        pull_request = self._pull_request(request)
        found = self.comments(pull_request.repository, pull_request.number)
        return _page(self.server_url, request, [comment.json(self._place) for comment in found])

    def _create_comment(self, request: Request, body: Any) -> Response:
        pull_request = self._pull_request(request)
        comment = self.add_comment(pull_request.repository, pull_request.number, _comment_body(body))
        payload = comment.json(self._place)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _get_comment(self, request: Request, _: Any) -> Response:
        return JSONResponse(self._comment(request).json(self._place))

    def _update_comment(self, request: Request, body: Any) -> Response:
        comment = self._comment(request)
        comment.history.append(_comment_body(body))
        comment.updated = datetime.now(UTC)
        return JSONResponse(comment.json(self._place))

    def _delete_comment(self, request: Request, _: Any) -> Response:
        self.delete_comment(self._comment(request).id)
        return Response(status_code=204)

    def _refuse(self, request: Request, _: Any) -> Response:
        self.refused.append(self.requests[-1])
        raise _RefusedError(404, "Not Found")

    def _repository(self, request: Request) -> str:
        repository = f"{request.path_params['owner']}/{request.path_params['repo']}"
        for known in self._repositories:
            if known.lower() == repository.lower():
                return known
        raise _RefusedError(404, "Not Found")

    def _pull_request(self, request: Request) -> PullRequest:
        number = request.path_params["issue_number"]
        key = (self._repository(request), int(number) if number.isdecimal() else 0)
        if key not in self._pull_requests:
            raise _RefusedError(404, "Not Found")
        return self._pull_requests[key]

    def _comment(self, request: Request) -> Comment:
        number = request.path_params["comment_id"]
        comment = self._comments.get(int(number) if number.isdecimal() else 0)
        if comment is None or comment.repository != self._repository(request):
            raise _RefusedError(404, "Not Found")
        return comment


_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def _record(request: Request) -> Recorded:
    content = (await request.body()).decode(errors="replace")
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = content
    return Recorded(request.method, request.url.path, dict(request.query_params), dict(request.headers), body)


def _check_request(operation: str | None, body: Any) -> None:
    if operation is None or operation.split()[0] not in {"POST", "PATCH"}:
        return
    if not isinstance(body, dict):
        raise _RefusedError(400, "Problems parsing JSON")
    if problem := schemas.request_problem(operation, body):
        raise _RefusedError(422, f"Invalid request.\n\n{problem}")


def _comment_body(request_body: Any) -> str:
    body: str = request_body["body"]
    if not body.strip():
        _refuse_body("Body cannot be blank")
    if len(body) > BODY_LIMIT:
        _refuse_body(f"Body is too long (maximum is {BODY_LIMIT} characters)")
    return body


def _refuse_body(message: str) -> None:
    error = {"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": message}
    raise _RefusedError(422, "Validation Failed", errors=[error])


def _page(server_url: str, request: Request, items: list[dict[str, Any]]) -> Response:
    """One page of a list, with the `Link` header that GitHub gives where there are several."""
    size = min(max(_number(request, "per_page", 30), 1), 100)
    page = max(_number(request, "page", 1), 1)
    last = max(1, -(-len(items) // size))
    targets = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    wanted = (["prev", "first"] if page > 1 else []) + (["next", "last"] if page < last else [])
    links = [
        f'<{server_url}{request.url.path}?{urlencode({"per_page": size, "page": targets[rel]})}>; rel="{rel}"'
        for rel in wanted
    ]
    headers = {"Link": ", ".join(links)} if links else None
    return JSONResponse(items[(page - 1) * size : page * size], headers=headers)


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() else default
