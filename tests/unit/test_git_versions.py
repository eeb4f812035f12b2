from __future__ import annotations

from pathlib import Path

import pytest

from lightning_zenml.launch.payload.requirements.git_versions import stand_in

PROJECT = '[build-system]\nrequires = ["setuptools", "setuptools_scm[toml]>=8"]\n'


def project(folder: Path, text: str = PROJECT, file: str = "pyproject.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)
    return folder / ".git_archival.txt"


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (PROJECT, "pyproject.toml"),
        ('requires = ["hatch-vcs"]', "pyproject.toml"),
        ("setup(use_scm_version=True)", "setup.py"),
        ("setup_requires = setuptools_scm", "setup.cfg"),
    ],
)
def test_what_takes_its_version_from_git_is_told_of_a_commit(tmp_path: Path, text: str, file: str) -> None:
    at_root, below = project(tmp_path, text, file), project(tmp_path / "libs/vision", text, file)
    stand_in(tmp_path)
    assert at_root.read_text() == below.read_text() == f"node: {'0' * 40}\n"


def test_others_are_left_alone(tmp_path: Path) -> None:
    project(tmp_path, '[build-system]\nrequires = ["setuptools"]\n')
    project(tmp_path / ".venv/lib/package")
    stand_in(tmp_path)
    assert list(tmp_path.rglob(".git_archival.txt")) == []


@pytest.mark.parametrize(
    ("there", "left"), [("node: abc\n", True), ("node: $Format:%H$\ndescribe-name: $Format:%(describe)$\n", False)]
)
def test_a_file_in_which_git_has_written_stays(tmp_path: Path, there: str, left: bool) -> None:
    file = project(tmp_path)
    file.write_text(there)
    stand_in(tmp_path)
    assert (file.read_text() == there) is left
