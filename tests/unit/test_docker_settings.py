"""What DockerSettings ask for, as requirements of a studio."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zenml
from zenml.config import DockerSettings
from zenml.stack import Stack
from zenml.utils import source_utils

from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload.protocol import Installer
from lightning_zenml.orchestrator.docker_settings import packages, preferred_installer, requirements, without_effect
from lightning_zenml.zenml_api.integrations import of_integrations

STACK = cast(Stack, SimpleNamespace(requirements=lambda: {"s3fs"}))
"""All that is asked of it."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "training").mkdir(parents=True)
    for name in ("requirements.txt", "pyproject.toml", "training/extra.txt"):
        (root / name).touch()
    (root / "tools").mkdir()
    (root / "tools/pyproject.toml").write_text("[tool.ruff]\n")
    return root


def asked(root: Path, *settings: dict[str, Any]) -> list[str]:
    return requirements(STACK, [DockerSettings(**one) for one in settings], root)


def test_lists_files_and_projects_of_pipeline_and_steps_are_put_together(root: Path) -> None:
    listed = {"requirements": ["numpy", "pandas"]}
    file = {"requirements": str(root / "training/extra.txt")}
    project = {"pyproject_path": str(root / "pyproject.toml")}
    assert asked(root, {}) == []
    assert asked(root, listed, file, project, {"requirements": ["numpy"]}) == [
        "numpy",
        "pandas",
        "-r training/extra.txt",
        "-r pyproject.toml",
    ]


def test_files_are_detected_in_the_source_root_where_zenml_is_told_to(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_utils, "get_source_root", lambda: str(root))
    detect = {"disable_automatic_requirements_detection": False}
    assert asked(root, detect) == ["-r requirements.txt"]
    assert asked(root, {**detect, "requirements": ["numpy"]}) == ["numpy"]
    (root / "requirements.txt").unlink()
    assert asked(root, detect) == ["-r pyproject.toml"]
    (root / "pyproject.toml").unlink()
    assert asked(root, detect) == []


def test_the_environment_is_replicated_by_the_command_that_exports_it(root: Path) -> None:
    lines = ["# exported", "lightning-zenml @ file:///x", "--pre", "numpy==2.0 \\"]
    exported_lines = [*lines, "    --hash=sha256:00", "pandas==2.2"]
    (root / "exported").write_text("\n".join(exported_lines))
    replicated = {"replicate_local_python_environment": ["cat", str(root / "exported")]}
    assert asked(root, replicated) == ["numpy==2.0", "pandas==2.2"]
    exported = {"pyproject_path": str(root / "pyproject.toml"), "pyproject_export_command": ["echo", "polars==1"]}
    assert asked(root, exported) == ["polars==1"]


def test_the_installer_and_its_options_are_the_settings_own(root: Path) -> None:
    uv, pip = DockerSettings(), DockerSettings(python_package_installer="pip")
    assert preferred_installer([uv, uv]) is Installer.UV
    assert preferred_installer([uv, pip]) is Installer.PIP
    options = {"index-strategy": "unsafe-best-match", "no-deps": None, "system": None}
    assert asked(root, {"requirements": ["six"], "python_package_installer_args": options}) == [
        "six",
        "--index-strategy=unsafe-best-match",
        "--no-deps",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"requirements": "/etc/hostname"}, "lies outside of the source root"),
        ({"requirements": "ROOT/no.txt"}, "does not exist"),
        ({"requirements": "ROOT/uv.lock"}, "can't be .*uv.lock: A lock of uv is no list of requirements"),
        ({"requirements": "ROOT/environment.yml"}, "conda install --yes NAME"),
        ({"pyproject_path": "ROOT/tools/pyproject.toml"}, "It has no `.project.`, so it lists no packages"),
        ({"pyproject_path": "ROOT/pyproject.toml", "pyproject_export_command": ["false"]}, "can't be exported"),
    ],
)
def test_what_cannot_be_had_is_told(root: Path, settings: dict[str, Any], told: str) -> None:
    in_root = {
        name: value.replace("ROOT", str(root)) if isinstance(value, str) else value for name, value in settings.items()
    }
    with pytest.raises(LaunchError, match=told):
        asked(root, in_root)


def test_what_means_nothing_on_a_studio_is_told_with_the_way_out() -> None:
    settings = DockerSettings(apt_packages=["git", "ffmpeg"], environment={"SEED": "1"}, requirements=["six"])
    assert [told.partition(";")[0] for told in without_effect([settings, settings])] == [
        "the DockerSettings' `apt_packages` has no effect",
        "the DockerSettings' `environment` has no effect",
    ]
    assert "`sudo apt-get install --yes git ffmpeg` in `custom_commands`" in without_effect([settings])[0]
    assert without_effect([DockerSettings()]) == []


def test_integrations_bring_their_packages() -> None:
    found = packages(STACK, [DockerSettings(required_integrations=["sklearn"])])
    assert found[0] == f"zenml=={zenml.__version__}"
    assert "s3fs" in found
    assert any(package.startswith("scikit-learn") for package in found)


def test_an_integration_that_is_not_there_is_told_with_the_nearest_name() -> None:
    told = "can't be met .`required_integrations`.: ZenML has no integration `sklearnn`; did you mean `sklearn`."
    with pytest.raises(LaunchError, match=told):
        packages(STACK, [DockerSettings(required_integrations=["sklearnn"])])
    skipped: list[str] = []
    assert of_integrations(["b2", "of_tomorrow"], lambda error: skipped.append(str(error))) == of_integrations(["b2"])
    assert skipped == ["ZenML has no integration `of_tomorrow`. `zenml integration list` shows those that there are."]
