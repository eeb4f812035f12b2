"""All services of the local cloud, one set per test worker, and who uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.github import GitHub
from localcloud.lightning import Knobs, LightningCloud
from localcloud.stack import ZENML_PACKAGES, Stack, services
from scene import Actions, Laptop, github_of, lightning_of, wait_for


@pytest.fixture(scope="session")
def services_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with services(tmp_path_factory.mktemp("services"), knobs=Knobs(packages=ZENML_PACKAGES)) as stack:
        yield stack


@pytest.fixture
def stack(services_: Stack) -> Iterator[Stack]:
    """The services with knobs at their defaults. Whatever a test does, nothing may be left running or refused."""
    yield services_
    cloud = lightning_of(services_)
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
