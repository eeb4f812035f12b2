"""Which files belong, asked of real git repositories."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_zenml.package import checkout as checkouts
from lightning_zenml.package.checkout import Commit
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import Repository


@pytest.fixture(autouse=True)
def _git_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    # Newer git refuses to clone a submodule from a local path, see CVE-2022-39253.
    configuration = {
        "user.name": "Ada",
        "user.email": "ada@example.org",
        "init.defaultBranch": "main",
        "protocol.file.allow": "always",
    }
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(configuration)))
    for index, (key, value) in enumerate(configuration.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{index}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{index}", value)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def put(path: Path, content: str = "content\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A commit")
    return git(root, "rev-parse", "HEAD")


def names(path: Path) -> list[str]:
    return [str(name) for name in Repository.open(path).contents().files]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    put(root / "run.py")
    put(root / ".gitignore", "*.log\n/data/\n")
    commit(root)
    return root


class TestCheckout:
    def test_tracked_and_untracked_files_belong_but_ignored_ones_do_not(self, checkout: Path) -> None:
        put(checkout / "steps/train.py")
        put(checkout / "a.log")
        put(checkout / "data/big.csv")
        assert names(checkout) == [".gitignore", "run.py", "steps/train.py"]

    def test_credentials_that_another_action_has_left_there_do_not_travel(self, checkout: Path) -> None:
        put(checkout / "gha-creds-0123456789abcdef.json")
        assert names(checkout) == [".gitignore", "run.py"]

    def test_a_tracked_file_belongs_though_an_ignore_rule_names_it(self, checkout: Path) -> None:
        put(checkout / "kept.log")
        git(checkout, "add", "--force", "kept.log")
        assert "kept.log" in names(checkout)

    def test_files_are_those_on_disk_now(self, checkout: Path) -> None:
        repository = Repository.open(checkout)
        (checkout / "run.py").unlink()
        put(checkout / "new.py")
        assert [str(name) for name in repository.contents().files] == [".gitignore", "new.py"]

    def test_git_itself_and_empty_folders_do_not_travel(self, checkout: Path) -> None:
        (checkout / "empty").mkdir()
        assert names(checkout) == [".gitignore", "run.py"]

    def test_a_folder_replaced_by_a_symlink_travels_as_the_symlink_only(self, checkout: Path) -> None:
        put(checkout / "old/a.py")
        put(checkout / "new/a.py")
        commit(checkout)
        shutil.rmtree(checkout / "old")
        (checkout / "old").symlink_to("new")
        assert names(checkout) == [".gitignore", "new/a.py", "old", "run.py"]

    def test_a_file_replaced_by_a_folder_travels_as_the_folder(self, checkout: Path) -> None:
        (checkout / "run.py").unlink()
        put(checkout / "run.py/a.py")
        assert names(checkout) == [".gitignore", "run.py/a.py"]

    def test_an_unmerged_file_is_listed_once(self, checkout: Path) -> None:
        git(checkout, "checkout", "--quiet", "-b", "other")
        put(checkout / "run.py", "other\n")
        commit(checkout)
        git(checkout, "checkout", "--quiet", "main")
        put(checkout / "run.py", "main\n")
        commit(checkout)
        with pytest.raises(subprocess.CalledProcessError):
            git(checkout, "merge", "--quiet", "other")
        assert names(checkout) == [".gitignore", "run.py"]

    def test_a_sparse_checkout_travels_as_it_is(self, checkout: Path) -> None:
        put(checkout / "wanted/a.py")
        put(checkout / "unwanted/a.py")
        commit(checkout)
        git(checkout, "sparse-checkout", "set", "--cone", "wanted")
        assert names(checkout) == [".gitignore", "run.py", "wanted/a.py"]

    def test_neither_sockets_nor_pipes_belong(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(checkout)
        os.mkfifo("pipe")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            assert names(checkout) == [".gitignore", "run.py"]

    def test_a_subfolder_brings_its_own_files_under_the_rules_of_the_checkout(self, checkout: Path) -> None:
        put(checkout / "ml/run.py")
        put(checkout / "ml/deep/a.py")
        put(checkout / "ml/a.log")
        repository = Repository.open(checkout / "ml")
        assert [str(name) for name in repository.contents().files] == ["deep/a.py", "run.py"]
        assert repository.root == checkout / "ml"
        assert repository.checkout == checkout

    def test_a_folder_that_the_checkout_ignores_is_no_part_of_it(self, checkout: Path) -> None:
        put(checkout / "data/project/a.log")
        repository = Repository.open(checkout / "data/project")
        assert [str(name) for name in repository.contents().files] == ["a.log"]
        assert (repository.checkout, repository.commit) == (None, None)

    def test_a_worktree_is_a_checkout(self, checkout: Path, tmp_path: Path) -> None:
        git(checkout, "worktree", "add", "--quiet", str(tmp_path / "worktree"), "-b", "topic")
        put(tmp_path / "worktree/a.log")
        assert names(tmp_path / "worktree") == [".gitignore", "run.py"]

    def test_a_checkout_of_another_user_is_read(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # git's own test switch: no file seems to be ours.
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(subprocess.CalledProcessError):
            git(checkout, "status")
        put(checkout / "sub/a.py")
        repository = Repository.open(checkout / "sub")
        assert [str(name) for name in repository.contents().files] == ["a.py"]
        assert repository.commit
        assert repository.has_changes()

    def test_a_git_hook_around_us_does_not_mislead(
        self, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        git(other, "init", "--quiet")
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
        monkeypatch.setenv("GIT_WORK_TREE", str(other))
        assert names(checkout) == [".gitignore", "run.py"]

    def test_a_git_that_hangs_is_not_waited_for(
        self, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging = put(tmp_path / "bin/git", "#!/bin/sh\nexec sleep 20\n")
        hanging.chmod(0o755)
        # GitPython asks for git's version when it is imported, once for all tests of this process.
        Repository.open(checkout)
        monkeypatch.setenv("PATH", f"{hanging.parent}:{os.environ['PATH']}")
        monkeypatch.setattr(checkouts, "_PATIENCE", 0.01)
        with pytest.raises(PackageError, match="git has not answered"):
            Repository.open(checkout).contents()

    def test_nor_is_one_that_hangs_from_the_first(self, checkout: Path, tmp_path: Path) -> None:
        hanging = put(tmp_path / "bin/git", "#!/bin/sh\nexec sleep 20\n")
        hanging.chmod(0o755)
        code = (
            "from pathlib import Path; from lightning_zenml.package import checkout, repository\n"
            f"checkout._PATIENCE = 0.01; repository.Repository.open(Path({str(checkout)!r})).contents()\n"
        )
        path = f"{hanging.parent}:{os.environ['PATH']}"
        told = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert "git has not answered" in told.stderr

    def test_reading_leaves_the_index_alone(self, checkout: Path) -> None:
        index = checkout / ".git/index"
        os.utime(checkout / "run.py", (0, 0))
        before = index.read_bytes()
        Repository.open(checkout).contents()
        assert index.read_bytes() == before


class TestSubmodules:
    @pytest.fixture
    def library(self, tmp_path: Path) -> Path:
        root = tmp_path / "library"
        root.mkdir()
        git(root, "init", "--quiet")
        put(root / "lib.py")
        put(root / ".gitignore", "*.tmp\n")
        commit(root)
        return root

    @pytest.fixture
    def with_submodule(self, checkout: Path, library: Path) -> Path:
        git(checkout, "submodule", "--quiet", "add", str(library), "vendor/lib rary")
        commit(checkout)
        return checkout

    def test_their_files_belong_by_their_own_rules(self, with_submodule: Path) -> None:
        put(with_submodule / "vendor/lib rary/own.tmp")
        put(with_submodule / "vendor/lib rary/outer.log")
        assert names(with_submodule) == [
            ".gitignore",
            ".gitmodules",
            "run.py",
            "vendor/lib rary/.gitignore",
            "vendor/lib rary/lib.py",
            "vendor/lib rary/outer.log",
        ]
        assert Repository.open(with_submodule).contents().warnings == ()

    def test_submodules_of_submodules_belong(self, checkout: Path, with_submodule: Path, tmp_path: Path) -> None:
        outer = tmp_path / "outer"
        git(tmp_path, "clone", "--quiet", str(checkout), str(outer))
        git(outer, "submodule", "--quiet", "add", str(checkout), "inner")
        git(outer, "submodule", "--quiet", "update", "--init", "--recursive")
        assert "inner/vendor/lib rary/lib.py" in names(outer)

    def test_one_that_is_not_checked_out_is_told(self, with_submodule: Path, tmp_path: Path) -> None:
        git(tmp_path, "clone", "--quiet", str(with_submodule), "clone")
        repository = Repository.open(tmp_path / "clone")
        assert [str(name) for name in repository.contents().files] == [".gitignore", ".gitmodules", "run.py"]
        (warning,) = repository.contents().warnings
        assert "don't travel: 'vendor/lib rary'. In a workflow" in warning
        assert "`submodules: true` of actions/checkout" in warning

    def test_the_files_of_one_that_has_lost_its_dot_git_belong(self, with_submodule: Path) -> None:
        there = names(with_submodule)
        (with_submodule / "vendor/lib rary/.git").unlink()
        assert names(with_submodule) == there
        assert Repository.open(with_submodule).contents().warnings == ()

    def test_one_in_a_submodule_that_is_not_checked_out_is_told(
        self, checkout: Path, with_submodule: Path, tmp_path: Path
    ) -> None:
        outer = tmp_path / "outer"
        git(tmp_path, "clone", "--quiet", str(checkout), str(outer))
        git(outer, "submodule", "--quiet", "add", str(checkout), "inner")
        (warning,) = Repository.open(outer).contents().warnings
        assert "don't travel: 'inner/vendor/lib rary', 'vendor/lib rary'. In a workflow" in warning

    def test_they_are_read_where_another_user_owns_them(
        self, with_submodule: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        assert "vendor/lib rary/lib.py" in names(with_submodule)

    def test_a_repository_cloned_into_the_checkout_belongs_by_its_own_rules(
        self, checkout: Path, library: Path
    ) -> None:
        git(checkout, "clone", "--quiet", str(library), "cloned")
        put(checkout / "cloned/own.tmp")
        assert "cloned/lib.py" in names(checkout)
        assert "cloned/own.tmp" not in names(checkout)

    @pytest.mark.parametrize("is_here", [True, False])
    def test_one_whose_dot_git_names_a_folder_of_the_runner(self, with_submodule: Path, is_here: bool) -> None:
        """Older git and some tools note absolute paths; in a Docker action the workspace is another folder."""
        submodule = with_submodule / "vendor/lib rary"
        put(submodule / "kept.tmp")
        git(submodule, "add", "--force", "kept.tmp")
        (submodule / ".git").write_text("gitdir: /home/runner/work/model/model/.git/modules/vendor/lib rary\n")
        if not is_here:
            shutil.rmtree(with_submodule / ".git/modules")
        for root, name in ((with_submodule, "vendor/lib rary/"), (submodule, "")):
            assert f"{name}lib.py" in names(root)
            assert (f"{name}kept.tmp" in names(root)) == is_here
            warnings = Repository.open(root).contents().warnings
            assert bool(warnings) is not is_here
            assert all("modules/vendor/lib rary" in warning for warning in warnings)

    def test_a_submodule_can_be_the_root(self, with_submodule: Path) -> None:
        assert names(with_submodule / "vendor/lib rary") == [".gitignore", "lib.py"]


class TestCommit:
    def test_of_a_clean_checkout(self, checkout: Path) -> None:
        repository = Repository.open(checkout)
        sha = git(checkout, "rev-parse", "HEAD")
        assert repository.commit == Commit(sha=sha, branch="main", author="Ada", subject="A commit")
        assert repository.has_changes() is False

    def test_what_is_not_committed_is_seen(self, checkout: Path) -> None:
        put(checkout / "ml/new.py")
        assert Repository.open(checkout).has_changes()
        assert not Repository.open(put(checkout / "data/a").parent).has_changes()

    @pytest.mark.parametrize("options", [("--object-format=sha256",), ()])
    def test_of_every_format_that_git_has(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        git(tmp_path, "init", "--quiet", *options)
        git(tmp_path, "config", "index.version", "4")
        put(tmp_path / "steps/train.py")
        sha = commit(tmp_path)
        assert Repository.open(tmp_path).commit == Commit(sha=sha, branch="main", author="Ada", subject="A commit")
        assert names(tmp_path) == ["steps/train.py"]

    def test_of_a_shallow_clone_with_a_detached_head(self, checkout: Path, tmp_path: Path) -> None:
        """As actions/checkout leaves it."""
        put(checkout / "second.py")
        second = commit(checkout)
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", str(clone))
        git(clone, "checkout", "--quiet", "--detach", second)
        found = Repository.open(clone).commit
        assert found == Commit(sha=second, branch="", author="Ada", subject="A commit")
        assert names(clone) == [".gitignore", "run.py", "second.py"]

    def test_before_the_first_commit(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "--quiet")
        put(tmp_path / "run.py")
        repository = Repository.open(tmp_path)
        assert repository.commit is None
        assert names(tmp_path) == ["run.py"]

    def test_filters_that_are_not_installed_do_not_matter(self, checkout: Path) -> None:
        """What `lfs: true` of actions/checkout leaves behind: a required filter whose program is on the runner only."""
        git(checkout, "config", "filter.lfs.clean", "git-lfs-that-is-not-here clean -- %f")
        git(checkout, "config", "filter.lfs.process", "git-lfs-that-is-not-here filter-process")
        git(checkout, "config", "filter.lfs.required", "true")
        put(checkout / ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        put(checkout / "model.bin", "weights\n")
        blob = git(checkout, "hash-object", "-w", "--no-filters", "model.bin")
        git(checkout, "update-index", "--add", "--cacheinfo", f"100644,{blob},model.bin")
        with pytest.raises(subprocess.CalledProcessError):
            git(checkout, "status")
        assert "model.bin" in names(checkout)
        assert Repository.open(checkout).has_changes() is None


class TestUnreadable:
    """What git can't read is packed by its ignore rules alone, with a warning; of what it can, nothing is lost."""

    @pytest.fixture
    def with_tracked_log(self, checkout: Path) -> Path:
        """Shows whether the index is read: no ignore rule would let the file through."""
        put(checkout / "kept.log")
        git(checkout, "add", "--force", "kept.log")
        commit(checkout)
        put(checkout / "ignored.log")
        return checkout

    def test_no_repository_in_dot_git(self, with_tracked_log: Path) -> None:
        (with_tracked_log / ".git/HEAD").unlink()
        repository = Repository.open(with_tracked_log)
        contents = repository.contents()
        assert (repository.commit, repository.has_changes()) == (None, None)
        assert [str(name) for name in contents.files] == [".gitignore", "run.py"]
        (warning,) = contents.warnings
        assert re.search(
            r"git can't read the checkout, so its `.gitignore` files alone .*: fatal: not a git rep", warning
        )
        assert "check out with actions/checkout, into the workspace" in warning

    def test_it_is_not_taken_for_the_checkout_around_it(self, checkout: Path) -> None:
        put(checkout / "cloned/.git/config")
        put(checkout / "cloned/run.py")
        assert Repository.open(checkout / "cloned").commit is None
        assert names(checkout / "cloned") == ["run.py"]
        assert names(checkout) == [".gitignore", "cloned/run.py", "run.py"]

    def test_dot_git_that_is_no_text(self, checkout: Path) -> None:
        shutil.rmtree(checkout / ".git")
        (checkout / ".git").write_bytes(b"gitdir: \xff\0/.git/\xfe")
        assert names(checkout) == [".gitignore", "run.py"]

    def test_a_worktree_of_a_bare_repository(self, checkout: Path, tmp_path: Path) -> None:
        git(tmp_path, "clone", "--quiet", "--bare", str(checkout), "bare.git")
        git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(tmp_path / "worktree"), "-b", "topic")
        assert Repository.open(tmp_path / "worktree").has_changes() is False

    def test_an_index_that_is_cut(self, with_tracked_log: Path) -> None:
        sha = git(with_tracked_log, "rev-parse", "HEAD")
        (with_tracked_log / ".git/index").write_bytes(b"")
        repository = Repository.open(with_tracked_log)
        assert repository.commit is not None
        assert repository.commit.sha == sha
        assert names(with_tracked_log) == [".gitignore", "run.py"]
        (warning,) = repository.contents().warnings
        assert "index file smaller than expected" in warning

    def test_an_index_that_is_lost(self, with_tracked_log: Path) -> None:
        put(with_tracked_log / "ml/kept.log")
        git(with_tracked_log, "add", "--force", "ml/kept.log")
        commit(with_tracked_log)
        (with_tracked_log / ".git/index").unlink()
        assert names(with_tracked_log) == [".gitignore", "kept.log", "ml/kept.log", "run.py"]
        assert names(with_tracked_log / "ml") == ["kept.log"]
        assert Repository.open(with_tracked_log).contents().warnings == ()

    def test_a_worktree_whose_repository_is_not_here(self, with_tracked_log: Path, tmp_path: Path) -> None:
        worktree = tmp_path / "worktree"
        git(with_tracked_log, "worktree", "add", "--quiet", str(worktree), "-b", "topic")
        put(worktree / "ignored.log")
        with_tracked_log.rename(tmp_path / "not mounted")
        contents = Repository.open(worktree).contents()
        assert [str(name) for name in contents.files] == [".gitignore", "run.py"]
        (warning,) = contents.warnings
        assert f"not a git repository: {with_tracked_log}/.git/worktrees/worktree" in warning

    def test_a_worktree_in_a_checkout_that_was_elsewhere(self, with_tracked_log: Path, tmp_path: Path) -> None:
        """As in a Docker action, where the workspace is another folder than on the runner."""
        git(with_tracked_log, "worktree", "add", "--quiet", str(with_tracked_log / "deep/worktree"), "-b", "topic")
        moved = with_tracked_log.rename(tmp_path / "workspace")
        worktree = Repository.open(moved / "deep/worktree")
        assert worktree.commit is not None
        assert worktree.commit.branch == "topic"
        assert [str(name) for name in worktree.contents().files] == [".gitignore", "kept.log", "run.py"]
        assert "deep/worktree/run.py" in names(moved)

    @pytest.mark.parametrize("folder", ["/home/runner/work/model/model", ".."])
    def test_core_worktree_that_names_another_folder(self, with_tracked_log: Path, folder: str) -> None:
        git(with_tracked_log, "config", "core.worktree", folder)
        assert names(with_tracked_log) == [".gitignore", "kept.log", "run.py"]
        assert Repository.open(with_tracked_log).commit is not None

    def test_objects_that_lie_elsewhere(self, with_tracked_log: Path, tmp_path: Path) -> None:
        """`git clone --reference`: HEAD and index are here, the commit is not."""
        git(tmp_path, "clone", "--quiet", "--shared", str(with_tracked_log), "clone")
        sha = git(with_tracked_log, "rev-parse", "HEAD")
        with_tracked_log.rename(tmp_path / "not mounted")
        repository = Repository.open(tmp_path / "clone")
        assert repository.commit == Commit(sha=sha, branch="main")
        assert repository.has_changes() is None
        assert names(tmp_path / "clone") == [".gitignore", "kept.log", "run.py"]
        assert repository.contents().warnings == ()

    def test_checkouts_beside_one_another(self, checkout: Path, tmp_path: Path) -> None:
        """As `path:` of actions/checkout leaves them in the workspace."""
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        for name in ("model", "tools"):
            git(tmp_path, "clone", "--quiet", str(checkout), str(workspace / name))
            put(workspace / name / "a.log")
        (workspace / "tools/.git/HEAD").unlink()
        contents = Repository.open(workspace).contents()
        assert [str(name) for name in contents.files] == [
            f"{folder}/{name}" for folder in ("model", "tools") for name in (".gitignore", "run.py")
        ]
        (warning,) = contents.warnings
        assert "git can't read the checkout 'tools', so" in warning


