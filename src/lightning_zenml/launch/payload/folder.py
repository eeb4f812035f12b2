"""A launch's folder on the studio, and what is read from and written to it."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_zenml.launch.payload.process import identity
from lightning_zenml.launch.payload.records import JobRecord, read

ROOT = Path(".lightning_zenml")
"""Relative to the studio's home."""
TITLE = "==> "
"""Begins a line of the log that opens a new part of it."""
_KEPT = 20
_CHUNK = 256 * 1024
_FOLLOWED_WITHIN = 90.0
"""Seconds since the last read in which a client still counts as following."""
_READ_OUT = 4 * 3600.0
"""Seconds that a client may go on reading after the end: some 4 GB of log."""


@dataclass(frozen=True)
class LaunchFolder:
    """`launches/<id>` under `root`: what the client uploads, and the record that the supervisor keeps.

    Args:
        root: `.lightning_zenml` in the studio's home.
        path: the launch's own folder.
    """

    root: Path
    path: Path

    @classmethod
    def of(cls, launch_id: str) -> LaunchFolder:
        """The folder of a launch."""
        root = Path.home() / ROOT
        return cls(root=root, path=root / "launches" / launch_id)

    @property
    def instructions(self) -> Path:
        """What to do, with the environment; mode 0600, read and removed by the supervisor."""
        return self.path / "env"

    @property
    def bundle(self) -> Path:
        """What the client uploads, instructions among it, until it is unpacked; see `launch.studio.bundle`."""
        return self.path / "bundle.tar"

    @property
    def description(self) -> Path:
        """What another client must know to take over the launch, see `Hold` and `Meter` of a launch; no secret."""
        return self.path / "launch.json"

    @property
    def code(self) -> Path:
        """The unpacked repository."""
        return self.path / "code"

    @property
    def log(self) -> Path:
        """Output of installs, commands and command."""
        return self.path / "log"

    @property
    def status(self) -> Path:
        """The record, as JSON."""
        return self.path / "status.json"

    @property
    def runs(self) -> Path:
        """One JSON line per ZenML run, written by our orchestrator."""
        return self.path / "runs.jsonl"

    @property
    def lock(self) -> Path:
        """A folder that exists once the launch was started, or stopped before that."""
        return self.path / "lock"

    @property
    def pid(self) -> Path:
        """Process id of the supervisor."""
        return self.path / "pid"

    @property
    def guardian(self) -> Path:
        """Process id and identity of the supervisor's guardian, which releases what is left in the end."""
        return self.path / "guardian"

    @property
    def identity(self) -> Path:
        """Tells the supervisor from another process that has its id by now."""
        return self.path / "identity"

    @property
    def session(self) -> Path:
        """Session id of the bash that runs the commands."""
        return self.path / "session"

    @property
    def jobs(self) -> Path:
        """A JSON line for each change of a Lightning job, the first before it is asked for, by our orchestrator."""
        return self.path / "jobs.jsonl"

    @property
    def grace(self) -> Path:
        """Exists once the launch is to be stopped: seconds between SIGTERM and SIGKILL."""
        return self.path / "grace"

    @property
    def follower(self) -> Path:
        """Touched at every read: somebody follows."""
        return self.path / "follower"

    @property
    def left(self) -> Path:
        """Exists once the client said that nobody follows."""
        return self.path / "left"

    @property
    def kept(self) -> Path:
        """Exists when somebody needs the code for as long as the studio exists."""
        return self.path / "kept"

    def archive(self, sha256: str) -> Path:
        """Where the archive of that digest lies."""
        return self.root / "archives" / sha256

    def take_lock(self) -> bool:
        """Whether nobody had it before."""
        try:
            self.lock.mkdir()
        except FileExistsError:
            return False
        return True

    def discard_secrets(self) -> None:
        """Removes what no supervisor is going to read and remove."""
        self.bundle.unlink(missing_ok=True)
        shutil.rmtree(self.bundle.with_name(f"{self.bundle.name}.parts"), ignore_errors=True)
        self.instructions.unlink(missing_ok=True)

    def write_status(self, status: dict[str, Any]) -> None:
        """Replaces `status.json` at once, never half."""
        draft = self.path / "status.json.new"
        draft.write_text(json.dumps(status))
        draft.replace(self.status)

    def read_status(self) -> dict[str, Any] | None:
        """The record; None before there is one."""
        return json.loads(self.status.read_text()) if self.status.exists() else None

    def read(self, *, log_offset: int, runs_offset: int) -> dict[str, Any]:
        """What is new since the offsets (bytes)."""
        self.follower.touch()
        alive = self.supervisor_pid() is not None
        # Status before log: a finished status must come with the whole log.
        status = self.read_status()
        log, log_end, log_goes_on = _tail(self.log, log_offset)
        runs, runs_end, _ = _tail(self.runs, runs_offset)
        complete = runs[: runs.rfind("\n") + 1]
        return {
            "status": status,
            "alive": alive,
            "log": log,
            "log_offset": log_end,
            "more": log_goes_on,
            "runs": [json.loads(line) for line in complete.splitlines()],
            "runs_offset": runs_end - len(runs[len(complete) :].encode()),
            "jobs": self.read_jobs(),
        }

    def read_jobs(self) -> list[dict[str, Any]]:
        """The last word of each job, in the order of their first."""
        last = {record.token: record for record in read(JobRecord, self.jobs)}
        return [record.to_json() for record in last.values()]

    def last_output(self, limit: int) -> str:
        """The last `limit` characters at most of what the log's last part holds."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4 * limit))
            text = log.read().decode(errors="replace")
        last_title = f"\n{text}".rfind(f"\n{TITLE}")
        return (text if last_title < 0 else text[last_title:].partition("\n")[2])[-limit:]

    def supervisor_pid(self) -> int | None:
        """The process id of the supervisor while it lives."""
        try:
            return _living(self.pid.read_text(), self.identity.read_text())
        except OSError:
            return None

    def guardian_pid(self) -> int | None:
        """The process id of the supervisor's guardian while it lives."""
        try:
            return _living(*self.guardian.read_text().split())
        except (OSError, TypeError):
            return None

    def write_guardian(self) -> None:
        """From now on this process is the guardian."""
        self.guardian.write_text(f"{os.getpid()} {identity()}")

    def write_supervisor(self) -> None:
        """From now on this process is the supervisor."""
        self.identity.write_text(identity())
        self.pid.write_text(str(os.getpid()))

    def wait_until_unfollowed(
        self, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Waits while a client follows: one that reads, however long, releases the studio itself when it has read all.

        Args:
            clock: seconds since the epoch.
            sleep: takes seconds.
        """
        deadline = clock() + _READ_OUT
        while self._followed_at(now := clock()) and now < deadline:
            sleep(0.5)

    def _followed_at(self, now: float) -> bool:
        if self.left.exists() or not self.follower.exists():
            return False
        return now - self.follower.stat().st_mtime < _FOLLOWED_WITHIN


def prune(root: Path, *, keep: str) -> None:
    """Removes all but the newest launches and archives, and what was uploaded in vain; those in use stay."""
    launches = [LaunchFolder(root, path) for path in (root / "launches").iterdir()]
    launches = sorted(launches, key=lambda folder: folder.path.stat().st_mtime, reverse=True)
    for folder in launches:
        if folder.path.name != keep and folder.supervisor_pid() is None:
            folder.discard_secrets()
    for folder in [folder for folder in launches if not folder.kept.exists()][_KEPT:]:
        if folder.path.name != keep and folder.supervisor_pid() is None:
            shutil.rmtree(folder.path, ignore_errors=True)
    archives = sorted((root / "archives").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in archives[_KEPT:]:
        path.unlink(missing_ok=True)


def _living(pid: str, known_as: str) -> int | None:
    """The process while it lives."""
    try:
        return int(pid) if identity(pid) == known_as else None
    except (OSError, ValueError):
        return None


def _tail(path: Path, offset: int) -> tuple[str, int, bool]:
    """Text from `offset` on, the offset behind it, whether there is more; a cut character waits for the next read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            data = file.read(_CHUNK)
    except FileNotFoundError:
        return "", offset, False
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data)
    cut, _ = decoder.getstate()
    return text, offset + len(data) - len(cut), offset + len(data) < size
