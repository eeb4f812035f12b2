"""Which files can be installed from, and which nobody has named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_zenml.launch.requirements import environment_maker, overlooked, refusal


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
    told = refusal(Path(file))
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
        (["pyproject.toml"], ["uv run --no-project python run.py"], ""),
        (["environment.yml"], ["mamba env update -f environment.yml"], ""),
        (["requirements.txt"], ["make setup", "python run.py"], ""),
        (["requirements.txt"], ["bash scripts/prepare.sh"], ""),
        (["setup.py"], ["python run.py"], "setup.py"),
        ([], ["python run.py"], ""),
    ],
)
def test_what_nobody_installs_is_found(tmp_path: Path, files: list[str], commands: list[str], found: str) -> None:
    (tmp_path / "ml").mkdir()
    for file in files:
        (tmp_path / file).write_text('[project]\nname = "x"\ndependencies = ["six"]\n')
    assert overlooked(tmp_path, "ml", commands) == found


@pytest.mark.parametrize(
    "project", ["", "[broken", "[tool.ruff]\nline-length = 100\n", '[project]\nname = "x"\ndependencies = []\n']
)
def test_a_project_file_that_lists_nothing_is_not_missed(tmp_path: Path, project: str) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    assert overlooked(tmp_path, ".", ["python run.py"]) == ""
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml/pyproject.toml").write_text('[tool.poetry.dependencies]\nsix = "*"\n')
    assert overlooked(tmp_path, "ml", ["python run.py"]) == "ml/pyproject.toml"


@pytest.mark.parametrize(
    ("project", "beside", "refused"),
    [
        ("[tool.ruff]\nline-length = 100\n", "x.py", True),
        ('[build-system]\nrequires = ["setuptools"]\n', "x.py", True),
        ('[build-system]\nrequires = ["setuptools"]\n', "setup.py", False),
        ('[project]\nname = "x"\n', "x.py", False),
        ('[tool.poetry.dependencies]\nsix = "*"\n', "x.py", False),
        ("[broken", "x.py", False),
    ],
)
def test_a_project_file_without_a_project_is_refused(tmp_path: Path, project: str, beside: str, refused: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / beside).touch()
    assert ("has no `[project]`" in refusal(tmp_path / "pyproject.toml")) is refused


@pytest.mark.parametrize(
    ("command", "maker"),
    [
        ("uv run python run.py", "uv run"),
        ("cd ml && poetry  run python run.py", "poetry run"),
        ("uv run --no-project python run.py", ""),
        ("uv run --active python run.py", ""),
        ("python run.py --ruv run", ""),
        ("python run.py", ""),
        ("zenml pipeline run x.y", ""),
    ],
)
def test_a_program_that_makes_its_own_environment_is_found(command: str, maker: str) -> None:
    assert environment_maker(command) == maker
