"""HTTP: finds the route of a request, checks it strictly, records it, and answers as a gRPC gateway does."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from .knobs import Knobs
from .validation import InvalidError, check

# gRPC code -> HTTP status, as gRPC gateways map them.
_STATUS = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 12: 501, 13: 500, 14: 503, 16: 401}

_LOOK = 0.05
"""Seconds between two looks for an answer that takes its time."""


class ApiError(Exception):
    """An answer other than success.

    Args:
        code: gRPC code; decides the HTTP status.
        message: shown to the caller.
        refused: the request is one that the stand-in does not know, rather than one that the platform turns down.
    """

    def __init__(self, code: int, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.refused = refused


@dataclass(frozen=True)
class Call:
    """A checked request, as a route's handler gets it.

    Args:
        params: the variable parts of the path.
        query: the query, each name once.
        json: the decoded body; `{}` when it is empty.
        file: where a body that is not JSON was stored; the handler takes the file away.
    """

    params: dict[str, str]
    query: dict[str, str]
    json: Any
    file: Path | None = None


@dataclass(frozen=True)
class Later:
    """What a handler returns whose answer takes its time.

    Args:
        look: returns the answer, or None as long as there is none; called under the cloud's lock, again and again.
    """

    look: Callable[[], Any]


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    Args:
        method: HTTP method.
        path: with variables as in the SDK: `/v1/projects/{projectId}`; the last one may span slashes as `{path:path}`.
        handler: gets the call, returns what becomes the JSON answer, a Response, or `Later`; the cloud's lock is held.
        body: the SDK's model of the body; None: there must be none.
        query: names that the query may hold.
        answer: the SDK's model of the answer, which is checked too.
        public: needs no credentials.
        check_body: checks a body that no model of the SDK describes; raises `InvalidError`.
        stores: the body is a file rather than JSON.
    """

    method: str
    path: str
    handler: Callable[[Call], Any]
    body: str | None = None
    query: tuple[str, ...] = ()
    answer: str = "object"
    public: bool = False
    check_body: Callable[[Any], None] | None = None
    stores: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """The variable parts of `path`, or None when it is not this route's."""
        pattern = re.sub(r"\\{(\w+)(:path)?\\}", _variable, re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None


@dataclass
class Request:
    """A request as it was received.

    Args:
        method: HTTP method.
        path: decoded.
        query: as sent; a name that came several times keeps its last value.
        body: decoded JSON, or bytes; of an uploaded file only its size is kept.
        time: seconds since the epoch.
        size: bytes of the body.
        status: of the answer; 0: the answer was lost.
        reason: why it was refused; "" when it was not.
    """

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    time: float = field(default_factory=time.time)
    size: int = 0
    status: int = 0
    reason: str = ""


class Server:
    """The API on a free port of 127.0.0.1, served by a thread of this process.

    Args:
        knobs: latency, lost answers and failures.
        authorised: whether a request with this `Authorization` header is let in.
        spool: an existing folder for bodies of uploads.
        lock: held while a handler runs.
        port: 0: any free one.
    """

    def __init__(
        self, knobs: Knobs, authorised: Callable[[str], bool], spool: Path, lock: threading.RLock, port: int = 0
    ) -> None:
        self.requests: list[Request] = []
        self.refused: list[Request] = []
        self.routes: list[Route] = []
        self._knobs = knobs
        self._authorised = authorised
        self._spool = spool
        self._lock = lock
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            proxy_headers=False,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), name="lightning-api", daemon=True
        )

    def start(self) -> None:
        """Begin to answer. Connections wait from the moment that the object exists."""
        self._thread.start()

    def stop(self) -> None:
        """End; answers under way get two seconds."""
        self._uvicorn.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        http = HttpRequest(scope, receive)
        request = Request(
            http.method, scope["path"], dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        )
        with self._lock:
            self.requests.append(request)
        await asyncio.sleep(self._knobs.latency)
        try:
            response = await self._answer(http, request)
        except ClientDisconnect:
            return
        except ApiError as error:
            response = self._error(request, error)
        except Exception:
            response = self._error(request, ApiError(13, traceback.format_exc(), refused=True))
        if self._take_lost_answer(request):
            scope["localcloud.transport"].abort()
            await http.is_disconnected()
            await asyncio.sleep(0)
            return
        spoilt = self._take_spoilt_answer(request)
        if spoilt == "cut":
            await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
            await send({"type": "http.response.body", "body": bytes(response.body)[:1], "more_body": True})
            scope["localcloud.transport"].abort()
            return
        if spoilt:
            response = self._error(request, ApiError(14, "bad gateway"))
            response.status_code = int(spoilt)
        request.status = response.status_code
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest, request: Request) -> Response:
        route, params = self._find(request)
        file = await self._read(http, request, stores=route is not None and route.stores)
        self._fail_on_demand(request)
        if route is None:
            raise ApiError(5, f"Not Found: {request.method} {request.path}", refused=True)
        if not route.public and not self._authorised(http.headers.get("authorization", "")):
            raise ApiError(16, "unauthenticated: invalid credentials")
        self._check(route, request)
        body = {} if request.body is None else request.body
        result = await asyncio.to_thread(self._handle, route, Call(params, request.query, body, file))
        if isinstance(result, Later):
            result = await self._later(result, http)
        if isinstance(result, Response):
            return result
        try:
            check(route.answer, result)
        except InvalidError as error:
            raise ApiError(13, f"the stand-in's answer is wrong: {error}", refused=True) from error
        return JSONResponse({} if result is None else result)

    def _handle(self, route: Route, call: Call) -> Any:
        with self._lock:
            return route.handler(call)

    async def _later(self, later: Later, http: HttpRequest) -> Any:
        while True:
            with self._lock:
                result = later.look()
            if result is not None:
                return result
            if self._uvicorn.should_exit or await http.is_disconnected():
                raise ApiError(14, "nobody waits for the answer any more")
            await asyncio.sleep(_LOOK)

    def _find(self, request: Request) -> tuple[Route | None, dict[str, str]]:
        for route in self.routes:
            if route.method == request.method and (params := route.match(request.path)) is not None:
                return route, params
        return None, {}

    async def _read(self, http: HttpRequest, request: Request, *, stores: bool) -> Path | None:
        if stores:
            with tempfile.NamedTemporaryFile(dir=self._spool, delete=False) as file:
                async for chunk in http.stream():
                    request.size += file.write(chunk)
            return Path(file.name)
        raw = await http.body()
        request.size = len(raw)
        if raw:
            try:
                request.body = json.loads(raw)
            except ValueError:
                request.body = raw
        return None

    @staticmethod
    def _check(route: Route, request: Request) -> None:
        if unknown := sorted(set(request.query) - set(route.query)):
            raise ApiError(3, f"unknown query parameter {unknown[0]!r}", refused=True)
        if isinstance(request.body, bytes):
            raise ApiError(3, "the body is not JSON", refused=True)
        try:
            if route.check_body is not None:
                route.check_body(request.body)
            elif route.body is not None:
                check(route.body, request.body)
            elif request.body:
                raise InvalidError("no body is expected")
        except InvalidError as error:
            raise ApiError(3, f"invalid request: {error}", refused=True) from error

    def _error(self, request: Request, error: ApiError) -> Response:
        if error.refused:
            request.reason = error.message
            with self._lock:
                self.refused.append(request)
        body = {"code": error.code, "message": error.message, "details": []}
        return JSONResponse(body, status_code=_STATUS.get(error.code, 500))

    def _fail_on_demand(self, request: Request) -> None:
        with self._lock:
            for index, (method, path, status, times) in enumerate(self._knobs.fail):
                if times > 0 and method == request.method and re.search(path, request.path):
                    self._knobs.fail[index] = (method, path, status, times - 1)
                    code = next((code for code, known in _STATUS.items() if known == status), 13)
                    raise ApiError(code, "failure on demand")

    def _take_lost_answer(self, request: Request) -> bool:
        with self._lock:
            for index, (method, path) in enumerate(self._knobs.lose_answers):
                if method == request.method and re.search(path, request.path):
                    del self._knobs.lose_answers[index]
                    return True
        return False

    def _take_spoilt_answer(self, request: Request) -> str:
        with self._lock:
            for index, (method, path, how) in enumerate(self._knobs.spoil_answers):
                if method == request.method and re.search(path, request.path):
                    del self._knobs.spoil_answers[index]
                    return how
        return ""


class _Protocol(H11Protocol):
    """Shows its connection to the application, which drops it to lose an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "localcloud.transport": transport}, receive, send)

        self.app = with_transport


def _variable(match: re.Match[str]) -> str:
    name, spans = match.groups()
    return f"(?P<{name}>.*)" if spans else f"(?P<{name}>[^/]+)"
