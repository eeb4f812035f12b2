"""The bundle of a launch: written here, unpacked by real bash as on a studio."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from lightning_zenml.launch.studio import bundle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home/.lightning_zenml/launches/l-1").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def written(tmp_path: Path) -> tuple[bytes, str]:
    (tmp_path / "env").write_text("secret")
    sha256 = bundle.write({"launches/l-1/env": tmp_path / "env"}, tmp_path / "bundle.tar")
    assert (tmp_path / "bundle.tar").stat().st_mode & 0o777 == 0o600
    return (tmp_path / "bundle.tar").read_bytes(), sha256


def unpack(home: Path, sha256: str, before: str = "") -> int:
    command = before + bundle.unpack_command(".lightning_zenml", "launches/l-1/bundle.tar", sha256)
    return subprocess.run(["bash", "-c", command], env={**os.environ, "HOME": str(home)}, check=False).returncode


def test_it_is_unpacked_for_its_owner_only_and_removed(home: Path, written: tuple[bytes, str]) -> None:
    content, sha256 = written
    folder = home / ".lightning_zenml/launches/l-1"
    (folder / "bundle.tar").write_bytes(content)
    assert unpack(home, sha256) == 0
    assert (folder / "env").read_text() == "secret"
    assert (folder / "env").stat().st_mode & 0o777 == 0o600
    assert not (folder / "bundle.tar").exists()


def test_unpacking_twice_brings_no_secret_back(home: Path, written: tuple[bytes, str]) -> None:
    content, sha256 = written
    folder = home / ".lightning_zenml/launches/l-1"
    (folder / "bundle.tar").write_bytes(content)
    unpack(home, sha256)
    (folder / "env").unlink()
    assert unpack(home, sha256) == 0
    assert not (folder / "env").exists()


def test_a_bundle_that_is_not_whole_yet_is_waited_for(home: Path, written: tuple[bytes, str]) -> None:
    content, sha256 = written
    bundle_file = home / ".lightning_zenml/launches/l-1/bundle.tar"
    bundle_file.write_bytes(content[:100])
    late = threading.Timer(0.7, bundle_file.write_bytes, [content])
    late.start()
    assert unpack(home, sha256) == 0
    late.join()


def test_a_bundle_that_never_arrives(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_PATIENCE", 2)
    assert unpack(home, "0" * 64) == bundle.NOT_ARRIVED


def test_what_does_not_fit_is_no_file_of_that_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(bytes(100_000))
    bundle_file = home / ".lightning_zenml/launches/l-1/bundle.tar"
    sha256 = bundle.write({"archives/a": tmp_path / "archive"}, bundle_file)
    assert unpack(home, sha256, "ulimit -f 10\n") == bundle.NOT_UNPACKED
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["bundle.tar"]
    assert unpack(home, sha256) == 0
    assert (home / ".lightning_zenml/archives/a").stat().st_size == 100_000
