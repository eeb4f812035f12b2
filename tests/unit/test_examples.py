"""Each example is a repository that works as it stands; the slow tests run them."""

from __future__ import annotations

import io
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_zenml.cli.workflow.check import check

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/run.py"))
WORKFLOWS = sorted(EXAMPLES.glob("*/.github/workflows/*.yml"))


def test_there_is_one_of_each_kind() -> None:
    assert set(NAMES) >= {"quickstart", "gpu_training", "matrix", "dynamic", "multi_machine", "nightly", "async_report"}


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_workflow_and_says_what_it_costs(name: str) -> None:
    assert (EXAMPLES / name / ".github/workflows/train.yml").exists()
    assert "\n## What it costs\n" in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_there_is_nothing_to_change_about_its_workflow(workflow: Path) -> None:
    assert check(workflow.parents[2], workflow).findings == ()
    told: dict[Any, Any] = yaml.safe_load(workflow.read_text())
    # Each job asks for what it needs.
    assert told["permissions"] == {}
    assert all(job["permissions"]["contents"] == "read" for job in told["jobs"].values())


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"quickstart"}))
def test_it_can_be_imported_with_nothing_but_zenml(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / name)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    runpy.run_path(str(EXAMPLES / name / "run.py"), run_name="example")


def test_the_newest_whole_checkpoint_is_gone_on_with(tmp_path: Path) -> None:
    checkpoints = runpy.run_path(str(EXAMPLES / "gpu_training/checkpoints.py"))
    folder = str(tmp_path / "run/train")

    def read(file: io.BytesIO) -> bytes:
        return file.read()

    assert checkpoints["newest"](folder, read) == (0, None)
    for epoch in (1, 2, 10):
        content = f"after {epoch}".encode()
        checkpoints["save"](folder, epoch, lambda file, content=content: file.write(content))
    assert checkpoints["newest"](folder, read) == (10, b"after 10")
    # The machine was taken away while it wrote the next one.
    (tmp_path / "run/train/000011.pt").write_bytes(b"aft")
    assert checkpoints["newest"](folder, read) == (10, b"after 10")
