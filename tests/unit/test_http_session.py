"""What is sent where: keys to whom they are given for, and to nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lightning_zenml.http_session import Bearer, Session, is_readable_on_the_way


@contextmanager
def server(leads_to: str = "") -> Iterator[tuple[str, list[str | None]]]:
    """A server that redirects, or answers; and what came as `Authorization`."""
    came: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.headers.get("Authorization"))
            location = leads_to or ("/end" if self.path == "/" else "")
            self.send_response(302 if location else 204)
            self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", came
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login octocat password hunter2\n")
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.parametrize(("token", "sent"), [("t", "Bearer t"), ("", None)])
def test_netrc_replaces_nothing_behind_a_redirect_either(token: str, sent: str | None) -> None:
    with server() as (url, came), Session() as session:
        assert session.get(url, auth=Bearer(token), timeout=60).status_code == 204
    assert came == [sent, sent]


def test_another_server_gets_no_key() -> None:
    with server() as (elsewhere, theirs), server(f"{elsewhere}/end") as (url, came), Session() as session:
        session.get(url, auth=Bearer("t"), timeout=60)
    assert (came, theirs) == (["Bearer t"], [None])


@pytest.mark.parametrize(
    ("url", "is_readable"),
    [
        ("http://zenml.example", True),
        ("https://zenml.example", False),
        ("http://localhost:8080", False),
        ("http://127.0.0.1:8237", False),
        ("http://[::1]:8237", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_plain_http_to_elsewhere_can_be_read(url: str, is_readable: bool) -> None:
    assert is_readable_on_the_way(url) is is_readable
