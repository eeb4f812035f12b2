"""Archives, unpacked again with the system's tar."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_zenml.package.archive import Archive, pack
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import Repository

Tree = dict[str, tuple[str, bytes]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "steps").mkdir(parents=True)
    (root / "run.py").write_text("print('run')\n")
    (root / "steps/train.py").write_text("print('train')\n")
    (root / "train.sh").write_text("#!/bin/sh\n")
    (root / "train.sh").chmod(0o755)
    (root / "link").symlink_to("steps/./train.py")
    (root / "folder").symlink_to("steps/")
    (root / "empty").write_bytes(b"")
    return root


def packed(root: Path, destination: Path) -> Archive:
    return pack(Repository.open(root), destination)


def tree(root: Path) -> Tree:
    """What each file or symlink below a folder is, by name."""
    found: Tree = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = ("symlink", os.fsencode(os.readlink(path)))  # noqa: PTH115 - to the byte
        elif path.is_file():
            found[name] = ("executable" if os.access(path, os.X_OK) else "file", path.read_bytes())
    return found


def unpacked(archive: Archive, destination: Path) -> Path:
    destination.mkdir()
    subprocess.run(["tar", "-xzf", archive.path, "-C", destination], check=True)
    return destination


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[None]:
    """Does what another process may do: once, just when the first file is being read."""

    def profile(frame: object, event: str, argument: object) -> None:
        if event == "c_call" and getattr(argument, "__qualname__", "") == "BufferedReader.read":
            sys.setprofile(None)
            action()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_unpacked_it_is_the_tree(root: Path, tmp_path: Path) -> None:
    archive = packed(root, tmp_path / "archive.tar.gz")
    assert tree(unpacked(archive, tmp_path / "copy")) == tree(root)


def test_pythons_data_filter_lets_all_of_it_pass(root: Path, tmp_path: Path) -> None:
    archive = packed(root, tmp_path / "archive.tar.gz")
    with tarfile.open(archive.path) as tar:
        tar.extractall(tmp_path / "copy", filter="data")
    assert tree(tmp_path / "copy").keys() == tree(root).keys()


def test_it_tells_what_was_packed(root: Path, tmp_path: Path) -> None:
    archive = packed(root, tmp_path / "archive.tar.gz")
    content = archive.path.read_bytes()
    assert archive.path == tmp_path / "archive.tar.gz"
    assert archive.sha256 == hashlib.sha256(content).hexdigest()
    assert archive.size == len(content)
    assert archive.files == 6


def test_the_same_content_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    first = packed(root, tmp_path / "first.tar.gz")
    with umask(0o077):
        copy = tmp_path / "another" / "name"
        copy.mkdir(parents=True)
        for name in reversed(Repository.open(root).contents().files):
            (copy / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(root / name, copy / name, follow_symlinks=False)
            os.utime(copy / name, (1, 1), follow_symlinks=False)
        (copy / "train.sh").chmod(0o700)
        second = packed(copy, tmp_path / "second.tar.gz")
    assert second.sha256 == first.sha256


def test_nothing_of_the_machine_is_in_it(root: Path, tmp_path: Path) -> None:
    (root / "train.sh").chmod(0o4777)
    archive = packed(root, tmp_path / "archive.tar.gz")
    # RFC 1952: no flags, no time, no extra flags, unknown operating system.
    assert archive.path.read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    with tarfile.open(archive.path) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert {m.name: m.mode for m in members} == {
        "empty": 0o644,
        "folder": 0o777,
        "link": 0o777,
        "run.py": 0o644,
        "steps/train.py": 0o644,
        "train.sh": 0o755,
    }
    assert [m.name for m in members] == sorted(m.name for m in members)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("echo changed > run.py", id="content"),
        pytest.param("mv run.py main.py", id="name"),
        pytest.param("chmod +x run.py", id="executable bit"),
        pytest.param("ln -sfn run.py link", id="symlink"),
    ],
)
def test_other_content_gives_another_digest(root: Path, tmp_path: Path, change: str) -> None:
    first = packed(root, tmp_path / "first.tar.gz")
    subprocess.run(change, shell=True, cwd=root, check=True)
    assert packed(root, tmp_path / "second.tar.gz").sha256 != first.sha256


def test_long_names_and_targets_travel(root: Path, tmp_path: Path) -> None:
    deep = root.joinpath(*(letter * 100 for letter in "abcdef"))
    deep.mkdir(parents=True)
    (deep / ("ü" * 100)).write_text("deep\n")
    (root / "long link").symlink_to((deep / ("ü" * 100)).relative_to(root))
    archive = packed(root, tmp_path / "archive.tar.gz")
    assert tree(unpacked(archive, tmp_path / "copy")) == tree(root)


def _free(name: str) -> bool:
    return not set(name) & set("/\0") and name not in {".", "..", ".git", ".DS_Store"} and not name.endswith(".pyc")


filenames = st.one_of(
    st.binary(min_size=1, max_size=120).map(os.fsdecode),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
).filter(_free)


@settings(deadline=None, max_examples=50)
@given(contents=st.dictionaries(filenames, st.tuples(st.binary(max_size=2000), st.booleans()), min_size=1, max_size=8))
def test_any_name_and_content_travels(contents: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "root")
        root.mkdir()
        for name, (content, executable) in contents.items():
            (root / name).write_bytes(content)
            (root / name).chmod(0o755 if executable else 0o644)
        archive = packed(root, Path(scratch, "archive.tar.gz"))
        assert tree(unpacked(archive, Path(scratch, "copy"))) == tree(root)


def test_a_large_file_is_never_in_memory(root: Path, tmp_path: Path) -> None:
    with (root / "large").open("wb") as large:
        large.truncate(64_000_000)
    tracemalloc.start()
    try:
        packed(root, tmp_path / "archive.tar.gz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_it_is_readable_by_its_owner_only(root: Path, tmp_path: Path) -> None:
    archive = packed(root, tmp_path / "archive.tar.gz")
    assert archive.path.stat().st_mode & 0o777 == 0o600


class TestErrors:
    """Each leaves an archive that was there before as it was, and nothing beside it."""

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[Path]:
        destination = tmp_path / "out" / "archive.tar.gz"
        destination.parent.mkdir()
        destination.write_bytes(b"before")
        yield destination
        assert destination.read_bytes() == b"before"
        assert list(destination.parent.iterdir()) == [destination]

    def test_nothing_to_pack(self, tmp_path: Path, destination: Path) -> None:
        (tmp_path / "nothing").mkdir()
        with pytest.raises(PackageError, match="no files"):
            packed(tmp_path / "nothing", destination)

    def test_a_file_that_vanishes(self, root: Path, destination: Path) -> None:
        (root / "first").write_text("first\n")
        with (
            meanwhile((root / "run.py").unlink),
            pytest.raises(PackageError, match=r"'run\.py' vanished while"),
        ):
            packed(root, destination)

    @pytest.mark.parametrize("size", [10, 30_000_000])
    def test_a_file_that_is_cut_or_grows(self, root: Path, destination: Path, size: int) -> None:
        large = root / "a"
        large.write_bytes(bytes(20_000_000))
        with (
            meanwhile(lambda: os.truncate(large, size)),
            pytest.raises(PackageError, match="'a' changed while"),
        ):
            packed(root, destination)

    def test_a_file_that_is_written_anew_in_the_same_size(self, root: Path, destination: Path) -> None:
        (root / "a").write_bytes(bytes(20_000_000))
        with (
            meanwhile(lambda: (root / "a").write_bytes(b"1" * 20_000_000)),
            pytest.raises(PackageError, match="'a' changed while"),
        ):
            packed(root, destination)

    def test_no_folder_to_write_to(self, root: Path, tmp_path: Path, destination: Path) -> None:
        with pytest.raises(PackageError, match=r"nowhere/archive\.tar\.gz' can't be written"):
            packed(root, tmp_path / "nowhere/archive.tar.gz")

    def test_a_file_that_cannot_be_read(self, root: Path, destination: Path) -> None:
        (root / "first").write_text("first\n")

        def replace() -> None:
            (root / "run.py").unlink()
            (root / "run.py").mkdir()

        with meanwhile(replace), pytest.raises(PackageError, match=r"'run\.py' can't be packed: .*directory"):
            packed(root, destination)


def test_a_git_checkout_is_packed_by_its_rules(root: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / ".gitignore").write_text("*.log\n")
    (root / "a.log").write_text("ignored\n")
    archive = packed(root, tmp_path / "archive.tar.gz")
    with gzip.open(archive.path) as content, tarfile.open(fileobj=content) as tar:
        assert tar.getnames() == [
            ".gitignore",
            "empty",
            "folder",
            "link",
            "run.py",
            "steps/train.py",
            "train.sh",
        ]
