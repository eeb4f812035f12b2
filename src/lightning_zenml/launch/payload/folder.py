"""A launch's folder on the studio, and what is read from and written to it."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.process import identity
from lightning_zenml.launch.payload.protocol import FOLLOWED_WITHIN, STOP_GRACE, Instructions, News, Phase, Status
from lightning_zenml.launch.payload.records import JobRecord, RunRecord, parse, read

TITLE = "==> "
"""Begins a line of the log that opens a new part of it."""
REFUSAL = "lightning-zenml: "
"""Begins the line in which the orchestrator says why it runs nothing."""
_KEPT = 20
_LISTING = 100_000
"""Characters that the longest listing of an archive has less than."""
_CHUNK = 1024 * 1024
"""Bytes of the log that one read tells at most."""
_LAST_OUTPUT = 2 * 1024 * 1024
"""Bytes of the log, at most, that are still to be read once the launch has finished: the machine waits for that."""
_LOOK = 0.1
"""Seconds between two looks whether there is something to tell."""
_READ_OUT = 600.0
"""Seconds that a client may go on reading after the end."""


@dataclass(frozen=True)
class _Entry:
    """A file or folder in a launch's folder, which the attribute of that folder gives as a path."""

    name: str

    def __get__(self, folder: LaunchFolder, owner: type[LaunchFolder]) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class LaunchFolder:
    """`launches/<id>` under `root`: what the client uploads, and the record that the supervisor keeps.

    What each entry holds, who writes and who reads it is told in `layout`, under the name that it is made with.

    Args:
        root: folder `.lightning_zenml` in the studio's home.
        path: folder of the launch in it.
    """

    root: Path
    path: Path

    @classmethod
    def of(cls, launch_id: str) -> LaunchFolder:
        """The folder of a launch."""
        root = Path.home() / layout.HOME
        return cls(root=root, path=root / layout.launch(launch_id))

    instructions = _Entry(layout.INSTRUCTIONS)
    bundle = _Entry(layout.BUNDLE)
    description = _Entry(layout.DESCRIPTION)
    code = _Entry(layout.CODE)
    log = _Entry(layout.LOG)
    payload_log = _Entry(layout.PAYLOAD_LOG)
    status = _Entry(layout.STATUS)
    runs = _Entry(layout.RUNS)
    jobs = _Entry(layout.JOB_RECORDS)
    usage = _Entry(layout.USAGE)
    lock = _Entry(layout.START_LOCK)
    pid = _Entry(layout.PID)
    identity = _Entry(layout.IDENTITY)
    guardian = _Entry(layout.GUARDIAN)
    session = _Entry(layout.SESSION)
    grace = _Entry(layout.GRACE)
    follower = _Entry(layout.FOLLOWER)
    left = _Entry(layout.LEFT)
    kept = _Entry(layout.KEPT)

    def parts(self, archive: str) -> list[Path]:
        """Where the parts of the archive of that digest lie."""
        return [self.root / layout.part(sha256) for sha256 in _listed(self.root / layout.archive(archive))]

    def lacking(self, archive: str) -> tuple[str, ...]:
        """Digests of the parts of an archive that are not there; those that are not whole are taken away."""
        lacking = [path for path in self.parts(archive) if not _is_whole(path)]
        for path in lacking:
            path.unlink(missing_ok=True)
        return tuple(path.name for path in lacking)

    def unpack(self, archive: str) -> None:
        """Makes the repository of the archive of that digest."""
        self.code.mkdir()
        for path in self.parts(archive):
            with tarfile.open(path) as part:
                part.extractall(self.code, filter="data")

    def take_lock(self) -> bool:
        """Whether nobody had it before."""
        try:
            self.lock.mkdir()
        except FileExistsError:
            return False
        return True

    def read_instructions(self) -> Instructions | None:
        """What the launch is to do; None once that was read by the guardian, or discarded."""
        try:
            return Instructions.from_json(json.loads(self.instructions.read_text()))
        except FileNotFoundError:
            return None

    def discard_secrets(self) -> None:
        """Removes what no supervisor is going to read and remove."""
        self.bundle.unlink(missing_ok=True)
        shutil.rmtree(self.bundle.with_name(f"{self.bundle.name}{layout.UNPACKING}"), ignore_errors=True)
        self.instructions.unlink(missing_ok=True)

    def write_status(self, status: Status) -> None:
        """Replaces `status.json` at once, never half."""
        draft = self.path / f"{layout.STATUS}.new"
        draft.write_text(json.dumps(status.to_json()))
        draft.replace(self.status)

    def read_status(self) -> Status | None:
        """The record; None before there is one."""
        return Status.from_json(json.loads(self.status.read_text())) if self.status.exists() else None

    def read(self, *, log_offset: int, runs_offset: int, wait: float = 0.0, gather: float = 0.0) -> News:
        """What is new since the offsets (bytes), at once or as soon as there is something.

        Args:
            log_offset: bytes of the log that are known.
            runs_offset: bytes of the record of runs that are known.
            wait: seconds after which nothing will do.
            gather: seconds until which lines of the log alone wait for more of them.
        """
        began, known = time.monotonic(), self._told_otherwise()
        self.follower.touch()
        while self._is_quiet(runs_offset) and self._told_otherwise() == known:
            unread = _size(self.log) - log_offset
            patience = wait if unread <= 0 else gather if unread < _CHUNK else 0
            if time.monotonic() - began >= patience:
                break
            time.sleep(_LOOK)
        alive = self.supervisor_pid() is not None
        # Status before log: a finished status must come with the end of the log.
        status = self.read_status()
        skipped, notice = _skipped(self.log, log_offset) if status and status.phase is Phase.FINISHED else (0, "")
        log, log_end, log_goes_on = _tail(self.log, log_offset + skipped)
        runs, runs_end, _ = _tail(self.runs, runs_offset)
        complete = runs[: runs.rfind("\n") + 1]
        return News(
            status=status,
            alive=alive,
            log=notice + log,
            log_offset=log_end,
            more=log_goes_on,
            runs=tuple(parse(RunRecord, complete)),
            runs_offset=runs_end - len(runs[len(complete) :].encode()),
            jobs=tuple({record.token: record for record in read(JobRecord, self.jobs)}.values()),
        )

    def _is_quiet(self, runs_offset: int) -> bool:
        """Whether the launch goes on, and has no new run."""
        if _size(self.runs) > runs_offset:
            return False
        status = self.read_status()
        return not (status and status.phase is Phase.FINISHED) and self.supervisor_pid() is not None

    def _told_otherwise(self) -> tuple[int, int]:
        """Changes when something is recorded that no offset tells of."""
        return _size(self.jobs), _size(self.status)

    def last_output(self, limit: int) -> str:
        """The last `limit` characters at most of what the log's last part holds."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4 * limit))
            text = log.read().decode(errors="replace")
        last_title = f"\n{text}".rfind(f"\n{TITLE}")
        return (text if last_title < 0 else text[last_title:].partition("\n")[2])[-limit:]

    def stop_grace(self) -> float:
        """Seconds that the command has for an orderly end, as whoever stops the launch wants it."""
        try:
            return float(self.grace.read_text())
        except (OSError, ValueError):
            return STOP_GRACE

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
        """Waits while a client follows: one that reads releases the studio itself when it has read all.

        Args:
            clock: function that tells seconds since 1970.
            sleep: function that waits for so many seconds.
        """
        deadline = clock() + _READ_OUT
        while self._followed_at(now := clock()) and now < deadline:
            sleep(0.5)

    def _followed_at(self, now: float) -> bool:
        if self.left.exists() or not self.follower.exists():
            return False
        return now - self.follower.stat().st_mtime < FOLLOWED_WITHIN


def note_environment(root: Path, digest: str, others_hold: bool) -> None:
    """Notes what a studio has installed.

    Args:
        root: folder `.lightning_zenml` in the studio's home.
        digest: what it is known by.
        others_hold: whether what was noted before is still whole.
    """
    path = root / layout.ENVIRONMENTS
    before = path.read_text().splitlines() if others_hold and path.exists() else []
    path.write_text("".join(f"{one}\n" for one in [*(one for one in before if one != digest), digest][-_KEPT:]))


def prune(root: Path, *, keep: str) -> None:
    """Removes all but the newest launches and archives, and what was uploaded in vain; those in use stay."""
    launches = [LaunchFolder(root, path) for path in (root / layout.LAUNCHES).iterdir()]
    launches = sorted(launches, key=lambda folder: folder.path.stat().st_mtime, reverse=True)
    for folder in launches:
        if folder.path.name != keep and folder.supervisor_pid() is None:
            folder.discard_secrets()
    for folder in [folder for folder in launches if not folder.kept.exists()][_KEPT:]:
        if folder.path.name != keep and folder.supervisor_pid() is None:
            shutil.rmtree(folder.path, ignore_errors=True)
    archives = sorted((root / layout.ARCHIVES).iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in archives[_KEPT:]:
        path.unlink(missing_ok=True)
    needed = {sha256 for path in archives[:_KEPT] for sha256 in _listed(path)}
    for path in (root / layout.PARTS).glob("*"):
        if path.name not in needed:
            path.unlink(missing_ok=True)


def _listed(archive: Path) -> list[str]:
    """Digests of an archive's parts."""
    # An earlier version kept whole archives under these names, of any size.
    with archive.open(encoding="ascii", errors="replace") as listing:
        return re.findall(r"^[0-9a-f]{64}$", listing.read(_LISTING), re.MULTILINE)


def _is_whole(part: Path) -> bool:
    try:
        with part.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == part.name
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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


def _skipped(path: Path, offset: int) -> tuple[int, str]:
    """Bytes from `offset` on, up to a line's beginning, that a late reader is spared; and words that say so."""
    try:
        with path.open("rb") as file:
            start = file.seek(0, os.SEEK_END) - _LAST_OUTPUT
            if start <= offset:
                return 0, ""
            file.seek(start)
            start += file.read(_CHUNK).find(b"\n") + 1
            file.seek(max(0, offset - 1))
            breaks = "" if offset == 0 or file.read(1) == b"\n" else "\n"
    except FileNotFoundError:
        return 0, ""
    notice = (
        f"{breaks}{TITLE}{(start - offset) / 1e6:.1f} MB of output are left out, so that the machine need not wait: "
        f"ZenML has the logs of the steps, and the studio, if it is kept, the whole in {path}\n"
    )
    return start - offset, notice