class TestVirtualEnvironments:
    @pytest.fixture
    def environment(self, checkout: Path) -> Path:
        environment = checkout / "ml/any name"
        put(environment / "pyvenv.cfg")
        put(environment / "lib/package/a.py")
        put(environment / "bin/activate")
        (environment / "bin/python").symlink_to("/usr/bin/python3")
        (environment / "lib64").symlink_to("lib")
        return environment

    def test_an_untracked_one_stays_behind(self, checkout: Path, environment: Path) -> None:
        contents = Repository.open(checkout).contents()
        assert [str(name) for name in contents.files] == [".gitignore", "run.py"]
        assert contents.warnings == ()

    def test_of_a_tracked_one_only_what_leads_out_stays_behind(self, checkout: Path, environment: Path) -> None:
        commit(checkout)
        contents = Repository.open(checkout).contents()
        own = {name.removeprefix("ml/any name/") for name in contents.files if name.startswith("ml/")}
        assert own == {"pyvenv.cfg", "lib/package/a.py", "bin/activate", "lib64"}
        (warning,) = contents.warnings
        assert "'ml/any name/bin/python' -> '/usr/bin/python3'" in warning

    def test_the_root_may_be_one(self, checkout: Path) -> None:
        put(checkout / "pyvenv.cfg")
        assert names(checkout) == [".gitignore", "pyvenv.cfg", "run.py"]


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"


