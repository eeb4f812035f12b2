"""The real services that integration tests stand on, one set per test worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightning_api import credentials
from lightning_zenml.launch.lightning import Lightning
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack, services


@pytest.fixture(scope="session")
def zenml_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A real ZenML server and a real S3 server with the stack `lightning`; nothing of Lightning or GitHub."""
    with services(tmp_path_factory.mktemp("services"), lightning=False, github=False) as stack:
        yield stack


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightningCloud]:
    """The stand-in for Lightning AI alone; each module's `cloud` says how a test finds and leaves it."""
    with LightningCloud(tmp_path_factory.mktemp("lightning")) as cloud:
        yield cloud


@pytest.fixture
def lightning(cloud: LightningCloud) -> Lightning:
    return Lightning.connect(credentials(cloud), url=cloud.url)
