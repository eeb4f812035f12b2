"""A client that submits runs for somebody else, and what the two tell each other.

With `submit-from: runner` the Action starts the user's command, in whose process our orchestrator launches studios.
The variable `LIGHTNING_ZENML_CALLER` tells the orchestrator of the Action; a file of JSON lines tells the Action of
launches and runs, so that it can show them, and release what the command leaves behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lightning_zenml import http_log
from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.launch import Launch
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.payload.variables import CALLER, CODE, SOURCE_ROOT_INSIDE
from lightning_zenml.launch.spec import LaunchSpec, Update
from lightning_zenml.launch.studio.hold import Hold

_PAUSE = 0.05


@dataclass(frozen=True, kw_only=True)
class Held:
    """What must be released from now on.

    Args:
        hold: what a launch holds of its studio.
    """

    hold: Hold


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A ZenML run that is about to be launched; it may come to nothing.

    Args:
        run_id: id of the run in ZenML.
    """

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A launch whose payload runs.

    Args:
        launch_id: id of the launch.
        studio_name: name of the launch's studio.
        studio_url: page of the studio.
        machine: name of the studio's machine.
        warmth: how long that is kept for the next launch, in words; '': it isn't.
        archive_sha256: SHA-256 of the archive that was uploaded.
    """

    launch_id: str
    studio_name: str
    studio_url: str
    machine: str
    warmth: str
    archive_sha256: str


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What one poll of a launch brought.

    Args:
        launch_id: id of the launch.
        cost: US dollars that the launch has cost so far; None where a price isn't known.
        runs: ZenML runs that have begun since the last update.
        jobs: all Lightning jobs of the launch so far.
    """

    launch_id: str
    cost: float | None
    runs: tuple[RunRecord, ...]
    jobs: tuple[JobRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Left:
    """A launch that is left to itself: it releases its studio at its end.

    Args:
        launch_id: id of the launch.
    """

    launch_id: str


News = Held | Submitted | Launched | Updated | Left
"""What a client tells its caller, one JSON line each. The Action installs the client, so both are of one version."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever started this client. By default nobody did: then nothing is told, and nothing changes.

    Args:
        repository: root of the repository that travels as a whole; '': the source root travels.
        requirements: files to install in the studio, relative to the repository.
        record: file that takes the JSON lines; '': none.
        pid: process id of whoever it is.
    """

    repository: str = ""
    requirements: tuple[str, ...] = ()
    record: str = ""
    pid: int = 0

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Caller:
        """Finds out who started this client."""
        told = json.loads(environ.get(CALLER) or "{}")
        if told and environ.get("RUNNER_DEBUG") == "1":
            # The Action shows its own calls; these are made in its stead.
            http_log.log_to(lambda line: print(line, file=sys.stderr, flush=True))
        return cls(**{**told, "requirements": tuple(told.get("requirements", ()))})

    def variables(self) -> dict[str, str]:
        """What the client's environment must hold for `find`."""
        return {CALLER: json.dumps(asdict(self))}

    def root_to_pack(self, source_root: Path) -> Path:
        """The folder to pack for a client with this source root."""
        if self.repository and source_root.resolve().is_relative_to(self.repository):
            return Path(self.repository)
        return source_root

    def inside(self, source_root: Path) -> str:
        """Where the source root lies in what is packed for it; '.': it is packed itself."""
        return source_root.resolve().relative_to(self.root_to_pack(source_root).resolve()).as_posix()

    def adapt(self, spec: LaunchSpec, source_root: Path) -> LaunchSpec:
        """A launch as the caller wants it: with its requirements, and the source root found in what was packed."""
        inside = self.inside(source_root)
        packs_more = inside != "."
        # Names in bash: the source root may hold any character.
        environment = {**spec.environment, SOURCE_ROOT_INSIDE: inside} if packs_more else spec.environment
        command = f'{CODE}="${CODE}/${SOURCE_ROOT_INSIDE}" {spec.command}' if packs_more else spec.command
        requirements = (*(f"-r {file}" for file in self.requirements), *spec.requirements)
        return replace(spec, command=command, environment=environment, requirements=requirements)

    def submits(self, run_id: str) -> None:
        """Tells of a ZenML run before it is launched; it may come to nothing."""
        self._tell(Submitted(run_id=run_id))

    def hold(self, hold: Hold) -> None:
        """Tells what must be released, before it costs; waits until the caller has noted it.

        Raises:
            LaunchError: there is nobody left who could.
        """
        end = self._tell(Held(hold=hold))
        while not hold.is_over and self.record and _seen(Path(self.record)) < end:
            if not _is_alive(self.pid):
                raise LaunchError(
                    "The Action that started this command is gone, so nothing is started any more.", code=Code.STOPPED
                )
            time.sleep(_PAUSE)

    def launched(self, launch: Launch, archive_sha256: str) -> None:
        """Tells of a launch whose payload runs."""
        self._tell(
            Launched(
                launch_id=launch.id,
                studio_name=launch.studio_name,
                studio_url=launch.studio_url,
                machine=launch.machine,
                warmth=launch.warmth,
                archive_sha256=archive_sha256,
            )
        )

    def update(self, launch: Launch, update: Update) -> None:
        """Tells what one poll of the launch brought of runs, jobs and costs."""
        self._tell(Updated(launch_id=launch.id, cost=launch.cost, runs=tuple(update.runs), jobs=tuple(update.jobs)))

    def left(self, launch: Launch) -> None:
        """Tells that the launch is left to itself: it releases its studio at its end."""
        self._tell(Left(launch_id=launch.id))

    def released(self, launch: Launch) -> None:
        """Tells that nothing of the launch is left to release."""
        self.hold(launch.hold.released())

    def _tell(self, news: News) -> int:
        """Appends a line; returns where the record ends with it."""
        if not self.record:
            return 0
        with Path(self.record).open("ab") as lines:
            lines.write(_to_json(news).encode() + b"\n")
            return lines.tell()


class Record:
    """The other end of what `Caller` tells.

    Args:
        path: of the file, made empty.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._offset = 0
        self._note()

    def news(self) -> Iterator[News]:
        """What was told since the last time. One counts as noted once the next is asked for."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _ = file.read().rpartition(b"\n")
        for line in (whole + end).splitlines(keepends=True):
            yield _from_json(line)
            self._offset += len(line)
            self._note()

    def _note(self) -> None:
        draft = _note_of(self._path).with_suffix(".draft")
        draft.write_text(str(self._offset))
        draft.replace(_note_of(self._path))


def _to_json(news: News) -> str:
    return json.dumps({"kind": type(news).__name__, **asdict(news)})


def _from_json(line: bytes) -> News:
    fields = json.loads(line)
    match fields.pop("kind"):
        case "Held":
            return Held(hold=Hold.from_json(fields["hold"]))
        case "Updated":
            runs, jobs = map(RunRecord.from_json, fields["runs"]), map(JobRecord.from_json, fields["jobs"])
            return Updated(**{**fields, "runs": tuple(runs), "jobs": tuple(jobs)})
        case "Submitted":
            return Submitted(**fields)
        case "Launched":
            return Launched(**fields)
        case _:
            return Left(**fields)


def _note_of(record: Path) -> Path:
    """The file that tells how far the record was read."""
    return record.with_name(f"{record.name}.seen")


def _seen(record: Path) -> int:
    try:
        return int(_note_of(record).read_text())
    except OSError:
        # Removed with all the rest by a caller that has ended.
        return 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