@pytest.mark.parametrize("with_git", [True, False])
def test_files_that_git_lfs_has_not_fetched_are_told(checkout: Path, with_git: bool) -> None:
    put(checkout / "weights/a.bin", POINTER)
    put(checkout / "about.md", POINTER + "x" * 1024)
    if not with_git:
        shutil.rmtree(checkout / ".git")
    contents = Repository.open(checkout).contents()
    (warning,) = contents.warnings
    assert "only pointers to them travel: 'weights/a.bin'. In a workflow, set `lfs: true` of actions/check" in warning
    assert "weights/a.bin" in contents.files


class TestFolder:
    def test_all_but_caches_belongs(self, tmp_path: Path) -> None:
        for name in ("run.py", ".zen/config.yaml", "steps/a.py", "a.log"):
            put(tmp_path / name)
        for name in (".venv/a", "node_modules/a.js", "steps/__pycache__/a.pyc", "b.pyc", "steps/.DS_Store"):
            put(tmp_path / name)
        put(tmp_path / "any name/pyvenv.cfg")
        put(tmp_path / "file/venv")
        put(tmp_path / "any name/bin/activate")
        assert names(tmp_path) == [".zen/config.yaml", "a.log", "file/venv", "run.py", "steps/a.py"]
        repository = Repository.open(tmp_path)
        assert repository.commit is None
        assert repository.contents().warnings == ()

    def test_a_checkout_in_it_brings_its_own_rules(self, tmp_path: Path, checkout: Path) -> None:
        put(checkout / "a.log")
        put(tmp_path / "b.log")
        assert names(tmp_path) == ["b.log", "checkout/.gitignore", "checkout/run.py"]

    def test_gitpython_is_not_even_imported(self, tmp_path: Path) -> None:
        """It would cost every start a quarter of a second."""
        put(tmp_path / "run.py")
        program = "import sys, pathlib; from lightning_zenml.package.repository import Repository as R; "
        program += "R.open(pathlib.Path(sys.argv[1])).contents(); sys.exit('git' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 0

    def test_no_git_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        put(tmp_path / "run.py")
        assert names(tmp_path) == ["run.py"]


