"""All services of the local cloud, as each test finds and leaves them, and who uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.github import GitHub
from localcloud.lightning import Knobs, LightningCloud
from localcloud.stack import Stack
from scene import Actions, Laptop, github_of, lightning_of, wait_for


@pytest.fixture
def stack(shared_services: Stack) -> Iterator[Stack]:
    """The services with knobs at their defaults. Whatever a test does, nothing may be left running or refused."""
    yield shared_services
    cloud = lightning_of(shared_services)
    defaults = Knobs()
    for name in vars(defaults):
        setattr(cloud.knobs, name, getattr(defaults, name))
    try:
        wait_for(lambda: not cloud.running(), 60)
    except AssertionError:
        left = cloud.running()
        # The tests after this one don't answer for it.
        cloud.delete_everything()
        raise AssertionError(f"left running: {left}") from None
    assert cloud.take_refused() == []


@pytest.fixture
def cloud(stack: Stack) -> LightningCloud:
    return lightning_of(stack)


@pytest.fixture
def github(stack: Stack) -> GitHub:
    return github_of(stack)


@pytest.fixture
def actions(stack: Stack, tmp_path: Path) -> Actions:
    return Actions(stack, tmp_path)


@pytest.fixture
def laptop(stack: Stack, tmp_path: Path) -> Laptop:
    folder = tmp_path / "laptop"
    folder.mkdir()
    return Laptop(stack, folder)
