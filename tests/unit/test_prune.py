"""What is cleared away on a studio, and what stays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lightning_zenml.launch.payload.folder import LaunchFolder, prune


def test_the_newest_launches_and_those_that_are_needed_stay(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    for age in range(25):
        folder = tmp_path / "launches" / f"launch-{age}"
        folder.mkdir(parents=True)
        if age in (3, 24):
            (folder / "kept").touch()
        os.utime(folder, (1e9 - age, 1e9 - age))

    prune(tmp_path, keep="launch-23")

    left = sorted(int(path.name.partition("-")[2]) for path in (tmp_path / "launches").iterdir())
    assert left == [*range(21), 23, 24]


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def test_parts_stay_as_long_as_one_of_the_newest_archives_needs_them(tmp_path: Path) -> None:
    for folder in ("archives", "launches", "parts"):
        (tmp_path / folder).mkdir()
    for name in ["shared", "nobody's", *(f"own {age}" for age in range(22))]:
        (tmp_path / "parts" / digest(name)).write_text(name)
    for age in range(22):
        listing = tmp_path / "archives" / str(age)
        listing.write_text(f"{digest('shared')}\n{digest(f'own {age}')}\n")
        os.utime(listing, (1e9 - age, 1e9 - age))
    # As an earlier version left them: archives themselves.
    (tmp_path / "archives" / "0").write_bytes(b"\x1f\x8b" + os.urandom(200_000))
    os.utime(tmp_path / "archives" / "0", (1e9 + 1, 1e9 + 1))

    prune(tmp_path, keep="")

    left = {path.read_text() for path in (tmp_path / "parts").iterdir()}
    assert left == {"shared", *(f"own {age}" for age in range(1, 20))}
    assert len(list((tmp_path / "archives").iterdir())) == 20


def test_parts_that_are_not_whole_are_told_of_and_taken_away(tmp_path: Path) -> None:
    for folder in ("archives", "parts"):
        (tmp_path / folder).mkdir()
    for content in ("whole", "cut", "other"):
        (tmp_path / "parts" / digest(content)).write_text(content)
    (tmp_path / "parts" / digest("cut")).write_text("cu")
    (tmp_path / "parts" / digest("other")).write_text("Other")
    wanted = [digest(content) for content in ("cut", "whole", "missing", "other")]
    (tmp_path / "archives" / "a").write_text("".join(f"{sha256}\n" for sha256 in wanted))

    lacking = LaunchFolder(tmp_path, tmp_path / "launches/x").lacking("a")

    assert lacking == tuple(digest(content) for content in ("cut", "missing", "other"))
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [digest("whole")]
