"""The real services that integration tests stand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import payload_studio
from lightning_api import credentials
from lightning_zenml.launch import agreement
from lightning_zenml.launch.lightning.client import Lightning
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack


@pytest.fixture(scope="session")
def zenml_stack(shared_services: Stack) -> Stack:
    """A real ZenML server and a real S3 server with the stack `lightning`; nothing of Lightning or GitHub."""
    environment = {name: value for name, value in shared_services.environment.items() if name != "LIGHTNING_CLOUD_URL"}
    return replace(shared_services, lightning=None, github=None, environment=environment)


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightningCloud]:
    """The stand-in for Lightning AI alone; each module's `cloud` says how a test finds and leaves it."""
    with LightningCloud(tmp_path_factory.mktemp("lightning")) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def looks_agree_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What several looks must agree on is settled in a moment, in the test's own process."""
    monkeypatch.setattr(agreement, "SPAN", 0.3)


@pytest.fixture
def lightning(cloud: LightningCloud) -> Lightning:
    return Lightning.connect(credentials(cloud), url=cloud.url)


@pytest.fixture
def platform() -> Iterator[payload_studio.Platform]:
    """Records what a studio sends about itself."""
    with payload_studio.recorded_platform() as platform:
        yield platform


@pytest.fixture
def studio(tmp_path: Path, platform: payload_studio.Platform) -> Iterator[payload_studio.Studio]:
    """A home folder and a Python environment for a payload."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    python = payload_studio.make_environment(tmp_path / "venv")
    studio = payload_studio.Studio(home=home, python=python, platform=platform, scratch=scratch)
    yield studio
    studio.end()
