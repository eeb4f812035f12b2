"""What a checkout lacks, or that git can't read, through the Action's entrypoint and from a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from localcloud.lightning import LightningCloud
from scene import TINY, Actions, Laptop, check_out


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def add_absent_submodule(checkout: Path, name: str) -> None:
    """As `submodules: false` of actions/checkout leaves one: known to the index, and an empty folder."""
    git(checkout, "update-index", "--add", "--cacheinfo", f"160000,{'c' * 40},{name}")
    (checkout / name).mkdir(parents=True)


def test_a_submodule_that_is_not_checked_out_is_warned_of(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(studio_name="warm", run="true")
    add_absent_submodule(step.workspace, "vendor/lib")
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    (warning,) = [text for level, text in finished.annotations if "ubmodule" in text and level == "warning"]
    assert "'vendor/lib'" in warning
    assert "`submodules: true` of actions/checkout" in warning
    assert f"Commit {step.sha[:7]} of better by octocat and what is not committed: A commit" in finished.log


def test_a_submodule_that_is_not_checked_out_is_warned_of_on_a_laptop(laptop: Laptop) -> None:
    check_out({"run.py": TINY.replace("ARGUMENT", "None")}, laptop.folder)
    add_absent_submodule(laptop.folder, "vendor/lib")
    finished = laptop.run(sys.executable, "run.py")
    assert "their files don't travel: 'vendor/lib'" in finished.stdout + finished.stderr
