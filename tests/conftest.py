"""The services that tests share: one set per test worker, as a ZenML server costs as much as a run of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.lightning import Knobs
from localcloud.stack import ZENML_PACKAGES, Stack, services


@pytest.fixture(scope="session")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services. Who uses them resets the knobs, and leaves nothing running."""
    with services(tmp_path_factory.mktemp("services"), knobs=Knobs(packages=ZENML_PACKAGES)) as stack:
        yield stack
