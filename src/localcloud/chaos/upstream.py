"""The service behind a proxy, asked for one client."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from localcloud.chaos.fault import Answer

TIMEOUT = 300.0
_OF_A_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"})
_NOT_PASSED_ON = _OF_A_CONNECTION | {"host", "content-length", "accept-encoding"}
_NOT_PASSED_BACK = _OF_A_CONNECTION | {"content-length", "date", "server"}
_TEXT = ("application/json", "application/vnd.github", "application/xml", "text/")


@dataclass(frozen=True)
class Request:
    """A request, whole.

    Args:
        method: of HTTP.
        path: as sent, with its query.
        headers: as sent.
        body: decoded where it came in chunks.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """The service.

    Args:
        url: base URL.
        addresses: in answers, URL of a service -> URL of its proxy; a client that follows a link stays on the way.
        trusted: PEM file of the authority that certified the service; None: the well-known ones.
    """

    def __init__(self, url: str, addresses: Mapping[str, str], trusted: Path | None) -> None:
        parts = urlsplit(url)
        self.base = parts.path
        self._address = parts.netloc
        self._addresses = addresses
        self._tls = ssl.create_default_context(cafile=trusted) if parts.scheme == "https" else None

    def ask(self, request: Request) -> Answer:
        """Sends a request, once, on a connection of its own.

        Raises:
            OSError: there was no whole answer.
        """
        if self._tls is None:
            connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT)
        else:
            connection = http.client.HTTPSConnection(self._address, timeout=TIMEOUT, context=self._tls)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        # A body that is compressed could not be read here.
        headers |= {"Accept-Encoding": "identity", "Connection": "close"}
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(request.body))
        try:
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            return self._readdressed(answer, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _readdressed(self, answer: http.client.HTTPResponse, body: bytes) -> Answer:
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_BACK}
        is_text = answer.getheader("Content-Type", "").startswith(_TEXT)
        for service, proxy in self._addresses.items():
            headers = {name: value.replace(service, proxy) for name, value in headers.items()}
            if is_text:
                body = body.replace(service.encode(), proxy.encode())
        if answer.getheader("Content-Length") and not body:
            # The length of what a HEAD asks about.
            headers["Content-Length"] = answer.getheader("Content-Length", "0")
        return Answer(answer.status, headers, body)
