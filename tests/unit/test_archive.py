"""Archives, unpacked again with the system's tar."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_zenml.package.archive import Archive, pack
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.known import Known
from lightning_zenml.package.packing import Packing
from lightning_zenml.package.repository import Repository
from lightning_zenml.package.tar import header

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


def archive_of(root: Path) -> Archive:
    return pack(Repository.open(root))


def packed(root: Path, folder: Path) -> list[Path]:
    """A repository's packed parts in a folder that is made."""
    folder.mkdir()
    with closing(Packing(archive := archive_of(root), folder)) as packing:
        return list(packing.packed([part.sha256 for part in archive.parts]).values())


def fill(root: Path, count: int = 400) -> None:
    """Small files, enough for several parts, and a large one."""
    for number in range(count):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(20_000))
    (root / "large").write_bytes(bytes(2_000_000))


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


def unpacked(parts: Sequence[Path], destination: Path) -> Path:
    destination.mkdir()
    for part in parts:
        subprocess.run(["tar", "-xzf", part, "-C", destination], check=True)
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
        if event == "c_call" and getattr(argument, "__qualname__", "") == "FileIO.read":
            sys.setprofile(None)
            action()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_unpacked_it_is_the_tree(root: Path, tmp_path: Path) -> None:
    fill(root)
    parts = packed(root, tmp_path / "packed")
    assert len(parts) > 8
    assert tree(unpacked(parts, tmp_path / "copy")) == tree(root)


def test_pythons_data_filter_lets_all_of_it_pass(root: Path, tmp_path: Path) -> None:
    for part in packed(root, tmp_path / "packed"):
        with tarfile.open(part) as tar:
            tar.extractall(tmp_path / "copy", filter="data")
    assert tree(tmp_path / "copy").keys() == tree(root).keys()


def test_it_tells_what_is_packed(root: Path, tmp_path: Path) -> None:
    fill(root)
    archive = archive_of(root)
    parts = packed(root, tmp_path / "packed")
    for part, path in zip(archive.parts, parts, strict=True):
        assert hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == part.sha256
    assert archive.listing.split() == [part.sha256 for part in archive.parts]
    assert archive.sha256 == hashlib.sha256(archive.listing.encode()).hexdigest()
    assert archive.files == len(tree(root))
    assert archive.size == sum(path.lstat().st_size for path in root.rglob("*") if path.is_symlink() or path.is_file())


def test_the_same_content_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    fill(root)
    first = archive_of(root)
    with umask(0o077):
        copy = tmp_path / "another" / "name"
        copy.mkdir(parents=True)
        for name in reversed(Repository.open(root).contents().files):
            (copy / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(root / name, copy / name, follow_symlinks=False)
            os.utime(copy / name, (1, 1), follow_symlinks=False)
        (copy / "train.sh").chmod(0o700)
        second = archive_of(copy)
    assert second.listing == first.listing


def test_nothing_of_the_machine_is_in_it(root: Path, tmp_path: Path) -> None:
    (root / "train.sh").chmod(0o4777)
    (part,) = packed(root, tmp_path / "packed")
    # RFC 1952: no flags and no time.
    assert part.read_bytes()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
    with tarfile.open(part) as tar:
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
    assert [m.name for m in members] == ["empty", "folder", "link", "run.py", "steps/train.py", "train.sh"]


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
    first = archive_of(root)
    subprocess.run(change, shell=True, cwd=root, check=True)
    assert archive_of(root).sha256 != first.sha256


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("echo changed > 'file 7'", id="changed"),
        pytest.param("rm 'file 7'", id="removed"),
        pytest.param("echo new > new", id="added"),
    ],
)
def test_what_changes_in_one_file_changes_one_part(root: Path, change: str) -> None:
    fill(root)
    before = archive_of(root)
    subprocess.run(change, shell=True, cwd=root, check=True)
    known = {part.sha256 for part in before.parts}
    (changed,) = [part for part in archive_of(root).parts if part.sha256 not in known]
    assert changed.size < before.size / 4


def test_parts_are_not_many_however_much_there_is(root: Path) -> None:
    for number in range(300):
        with (root / f"large {number}").open("wb") as large:
            large.truncate(2_000_000)
    archive = archive_of(root)
    assert len(archive.parts) <= 64
    assert max(part.size for part in archive.parts) < archive.size / 20