class TestSymlinks:
    def test_within_the_root_they_travel(self, checkout: Path) -> None:
        put(checkout / "data.d/a.csv")
        (checkout / "file").symlink_to("run.py")
        (checkout / "folder").symlink_to("data.d")
        (checkout / "data.d/up").symlink_to("../run.py")
        (checkout / "dangling").symlink_to("nothing")
        (checkout / "loop").symlink_to("loop")
        assert {"file", "folder", "data.d/up", "dangling", "loop"} <= set(names(checkout))
        assert "folder/a.csv" not in names(checkout)

    @pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "sub/../../outside", "here/../outside"])
    @pytest.mark.parametrize("with_git", [True, False])
    def test_out_of_the_root_they_stay_behind(self, checkout: Path, target: str, with_git: bool) -> None:
        (checkout / "here").symlink_to(".")
        (checkout / "bad link").symlink_to(target)
        commit(checkout)
        if not with_git:
            shutil.rmtree(checkout / ".git")
        contents = Repository.open(checkout).contents()
        assert [str(name) for name in contents.files] == [".gitignore", "here", "run.py"]
        (warning,) = contents.warnings
        assert f"don't travel: 'bad link' -> '{target}'. One that the run needs must be relative" in warning

    def test_absolute_ones_stay_behind_though_they_lead_into_the_root(self, checkout: Path) -> None:
        (checkout / "link").symlink_to(checkout / "run.py")
        assert names(checkout) == [".gitignore", "run.py"]

    def test_an_ignored_one_may_lead_anywhere(self, checkout: Path) -> None:
        (checkout / "a.log").symlink_to("/etc/hostname")
        assert names(checkout) == [".gitignore", "run.py"]

    def test_many_are_named_in_part(self, checkout: Path) -> None:
        for number in range(12):
            (checkout / f"link{number:02}").symlink_to("/etc/hostname")
        (warning,) = Repository.open(checkout).contents().warnings
        assert "'link09' -> '/etc/hostname' and 2 more. One" in warning


