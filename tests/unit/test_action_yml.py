"""action.yml and the code name the same inputs, with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_zenml.action import inputs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "action.yml").read_text())


def test_inputs_and_defaults(action: dict[str, Any]) -> None:
    declared = {name: entry.get("default", "") for name, entry in action["inputs"].items()}
    by_github = {"github-token": "${{ github.token }}", "matrix": "${{ toJSON(matrix) }}"}
    assert declared == {**inputs.DEFAULTS, **by_github}


def test_everything_is_described(action: dict[str, Any]) -> None:
    for name, entry in {**action["inputs"], **action["outputs"]}.items():
        assert entry["description"].rstrip().endswith("."), name


def test_variables_that_stand_in_are_named(action: dict[str, Any]) -> None:
    for name, variable in inputs.FROM_ENVIRONMENT.items():
        assert f"`{variable}`" in action["inputs"][name]["description"]


def test_outputs(action: dict[str, Any]) -> None:
    assert set(action["outputs"]) == {
        "launch-id",
        "studio-name",
        "studio-url",
        "orchestrator-url",
        "run-id",
        "run-name",
        "run-url",
        "status",
        "comment-url",
        "estimated-cost",
        "estimated-cost-range",
        "budget-left",
        "archive-sha256",
    }


def test_runs_in_the_image(action: dict[str, Any]) -> None:
    # A release has it pinned to the published one.
    image = action["runs"]["image"]
    assert re.fullmatch(r"Dockerfile|docker://ghcr\.io/\S+:v[\d.]+", image)
    assert action["runs"] == {
        "image": image,
        "using": "docker",
        "entrypoint": "/usr/local/bin/lightning-zenml-main",
        "post-entrypoint": "/usr/local/bin/lightning-zenml-post",
    }
