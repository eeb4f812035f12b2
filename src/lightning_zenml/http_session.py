"""HTTP sessions that send the credentials they are given, and no others.

requests looks for the host in `~/.netrc` where it is given no auth object, and once more behind each redirect, and puts
what it finds in place of our `Authorization` (`Session.prepare_request`, `Session.rebuild_auth` of requests 2.32).
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


class Authorization(AuthBase):
    """What authorises a request, or nothing.

    Args:
        value: the header's value; '': the request goes as it is.
    """

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authorises a request."""
        if self._value:
            request.headers["Authorization"] = self._value
        return request


class Bearer(Authorization):
    """A token, or none, that authorises a request.

    Args:
        token: the token; '': the request goes without.
    """

    def __init__(self, token: str) -> None:
        super().__init__(f"Bearer {token}" if token else "")


class Session(requests.Session):
    """A session that knows no credentials of its own; a redirect to another server loses those of the request."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Takes the credentials away where a redirect leads to another server."""
        came_from, leads_to = response.request.url, prepared_request.url
        if not (came_from and leads_to) or urlsplit(came_from)[:2] != urlsplit(leads_to)[:2]:
            prepared_request.headers.pop("Authorization", None)


def is_readable_on_the_way(url: str) -> bool:
    """Whether what is sent there, keys among it, can be read by whoever sits in between: plain HTTP to elsewhere."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and (parts.hostname or "") not in _THIS_MACHINE
