"""The services that tests share: one set per test worker, as a ZenML server costs as much as a run of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tenacity
from hypothesis import settings

from localcloud.lightning import Knobs
from localcloud.stack import ZENML_PACKAGES, Stack, services

# An example that takes long tells of the machine.
settings.register_profile("whatever the machine", deadline=None)
settings.load_profile("whatever the machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits longest begins first, as all others would be through before it."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.fixture(scope="session")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services. Who uses them resets the knobs, and leaves nothing running."""
    with services(tmp_path_factory.mktemp("services"), knobs=Knobs(packages=ZENML_PACKAGES)) as stack:
        yield stack


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ZenML server is asked again at once, in the test's own process."""
    for module in ("patience", "rest"):
        monkeypatch.setattr(f"lightning_zenml.zenml_api.{module}.PAUSES", tenacity.wait_none())
