"""Version, CHANGELOG.md, action.yml and the tag of a release agree, and what checks it notices when they don't."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE: dict[str, Callable[..., Any]] = runpy.run_path(str(ROOT / ".github/release.py"))
FILES = ["action.yml", "composite/action.yml", "pyproject.toml", "CHANGELOG.md"]
DIGEST = f"sha256:{'4f' * 32}"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """This tree as a release has it."""
    (tmp_path / "composite").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    RELEASE["pin"](tmp_path, DIGEST)
    return tmp_path


def tag() -> str:
    return f"v{RELEASE['version'](ROOT)}"


def test_the_changelog_tells_of_this_version() -> None:
    assert RELEASE["notes"](ROOT)


def test_the_image_is_built_here_and_published_in_a_release(released: Path) -> None:
    published = f"docker://ghcr.io/org/lightning-zenml-action@{DIGEST}"
    assert RELEASE["image"](ROOT) in ("Dockerfile", published)
    before, after = (yaml.safe_load((root / "action.yml").read_text()) for root in (ROOT, released))
    assert after["runs"].pop("image") == published
    before["runs"].pop("image")
    assert after == before


def test_a_release_agrees(released: Path) -> None:
    assert RELEASE["disagreements"](released, tag(), DIGEST) == []


def test_another_tag(released: Path) -> None:
    problems = RELEASE["disagreements"](released, "v0.0.0", DIGEST)
    assert ["v0.0.0" in problem for problem in problems] == [True, True]


def test_the_composite_action_runs_the_post_of_its_own_version(released: Path) -> None:
    assert RELEASE["post"](ROOT) in ("main", tag())
    assert RELEASE["post"](released) == tag()
    shutil.copy(ROOT / "composite/action.yml", released / "composite/action.yml")
    problems = RELEASE["disagreements"](released, tag(), DIGEST)
    assert problems == (
        [] if RELEASE["post"](ROOT) == tag() else [f"composite/action.yml runs the post of main, not of {tag()}"]
    )


def test_another_image(released: Path) -> None:
    (problem,) = RELEASE["disagreements"](released, tag(), DIGEST.replace("4f", "5e"))
    assert DIGEST in problem


@pytest.mark.parametrize("digest", ["v1.0.0", "sha256:4f", "latest", ""])
def test_what_is_no_digest_is_not_pinned(released: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="no digest"):
        RELEASE["pin"](released, digest)


def test_the_base_is_that_of_the_dockerfile_by_digest() -> None:
    base = RELEASE["base"](ROOT)
    names = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {base.partition("@")[0]} == set(names)
    assert "/.github/base" in (ROOT / ".github/dependabot.yml").read_text()


def test_nothing_is_published_before_the_tests_have_passed_on_the_very_image() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    (test,) = (step for step in jobs["test"]["steps"] if step.get("run") == "make test")
    assert test["env"]["LOCALCLOUD_IMAGE"].endswith("@${{ needs.image.outputs.digest }}")
    assert jobs["test"]["needs"] == "image"
    (build,) = (step for step in jobs["image"]["steps"] if step.get("id") == "build")
    assert "push-by-digest=true" in build["with"]["outputs"]
    assert "tags" not in build["with"]
    for name, job in jobs.items():
        publishes = [one for one in job["steps"] if re.search(r"uv publish|git push|imagetools|gh release", str(one))]
        assert not publishes or {"test", "composite"} <= set(job["needs"]), name


def test_an_image_that_was_not_pinned(released: Path) -> None:
    shutil.copy(ROOT / "action.yml", released)
    (problem,) = RELEASE["disagreements"](released, tag(), DIGEST)
    assert "Dockerfile" in problem


@pytest.mark.parametrize("changelog", ["# Changelog\n\n## 0.0.0\n\n- Old.\n", "# Changelog\n"])
def test_a_changelog_without_this_version(released: Path, changelog: str) -> None:
    (released / "CHANGELOG.md").write_text(changelog)
    (problem,) = RELEASE["disagreements"](released, tag(), DIGEST)
    assert "CHANGELOG" in problem


def test_only_the_newest_section_is_told(released: Path) -> None:
    number = RELEASE["version"](released)
    (released / "CHANGELOG.md").write_text(f"# C\n\n## {number} (2026-11-24)\n\n- New.\n\n## 0.0.0\n\n- Old.\n")
    assert RELEASE["notes"](released) == "- New."