def test_long_names_and_targets_travel(root: Path, tmp_path: Path) -> None:
    deep = root.joinpath(*(letter * 100 for letter in "abcdef"))
    deep.mkdir(parents=True)
    (deep / ("ü" * 100)).write_text("deep\n")
    (root / "long link").symlink_to((deep / ("ü" * 100)).relative_to(root))
    assert tree(unpacked(packed(root, tmp_path / "packed"), tmp_path / "copy")) == tree(root)


def _free(name: str) -> bool:
    return not set(name) & set("/\0") and name not in {".", "..", ".git", ".DS_Store"} and not name.endswith(".pyc")


filenames = st.one_of(
    st.binary(min_size=1, max_size=120).map(os.fsdecode),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
).filter(_free)


@settings(max_examples=50)
@given(contents=st.dictionaries(filenames, st.tuples(st.binary(max_size=2000), st.booleans()), min_size=1, max_size=8))
def test_any_name_and_content_travels(contents: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "root")
        root.mkdir()
        for name, (content, executable) in contents.items():
            (root / name).write_bytes(content)
            (root / name).chmod(0o755 if executable else 0o644)
        assert tree(unpacked(packed(root, Path(scratch, "packed")), Path(scratch, "copy"))) == tree(root)


def test_a_large_file_is_never_in_memory(root: Path, tmp_path: Path) -> None:
    with (root / "large").open("wb") as large:
        large.truncate(64_000_000)
    tracemalloc.start()
    try:
        packed(root, tmp_path / "packed")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_it_is_readable_by_its_owner_only(root: Path, tmp_path: Path) -> None:
    (part,) = packed(root, tmp_path / "packed")
    assert part.stat().st_mode & 0o777 == 0o600


def test_what_is_compressed_already_takes_no_more_room(root: Path, tmp_path: Path) -> None:
    (root / "noise").write_bytes(random.Random(0).randbytes(3_000_000))
    (root / "text").write_bytes(b"some text\n" * 300_000)
    assert sum(part.stat().st_size for part in packed(root, tmp_path / "packed")) < 3_050_000


