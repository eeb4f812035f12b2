"""Whatever the inputs, `main` ends with annotations and an exit code, and starts nothing that it should not."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import DEFAULTS
from lightning_zenml.action.main import main

ANSWERS = {
    "/api/v1/": (200, b'{"version": "0.1.0", "deployment_type": "other"}'),
    "/v1/": (400, b"{}"),
}
"""Status and body by how a path begins."""


class Service:
    """Stands for a ZenML server that is too old, and for a Lightning AI that refuses every key."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.requests.append(f"{self.command} {self.path}")
                begins = (begin for begin in ANSWERS if self.path.startswith(begin))
                status, body = ANSWERS[next(begins)]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


values = st.sampled_from(
    [
        "true",
        "yes",
        "runner",
        "python run.py",
        "train.pipeline",
        "run.py",
        ".",
        "zenml-m-89abcdef",
        "12",
        "-1",
        "",
        "[]",
    ]
) | st.text(max_size=20)
inputs = st.fixed_dictionaries(
    {"lightning-api-key": st.sampled_from(["key", "key", ""]), "zenml-store-api-key": st.sampled_from(["key", ""])},
    optional={name: values for name in DEFAULTS if not name.startswith(("zenml-store", "lightning-api", "github"))},
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs)
def test_no_inputs_give_a_traceback_or_start_anything(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_inputs: dict[str, str]
) -> None:
    monkeypatch.setenv("LIGHTNING_CLOUD_URL", service.url)
    (tmp_path / "run.py").touch()
    (tmp_path / "event.json").write_text("{}")
    stream, before = io.StringIO(), len(service.requests)
    environ = {
        "GITHUB_API_URL": service.url,
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "octo/model",
        "GITHUB_SHA": "a" * 40,
        "GITHUB_WORKSPACE": str(tmp_path),
        "INPUT_ZENML-STORE-URL": service.url,
        **{f"INPUT_{name.upper()}": value for name, value in given_inputs.items()},
    }
    assert main(environ, Workflow(environ, stream)) == 1
    log = stream.getvalue()
    assert "Traceback" not in log
    assert "::error title=" in log
    assert "A fault of this action" not in log
    made = service.requests[before:]
    assert [request for request in made if not request.startswith("GET ")] == []
