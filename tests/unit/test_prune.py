"""What is cleared away on a studio, and what stays."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_zenml.launch.payload.folder import prune


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
