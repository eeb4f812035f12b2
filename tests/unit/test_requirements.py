"""Which files can be installed from, and which nobody has named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_zenml.launch.requirements import overlooked, refusal


@pytest.mark.parametrize(
    ("file", "way_out"),
    [
        ("requirements.txt", ""),
        ("requirements/dev in.txt", ""),
        ("pyproject.toml", ""),
        ("pylock.toml", ""),
        ("uv.lock", "uv export"),
        ("ml/poetry.lock", "poetry export"),
        ("pdm.lock", "pdm export"),
        ("Pipfile.lock", "pipenv requirements"),
        ("environment.yml", "conda install"),
        ("envs/conda-gpu.yaml", "conda install"),
    ],
)
def test_the_way_out(file: str, way_out: str) -> None:
    told = refusal(file)
    assert bool(told) is bool(way_out)
    assert way_out in told


@pytest.mark.parametrize(
    ("files", "commands", "found"),
    [
        (["requirements.txt"], ["python run.py"], "requirements.txt"),
        (["requirements.txt", "ml/pyproject.toml"], ["python run.py"], "ml/pyproject.toml"),
        (["environment.yml"], ["python run.py"], "environment.yml"),
        (["requirements.txt"], ["pip install -r requirements.txt", "python run.py"], ""),
        (["uv.lock"], ["uv sync --frozen"], ""),
        (["pyproject.toml"], ["python -m pip --quiet install ."], ""),
        ([], ["python run.py"], ""),
    ],
)
def test_what_nobody_installs_is_found(tmp_path: Path, files: list[str], commands: list[str], found: str) -> None:
    (tmp_path / "ml").mkdir()
    for file in files:
        (tmp_path / file).touch()
    assert overlooked(tmp_path, "ml", commands) == found