class TestErrors:
    @pytest.mark.parametrize("with_git", [True, False])
    def test_no_files(self, tmp_path: Path, with_git: bool) -> None:
        if with_git:
            git(tmp_path, "init", "--quiet")
        with pytest.raises(PackageError, match="no files to package"):
            Repository.open(tmp_path).contents()

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PackageError, match="no folder"):
            Repository.open(tmp_path / "nowhere")

    def test_no_git_on_the_path(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(PackageError, match="Install git"):
            Repository.open(checkout)

    @pytest.mark.parametrize("refresh", ["", "quiet"])
    def test_no_git_from_the_start(self, checkout: Path, refresh: str) -> None:
        """GitPython itself may refuse to be imported then."""
        program = "import sys, pathlib; from lightning_zenml.package.repository import Repository as R; "
        program += "R.open(pathlib.Path(sys.argv[1]))"
        environment = {"PATH": "", **({"GIT_PYTHON_REFRESH": refresh} if refresh else {})}
        command = [sys.executable, "-c", program, str(checkout)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr.splitlines()[-1].endswith("Install git.")

    def test_a_folder_that_cannot_be_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for _ in range(18):
            Path("deeper than PATH_MAX".ljust(250)).mkdir()
            os.chdir("deeper than PATH_MAX".ljust(250))
        with pytest.raises(PackageError, match=r"can't be listed: .*name too long"):
            Repository.open(tmp_path).contents()


def _free(name: str) -> bool:
    """Whether a file may have the name: `.gitignore` and its like would be read as what they say they are."""
    return not set(name) & set("/\0") and name not in {".", ".."} and not name.lower().startswith(".git")


AWKWARD = [
    "a b",
    "new\nline",
    "-rf",
    "tab\t",
    "quote\"'",
    "back\\slash",
    "naïve ∂",
    os.fsdecode(b"\xff\xfe"),
    " ",
]
filenames = st.one_of(
    st.binary(min_size=1, max_size=60).map(os.fsdecode),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(AWKWARD),
).filter(_free)


@settings(max_examples=25)
@given(names=st.sets(filenames, min_size=1, max_size=12), tracked=st.booleans(), data=st.data())
def test_any_name_is_listed(names: set[str], tracked: bool, data: st.DataObject) -> None:
    folders = data.draw(st.sets(st.sampled_from(sorted(names)), max_size=len(names) - 1))
    wanted = names - folders | {f"{folder}/{name}" for folder in folders for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in wanted:
            put(root / name, "")
        git(root, "init", "--quiet")
        if tracked:
            git(root, "-c", "core.protectNTFS=false", "add", "--all")
        assert [str(name) for name in Repository.open(root).contents().files] == sorted(wanted, key=os.fsencode)
