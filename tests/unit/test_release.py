"""Version, CHANGELOG.md, action.yml and the tag of a release agree, and what checks it notices when they don't."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE: dict[str, Callable[..., Any]] = runpy.run_path(str(ROOT / ".github/release.py"))
FILES = ["action.yml", "pyproject.toml", "CHANGELOG.md"]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """This tree as a release has it."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    RELEASE["pin"](tmp_path)
    return tmp_path


def tag() -> str:
    return f"v{RELEASE['version'](ROOT)}"


def test_the_changelog_tells_of_this_version() -> None:
    assert RELEASE["notes"](ROOT)


def test_the_image_is_built_here_and_published_in_a_release(released: Path) -> None:
    published = f"docker://ghcr.io/org/lightning-zenml-action:{tag()}"
    assert RELEASE["image"](ROOT) in ("Dockerfile", published)
    before, after = (yaml.safe_load((root / "action.yml").read_text()) for root in (ROOT, released))
    assert after["runs"].pop("image") == published
    before["runs"].pop("image")
    assert after == before


def test_a_release_agrees(released: Path) -> None:
    assert RELEASE["disagreements"](released, tag()) == []


def test_another_tag(released: Path) -> None:
    assert len(RELEASE["disagreements"](released, "v0.0.0")) == 2


def test_an_image_that_was_not_pinned(released: Path) -> None:
    shutil.copy(ROOT / "action.yml", released)
    (problem,) = RELEASE["disagreements"](released, tag())
    assert "Dockerfile" in problem


@pytest.mark.parametrize("changelog", ["# Changelog\n\n## 0.0.0\n\n- Old.\n", "# Changelog\n"])
def test_a_changelog_without_this_version(released: Path, changelog: str) -> None:
    (released / "CHANGELOG.md").write_text(changelog)
    (problem,) = RELEASE["disagreements"](released, tag())
    assert "CHANGELOG" in problem


def test_only_the_newest_section_is_told(released: Path) -> None:
    number = RELEASE["version"](released)
    (released / "CHANGELOG.md").write_text(f"# C\n\n## {number} (2026-11-24)\n\n- New.\n\n## 0.0.0\n\n- Old.\n")
    assert RELEASE["notes"](released) == "- New."
