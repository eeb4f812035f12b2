"""Snapshots of studios, from which jobs start, and the files that a job adds to its own."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

from ..computer import environment
from ..entities import Studio


class Snapshot:
    """A studio's home and Python environment as they were at one moment; it is taken in the background.

    Args:
        studio: that it is taken of; may stop meanwhile.
        folder: a new folder for it.
        wait: seconds that it takes at least.
    """

    def __init__(self, studio: Studio, folder: Path, wait: float) -> None:
        self._studio = studio
        self._ready_at = time.monotonic() + wait
        self._finished = False
        self.home = folder / "home"
        folder.mkdir(parents=True)
        # Where there are namespaces the environment is a layer over the template, and only that layer is the studio's.
        upper = studio.disk.environment / "upper"
        self._layer = upper if upper.exists() else studio.disk.environment
        self.environment = folder / "environment" if self._layer.exists() else None
        copies = [(studio.home, self.home)]
        if self.environment is not None:
            copies.append((self._layer, self.environment))
        self._copies = [_copy(source, target) for source, target in copies]

    @property
    def ready(self) -> bool:
        """Whether a job may start from it."""
        if any(copy.poll() is None for copy in self._copies) or time.monotonic() < self._ready_at:
            return False
        if not self._finished:
            self._finished = True
            if self.environment is not None and self._layer == self._studio.disk.environment:
                environment.relocate(self.environment, str(self._layer), environment.INSIDE)
        return True

    @property
    def lost(self) -> bool:
        """Whether the studio was deleted before all of it was copied."""
        return any(copy.poll() for copy in self._copies) and self._studio.deleted is not None

    def close(self) -> None:
        """Give up what is not finished."""
        for copy in self._copies:
            copy.kill()
            copy.wait()


class Home:
    """A job's own copy of the snapshot's home.

    Args:
        snapshot: see `Snapshot`; must be ready.
        folder: where the home is to be.
        artifacts: folder of the drive that gets the files which the job makes or changes.
    """

    def __init__(self, snapshot: Snapshot, folder: Path, artifacts: Path) -> None:
        self._snapshot = snapshot
        self._folder = folder
        self._artifacts = artifacts
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._copy = _copy(snapshot.home, folder)

    @property
    def ready(self) -> bool:
        """Whether it is all there."""
        return self._copy.poll() is not None

    def collect(self) -> None:
        """Bring the drive up to date. What the job deletes stays there, as in a bucket that is only written to."""
        for path in self._folder.rglob("*"):
            # A running job removes files as it likes.
            with suppress(FileNotFoundError):
                self._collect_file(path)

    def _collect_file(self, path: Path) -> None:
        name = path.relative_to(self._folder)
        target = self._artifacts / name
        if path.is_symlink() or not path.is_file() or _same(path, self._snapshot.home / name) or _same(path, target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # In one go, so that nobody reads half a file.
        partial = target.with_name(f".{uuid.uuid4().hex}")
        shutil.copy2(path, partial)
        partial.rename(target)

    def close(self) -> None:
        """Give up the copying."""
        self._copy.kill()
        self._copy.wait()


def _copy(source: Path, target: Path) -> subprocess.Popen[bytes]:
    # A running studio goes on writing: a file that is gone when its turn comes is no error.
    command = ["cp", "--archive", "--reflink=auto", "--no-target-directory", str(source), str(target)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _same(path: Path, other: Path) -> bool:
    if other.is_symlink() or not other.is_file():
        return False
    mine, theirs = path.stat(), other.stat()
    return (mine.st_size, mine.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)
