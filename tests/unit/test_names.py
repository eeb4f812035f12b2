from __future__ import annotations

import pytest

from lightning_zenml.launch.studio import names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training", "zenml-training"),
        ("Team/My Pipeline_2!", "zenml-team-my-pipeline-2"),
        ("x" * 39 + " and more", f"zenml-{'x' * 39}"),
        ("\u5f20", "zenml"),
    ],
)
def test_a_name_becomes_one_that_lightning_takes(name: str, expected: str) -> None:
    assert names.prefixed(name) == expected


def test_a_launch_id_tells_its_studio() -> None:
    assert names.studio_name_of(names.launch_id("my-studio-2", names.suffix())) == "my-studio-2"
