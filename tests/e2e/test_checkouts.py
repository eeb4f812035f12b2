"""What a checkout lacks, or that git can't read, through the Action's entrypoint and from a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
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


def test_so_it_is_where_the_runner_submits(cloud: LightningCloud, actions: Actions) -> None:
    cache = {"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))}
    step = actions.step(submit_from="runner", run="true", variables=cache)
    add_absent_submodule(step.workspace, "vendor/lib")
    finished = step.run()
    assert [level for level, text in finished.annotations if "don't travel: 'vendor/lib'" in text] == ["warning"]


@pytest.mark.slow
def test_a_submodule_that_is_not_checked_out_is_warned_of_on_a_laptop(laptop: Laptop) -> None:
    check_out({"run.py": TINY.replace("ARGUMENT", "None")}, laptop.folder)
    add_absent_submodule(laptop.folder, "vendor/lib")
    finished = laptop.run(sys.executable, "run.py")
    assert "their files don't travel: 'vendor/lib'" in finished.stdout + finished.stderr


def test_path_of_actions_checkout(cloud: LightningCloud, actions: Actions) -> None:
    step = actions.step(studio_name="warm", working_directory="model", run="ls ..; python run.py")
    checkout = step.workspace.rename(step.workspace.with_name("checkout"))
    step.workspace.mkdir()
    checkout.rename(step.workspace / "model")
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    assert f"Commit {step.sha[:7]} of better by octocat: A commit" in finished.log
    assert "\nmodel\n" in finished.log
    assert finished.outputs["status"] == "completed"


def test_what_cannot_travel_is_named_and_ends_no_run(cloud: LightningCloud, actions: Actions) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    step = actions.step({"weights.bin": pointer, "tracked/pyvenv.cfg": ""}, studio_name="warm", run="find . -type f,l")
    (step.workspace / "tracked/python").symlink_to("/usr/bin/python3")
    git(step.workspace, "add", "tracked/python")
    untracked = step.workspace / "my environment"
    untracked.mkdir()
    (untracked / "pyvenv.cfg").touch()
    (untracked / "python").symlink_to("/usr/bin/python3")
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    warnings = [text for level, text in finished.annotations if level == "warning"]
    assert [text for text in warnings if "'weights.bin'. In a workflow, set `lfs: true`" in text]
    assert [text for text in warnings if "don't travel: 'tracked/python' -> '/usr/bin/python3'. One" in text]
    assert "./tracked/pyvenv.cfg" in finished.log
    assert "./tracked/python" not in finished.log
    assert "my environment" not in finished.log


def test_a_worktree_whose_repository_is_on_the_runner_alone(cloud: LightningCloud, actions: Actions) -> None:
    files = {"run.py": "", ".gitignore": "*.log\n"}
    step = actions.step(files, studio_name="warm", run="find . -type f")
    (step.workspace / ".git").rename(step.workspace.with_name("repository.git"))
    (step.workspace / ".git").write_text("gitdir: /home/runner/work/model/main/.git/worktrees/model\n")
    (step.workspace / "ignored.log").touch()
    finished = step.run()
    assert finished.exit_code == 0, finished.log
    (warning,) = [text for level, text in finished.annotations if "git can't read" in text]
    assert "check out with actions/checkout, into the workspace" in warning
    assert "./run.py" in finished.log
    assert "ignored.log" not in finished.log
    assert step.sha[:7] in actions.comment()
