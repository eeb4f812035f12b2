"""A ZenML server, and the ZenML that is installed for it, of a version that nobody has tested.

There is no such release yet: a proxy lets the server tell another version, and an index has today's ZenML under it.
"""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from localcloud.chaos.fault import Answer, Fault
from localcloud.chaos.proxy import Proxy
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions

TOMORROW = "0.99.0"


def changed(name: str, change: Callable[[str], str]) -> Fault:
    """The service's answer with another body."""

    def spoil(answer: Answer | None) -> Answer:
        assert answer is not None
        return replace(answer, body=change(answer.body.decode()).encode())

    return Fault(name=name, carried_out=True, spoil=spoil)


def of_version(version: str) -> Fault:
    return changed(version, lambda body: json.dumps({**json.loads(body), "version": version}))


@pytest.fixture
def zenml(stack: Stack) -> Iterator[Proxy]:
    """The ZenML server, of tomorrow."""
    with Proxy("zenml", stack.zenml_url) as proxy:
        proxy.fault(of_version(TOMORROW), "GET", "/api/v1/info")
        yield proxy


@contextmanager
def index(folder: Path, change: Callable[[str], str]) -> Iterator[str]:
    """Address of an index that has ZenML of tomorrow: today's, with the runner of dynamic pipelines changed."""
    name = f"zenml-{TOMORROW}"
    today = metadata.distribution("zenml")
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for file in today.files or ():
            if file.parts[0] == "zenml" and file.suffix != ".pyc" and "dashboard" not in file.parts:
                content = Path(str(file.locate())).read_bytes()
                if str(file) == "zenml/VERSION":
                    content = TOMORROW.encode()
                elif str(file) == "zenml/execution/pipeline/dynamic/runner.py":
                    content = change(content.decode()).encode()
                wheel.writestr(str(file), content)
        for about in ("METADATA", "WHEEL", "entry_points.txt"):
            told = (today.read_text(about) or "").replace(f"Version: {today.version}", f"Version: {TOMORROW}", 1)
            wheel.writestr(f"{name}.dist-info/{about}", told)
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_what_has_all_that_is_relied_on_runs_with_a_notice(
    cloud: LightningCloud, actions: Actions, zenml: Proxy, tmp_path: Path
) -> None:
    with index(tmp_path, lambda code: code) as address:
        step = actions.step(zenml_store_url=zenml.url, studio_name="tomorrow", env=f"UV_FIND_LINKS={address}")
        finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    (notice,) = [text for level, text in finished.annotations if level == "notice"]
    assert f"has version {TOMORROW}, which isn't tested" in notice
    assert f"ZenML {TOMORROW} isn't tested with this lightning-zenml, but has all that it relies on." in finished.log


@pytest.mark.slow
def test_what_lacks_something_on_the_studio_is_named(
    cloud: LightningCloud, actions: Actions, zenml: Proxy, tmp_path: Path
) -> None:
    with index(tmp_path, lambda code: code.replace("_monitoring_loop", "_watch")) as address:
        step = actions.step(zenml_store_url=zenml.url, studio_name="without-a-part", env=f"UV_FIND_LINKS={address}")
        finished = step.run()
    (error,) = [text for level, text in finished.annotations if level == "error"]
    assert f"ZenML {TOMORROW} lacks what the Lightning orchestrator relies on: " in error
    assert "DynamicPipelineRunner._monitoring_loop" in error
    assert "ZenML 0.97.0 to 0.98.0 work" in error


def test_a_server_that_lacks_something_is_refused_before_anything_is_started(
    cloud: LightningCloud, actions: Actions, zenml: Proxy
) -> None:
    zenml.fault(changed("other API", lambda body: body.replace("status_reason", "reason")), "GET", "/openapi.json")
    requests = len(cloud.requests)
    finished = actions.step(zenml_store_url=zenml.url).run()
    (error,) = [text for level, text in finished.annotations if level == "error"]
    assert f"has version {TOMORROW}, which lacks what is relied on: field `status_reason` for PUT" in error
    assert "ZenML 0.97.0 to 0.98.0 work" in error
    assert {request.method for request in cloud.requests[requests:]} <= {"GET"}


def test_a_server_of_somebodys_own_build_gets_the_release_behind_it(
    cloud: LightningCloud, actions: Actions, stack: Stack
) -> None:
    with Proxy("zenml", stack.zenml_url) as proxy:
        proxy.fault(of_version(f"{metadata.version('zenml')}+acme"), "GET", "/api/v1/info")
        finished = actions.step(zenml_store_url=proxy.url, studio_name="warm").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert [level for level, text in finished.annotations if "isn't tested" in text] == ["notice"]
