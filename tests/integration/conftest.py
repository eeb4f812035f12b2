"""The real services that integration tests stand on, one set per test worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.stack import Stack, services


@pytest.fixture(scope="session")
def zenml_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A real ZenML server and a real S3 server with the stack `lightning`; nothing of Lightning or GitHub."""
    with services(tmp_path_factory.mktemp("services"), lightning=False, github=False) as stack:
        yield stack