def test_it_is_packed_without_the_faster_library_too(root: Path) -> None:
    code = """
import gzip, io, sys
sys.modules["isal"] = None
from lightning_zenml.package.compression import Compressor
with Compressor(file := io.BytesIO()) as compressed:
    for data in [b"text" * 9999, bytes(range(256)) * 99, b"text"]:
        compressed.write(data)
assert gzip.decompress(file.getvalue()) == b"text" * 9999 + bytes(range(256)) * 99 + b"text"
assert len(file.getvalue()) < 30_000
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.binary(min_size=1, max_size=110).filter(lambda name: b"\0" not in name), st.integers(0, 8**11), st.booleans())
def test_headers_are_those_of_tarfile(name: bytes, size: int, executable: bool) -> None:
    entry = tarfile.TarInfo(os.fsdecode(name))
    entry.size, entry.mode = size, 0o755 if executable else 0o644
    assert header(entry.name, size=size, executable=executable) == entry.tobuf(tarfile.GNU_FORMAT)


class TestKnown:
    """What was read before is not read again, unless it may have changed."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "cache" / "known"

    def pack(self, root: Path, path: Path, later: float = 60) -> Archive:
        return pack(Repository.open(root), Known(path), clock=lambda: time.time_ns() + int(later * 1e9))

    def replace(self, path: Path, digest: str) -> None:
        path.write_text("".join(f"{line.split()[0]} {digest}\n" for line in path.read_text().splitlines()))

    def test_what_has_not_changed_is_not_read(self, root: Path, path: Path) -> None:
        self.pack(root, path)
        self.replace(path, "1" * 64)
        assert [part.sha256 for part in self.pack(root, path).parts] == ["1" * 64]
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "change", ["touch run.py", "chmod +x run.py", "mv run.py main.py", "cp -p run.py x; mv x run.py", "rm empty"]
    )
    def test_what_may_have_changed_is_read(self, root: Path, path: Path, change: str) -> None:
        self.pack(root, path)
        self.replace(path, "1" * 64)
        subprocess.run(change, shell=True, cwd=root, check=True)
        assert self.pack(root, path) == archive_of(root)

    def test_what_has_changed_a_moment_ago_may_again_without_a_trace(self, root: Path, path: Path) -> None:
        self.pack(root, path, later=0)
        assert not path.exists()

    @pytest.mark.parametrize("content", [b"", b"\xff\n", b"1" * 64 + b" 2\n", b"\n" * 9])
    def test_what_cannot_be_read_is_found_out_again(self, root: Path, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        assert self.pack(root, path) == archive_of(root)
        assert len(path.read_text().splitlines()) == 1

    def test_where_nothing_can_be_kept_it_is_packed_all_the_same(self, root: Path, path: Path) -> None:
        path.parent.write_text("no folder")
        assert self.pack(root, path) == archive_of(root)

    def test_what_turns_out_wrong_is_forgotten(self, root: Path, path: Path, tmp_path: Path) -> None:
        self.pack(root, path)
        self.replace(path, "1" * 64)
        archive = self.pack(root, path)
        with pytest.raises(PackageError, match=r"'empty', 'folder'.* changed while"):
            archive.write(archive.parts[0], tmp_path / "part")
        assert self.pack(root, path) == archive_of(root)

    def test_it_holds_so_many_digests_and_no_more(self, root: Path, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("".join(f"{number:064} {number:064}\n" for number in range(5000)))
        self.pack(root, path)
        assert len(path.read_text().splitlines()) == 4000


class TestErrors:
    def test_nothing_to_pack(self, tmp_path: Path) -> None:
        (tmp_path / "nothing").mkdir()
        with pytest.raises(PackageError, match="no files"):
            archive_of(tmp_path / "nothing")

    def test_a_file_that_vanishes(self, root: Path) -> None:
        (root / "first").write_text("first\n")
        with meanwhile((root / "run.py").unlink), pytest.raises(PackageError, match=r"'run\.py' vanished while"):
            archive_of(root)

    @pytest.mark.parametrize("size", [10, 30_000_000])
    def test_a_file_that_is_cut_or_grows(self, root: Path, size: int) -> None:
        large = root / "a"
        large.write_bytes(bytes(20_000_000))
        with meanwhile(lambda: os.truncate(large, size)), pytest.raises(PackageError, match="'a' changed while"):
            archive_of(root)

    def test_a_file_that_is_written_anew_in_the_same_size(self, root: Path) -> None:
        (root / "a").write_bytes(bytes(20_000_000))
        with (
            meanwhile(lambda: (root / "a").write_bytes(b"1" * 20_000_000)),
            pytest.raises(PackageError, match="'a' changed while"),
        ):
            archive_of(root)

    def test_a_file_that_is_written_to_before_it_is_packed(self, root: Path, tmp_path: Path) -> None:
        archive = archive_of(root)
        (root / "run.py").write_text("print('RUN')\n")
        with pytest.raises(PackageError, match=r"'run\.py' changed while"):
            archive.write(archive.parts[0], tmp_path / "part")

    def test_no_folder_to_write_to(self, root: Path, tmp_path: Path) -> None:
        archive = archive_of(root)
        with pytest.raises(PackageError, match=r"nowhere/part' can't be written"):
            archive.write(archive.parts[0], tmp_path / "nowhere/part")

    def test_a_file_that_cannot_be_read(self, root: Path) -> None:
        (root / "first").write_text("first\n")

        def replace() -> None:
            (root / "run.py").unlink()
            (root / "run.py").mkdir()

        with meanwhile(replace), pytest.raises(PackageError, match=r"'run\.py' can't be packed: .*directory"):
            archive_of(root)


def test_parts_that_were_not_wanted_at_first_are_packed_later(root: Path, tmp_path: Path) -> None:
    fill(root)
    archive = archive_of(root)
    with closing(Packing(archive, tmp_path)) as packing:
        assert packing.packed([]) == {}
        parts = packing.packed([part.sha256 for part in archive.parts])
    assert tree(unpacked(list(parts.values()), tmp_path / "copy")) == tree(root)


def test_a_git_checkout_is_packed_by_its_rules(root: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / ".gitignore").write_text("*.log\n")
    (root / "a.log").write_text("ignored\n")
    (part,) = packed(root, tmp_path / "packed")
    with tarfile.open(part) as tar:
        assert tar.getnames() == [
            ".gitignore",
            "empty",
            "folder",
            "link",
            "run.py",
            "steps/train.py",
            "train.sh",
        ]
