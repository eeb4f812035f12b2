"""Connections of clients, as HTTP/1.1 has them, and what may be done to them."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from localcloud.chaos.fault import Answer
from localcloud.chaos.upstream import Request

_PIECES = 20
_AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: whoever closes the connection resets it."""


class Connection(BaseHTTPRequestHandler):
    """A client's connection with its requests, one after the other."""

    protocol_version = "HTTP/1.1"
    # An answer is written in two parts, headers and body.
    disable_nagle_algorithm = True
    server: Listener

    def send(self, answer: Answer, *, pause: Callable[[], object] | None = None) -> None:
        """Sends an answer.

        Args:
            answer: what is sent.
            pause: called between two pieces of the body; None: all at once.
        """
        self._send_head(answer)
        if self.command == "HEAD":
            return
        if pause is None:
            self.wfile.write(answer.body)
            return
        size = max(1, -(-len(answer.body) // _PIECES))
        for start in range(0, len(answer.body), size):
            pause()
            self.wfile.write(answer.body[start : start + size])

    def send_half(self, answer: Answer) -> None:
        """Sends an answer whose body breaks off in the middle."""
        self._send_head(answer)
        self.wfile.write(answer.body[: len(answer.body) // 2])
        self.close_connection = True
        if not answer.body:
            self.reset()

    def reset(self) -> None:
        """Resets the connection: the client gets no answer, nor an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.server.forget(self.connection)
        os.close(self.connection.detach())

    def handle(self) -> None:
        """Serves the requests until either side ends the connection."""
        # Whichever way a client or a cut ends a connection, there is nobody to be told.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def log_message(self, *args: Any) -> None:
        """Logs nothing; `Calls` has it all."""

    def _serve(self) -> None:
        request = Request(self.command, self.path, dict(self.headers.items()), self._body())
        self.server.serve(request, self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not {"content-length"} & {name.lower() for name in answer.headers} and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()


class Listener(ThreadingHTTPServer):
    """Accepts connections on a free port of 127.0.0.1, each in a thread of its own.

    Args:
        serve: gets each request with the connection to answer on.
        tls: of the listener; None: plain HTTP.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, serve: Callable[[Request, Connection], None], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.serve = serve
        self.port: int = self.server_address[1]
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="chaos", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Ends, and all connections with it."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.cut()

    def cut(self) -> None:
        """Ends every open connection, whatever is under way on it."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def forget(self, connection: socket.socket) -> None:
        """No longer counts a connection as open."""
        with self._lock:
            self._open.discard(connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection; its thread does the handshake."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection that has been served."""
        self.forget(request)
        super().shutdown_request(request)
