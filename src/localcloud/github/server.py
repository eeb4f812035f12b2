"""GitHub on a free port of this machine, with and without TLS."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from localcloud import schemas
from localcloud.faults import Fault, Faults
from localcloud.github.git_routes import GitRoutes
from localcloud.github.results import BLOBS, SERVICE, Results
from localcloud.github.routes import Routes
from localcloud.github.store import Store
from localcloud.github.wire import Operation, Recorded, RefusedError, check_request, record
from localcloud.schemas.objects import Place

_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_MEETING_DEADLINE = 60.0


class GitHub(Store):
    """GitHub on a free port of 127.0.0.1, while the context is open.

    Args:
        path: what precedes the routes, e.g. `/api/v3` as on GitHub Enterprise Server.
        token: the one token that is accepted.
        login: whom the token belongs to; a name that ends in `[bot]` is a bot's.
        port: 0: a free one.
        certificate: PEM file with key and certificate, see `localcloud.tls`; None: no TLS.

    Attributes:
        url: base URL of the REST interface, to be used as `GITHUB_API_URL`.
        server_url: the beginning of every `html_url`, to be used as `GITHUB_SERVER_URL`.
        grants_reading: answer reads; without, as for a token without `pull-requests` at all.
        read_only: refuse every write, as for a token without `pull-requests: write`.
        grants_statuses: whether the token has `statuses: write`.
        grants_contents: whether the token has `contents: write`.
        grants_checks: whether the token has `checks: write`; without, it may not even read them.
        grants_deployments: whether the token has `deployments: write`, likewise.
        results: the artifacts of the workflow run, and the token for them.
        results_url: where they are taken, to be used as `ACTIONS_RESULTS_URL`.
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
        certificate: Path | None = None,
    ) -> None:
        super().__init__(login)
        self.token = token
        self.read_only = False
        self.grants_reading = True
        self.grants_statuses = True
        self.grants_contents = True
        self.grants_checks = True
        self.grants_deployments = True
        self.requests: list[Recorded] = []
        self.refused: list[Recorded] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        scheme = "https" if certificate else "http"
        self.server_url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = self.server_url + path
        self.results_url = f"{self.server_url}/"
        self.results = Results(self.server_url)
        self._faults = Faults()
        self._meetings: list[_Meeting] = []
        self._server = _Server(
            uvicorn.Config(
                self._app(path),
                log_level="critical",
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
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

    def meet(self, method: str, pattern: str, *, parties: int = 2) -> None:
        """Answers the next matching requests at the same moment, once there are so many: a race without luck."""
        self._meetings.append(_Meeting(method, pattern, parties))

    def _app(self, path: str) -> Starlette:
        place = Place(self.url, self.server_url)
        served = Routes(self, place)
        routes: list[Route] = [
            # The name of a reference holds slashes.
            Route(
                route.replace("{ref}", "{ref:path}"), self._endpoint(f"{method} {route}", operation), methods=[method]
            )
            for (method, route), operation in {**served.operations, **GitRoutes(self, place).operations}.items()
        ]
        graphql = Route(f"{path.removesuffix('/v3')}/graphql", self._endpoint(None, served.graphql), methods=["POST"])
        of_actions = [
            Route(SERVICE, self._endpoint_of_actions(self.results.call), methods=["POST"]),
            Route(BLOBS, self._endpoint_of_actions(self.results.put), methods=["PUT"]),
        ]
        rest = Route("/{rest:path}", self._endpoint(None, self._refuse), methods=list(_ANY_METHOD))
        return Starlette(
            routes=[graphql, *of_actions, *([Mount(path, routes=[*routes, rest])] if path else routes), rest]
        )

    def _endpoint(self, operation: str | None, handler: Operation) -> Any:
        async def endpoint(request: Request) -> Response:
            recorded = await record(request)

            def answer() -> Response:
                self._authorize(request)
                check_request(operation, recorded.body)
                return handler(request, recorded.body)

            response = await self._answer(request, recorded, answer)
            if response.body and (operation or response.status_code != 200):
                schemas.check_answer(operation, response.status_code, json.loads(bytes(response.body)))
            return response

        return endpoint

    def _endpoint_of_actions(self, handler: Callable[[Request, bytes], Response]) -> Any:
        async def endpoint(request: Request) -> Response:
            content = await request.body()
            return await self._answer(request, await record(request), lambda: handler(request, content))

        return endpoint

    async def _answer(self, request: Request, recorded: Recorded, answer: Callable[[], Response]) -> Response:
        """The answer, or what the next fault makes of it; one without a body where the connection is dropped."""
        self.requests.append(recorded)
        fault = self._faults.next(request.method, request.url.path)
        response: Response | None = None
        try:
            if fault and not fault.carried_out and fault.status:
                raise RefusedError(fault.status, fault.message)
            if fault is None or fault.carried_out:
                response = answer()
        except RefusedError as problem:
            headers = dict(fault.headers) if fault else None
            response = JSONResponse(problem.payload, problem.status, headers)
        for meeting in self._meetings:
            if meeting.concerns(request):
                await meeting.wait()
        if response is None or (fault and fault.carried_out):
            await self._drop_connection(request)
            return Response()
        return response

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise RefusedError(401, "Requires authentication")
        if scheme.lower() not in {"bearer", "token"} or token != self.token:
            raise RefusedError(401, "Bad credentials")
        path = request.url.path
        if path.endswith("/graphql"):
            return
        for part, is_granted in (("check-runs", self.grants_checks), ("deployments", self.grants_deployments)):
            if f"/{part}" in path and not is_granted:
                raise RefusedError(403, "Resource not accessible by integration")
        if request.method in {"GET", "HEAD"}:
            if not self.grants_reading:
                raise RefusedError(403, "Resource not accessible by integration")
            return
        may_not = ("/statuses/" in path and not self.grants_statuses) or ("/git/" in path and not self.grants_contents)
        if self.read_only or may_not:
            raise RefusedError(403, "Resource not accessible by integration")

    async def _drop_connection(self, request: Request) -> None:
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "client", None) == tuple(request.scope["client"]):
                connection.transport.abort()
        while not await request.is_disconnected():
            await asyncio.sleep(0)

    def _refuse(self, request: Request, _: Any) -> Response:
        self.refused.append(self.requests[-1])
        raise RefusedError(404, "Not Found")


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Under TLS a connection that is closed politely outlives the loop: it waits for the client's farewell.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class _Meeting:
    """Requests that wait for each other before they are answered."""

    def __init__(self, method: str, pattern: str, parties: int) -> None:
        self._method = method
        self._pattern = pattern
        self._missing = parties
        self._complete = asyncio.Event()

    def concerns(self, request: Request) -> bool:
        return bool(
            not self._complete.is_set()
            and request.method == self._method
            and re.search(self._pattern, request.url.path)
        )

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing:
            await asyncio.wait_for(self._complete.wait(), _MEETING_DEADLINE)
        else:
            self._complete.set()
