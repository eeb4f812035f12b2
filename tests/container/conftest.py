"""The image, built by a real Docker engine, and the services that it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import docker as docker_
from localcloud.docker import Docker
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, lightning_of, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """An engine that has built the image from this tree's Dockerfile."""
    if reason := docker_.reason_against():
        pytest.skip(reason)
    with docker_.engine(ROOT) as engine:
        yield engine


@pytest.fixture(scope="session")
def stack(docker: Docker, shared_services: Stack) -> Stack:
    return shared_services


@pytest.fixture
def cloud(stack: Stack) -> Iterator[LightningCloud]:
    """The stand-in for Lightning AI. Whatever a test does, nothing may be left running or refused."""
    cloud = lightning_of(stack)
    yield cloud
    wait_for(lambda: not cloud.running(), 60)
    assert cloud.take_refused() == []


@pytest.fixture
def actions(stack: Stack, cloud: LightningCloud, tmp_path: Path) -> Actions:
    return Actions(stack, tmp_path)
