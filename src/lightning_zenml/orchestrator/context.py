"""The launch that this process is part of: what the payload tells its commands through variables."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.protocol import Description, Meter
from lightning_zenml.launch.payload.records import JobRecord, RunRecord, append, read
from lightning_zenml.launch.payload.variables import (
    CODE,
    LAUNCH_DIR,
    LAUNCH_ID,
    LENT,
    MACHINE,
    OF_THE_SHELL,
    RESTARTED,
    STUDIO_NAME,
    STUDIO_URL,
    TEAMSPACE,
    ZENML_CONFIG_PATH,
)
from lightning_zenml.orchestrator.start import Start


@dataclass(frozen=True, kw_only=True)
class LaunchContext:
    """A launch, seen from within its studio.

    Args:
        id: id of the launch.
        directory: folder of the launch in the studio; holds `runs.jsonl`.
        code: root of the unpacked repository.
        studio_name: name of the studio.
        studio_url: page of the studio.
        machine: name of the studio's machine.
        teamspace: `owner/name` of the studio's teamspace.
        restarted: whether a controller of this launch was killed before.
        start: where the pipeline was started, and its steps start.
    """

    id: str
    directory: Path
    code: Path
    studio_name: str = ""
    studio_url: str = ""
    machine: str = ""
    teamspace: str = ""
    restarted: bool = False
    start: Start = field(default_factory=Start)

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> LaunchContext | None:
        """Finds the launch that this process is part of.

        Args:
            environ: variables to look in.

        Returns:
            The launch; None outside of a studio that a launch prepared.
        """
        directory = environ.get(LAUNCH_DIR)
        if not directory or not Path(directory).is_dir():
            return None
        return cls(
            id=environ[LAUNCH_ID],
            directory=Path(directory),
            code=Path(environ[CODE]),
            studio_name=environ.get(STUDIO_NAME, ""),
            studio_url=environ.get(STUDIO_URL, ""),
            machine=environ.get(MACHINE, ""),
            teamspace=environ.get(TEAMSPACE, ""),
            restarted=bool(environ.get(RESTARTED)),
        )

    def record_run(self, record: RunRecord) -> None:
        """Lets whoever follows the launch know of a ZenML run in it."""
        append(self._runs, record)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Ids of the recorded runs in ZenML."""
        return tuple(record.run_id for record in read(RunRecord, self._runs))

    def record_job(self, record: JobRecord) -> None:
        """Lets whoever follows or ends the launch know how a Lightning job stands now."""
        append(self._jobs, record)

    @property
    def has_jobs(self) -> bool:
        """Whether the launch has asked for Lightning jobs."""
        return self._jobs.exists()

    def last_jobs(self, run_id: object) -> dict[str, JobRecord]:
        """Gets what was recorded last of a run's jobs.

        Args:
            run_id: id of the run in ZenML.

        Returns:
            The record of each step's last job, by the step's name.
        """
        return {job.step: job for job in read(JobRecord, self._jobs) if job.run_id == str(run_id)}

    @property
    def meter(self) -> Meter | None:
        """What the studio costs; None where the launch does not tell, as one of a schedule doesn't."""
        try:
            return Description.from_json(json.loads((self.directory / layout.DESCRIPTION).read_text())).meter
        except (OSError, ValueError):
            return None

    def tell_begun(self) -> None:
        """Lets the controller know that the own code of this process's step begins; no step fails for want of it."""
        with contextlib.suppress(OSError):
            folder = self.directory / layout.BEGUN
            folder.mkdir(exist_ok=True)
            (folder / str(os.getpid())).touch()

    def has_begun(self, pid: int) -> bool:
        """Whether the own code of a step has begun, in a process of the studio.

        Args:
            pid: id of the process.
        """
        return (self.directory / layout.BEGUN / str(pid)).exists()

    def own_variables(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Gets the variables that the launch and its commands have set, and that the studio doesn't have of its own.

        A job has the studio's own by itself, and those that tell of the machine are different there.

        Args:
            environ: all variables.

        Returns:
            Those of the launch.
        """
        studio = self._studio_variables()
        lent = (environ.get(LENT) or "").split(",")
        left_out = {*OF_THE_SHELL, "PATH", "HOME", *lent, LENT, LAUNCH_DIR, RESTARTED, ZENML_CONFIG_PATH}
        return {name: value for name, value in environ.items() if name not in left_out and studio.get(name) != value}

    def _studio_variables(self) -> dict[str, str]:
        # The supervisor of the launch was started with them and nothing else.
        try:
            supervisor = Path("/proc", (self.directory / layout.PID).read_text(), "environ").read_bytes()
        except OSError:
            return dict(os.environ)
        pairs = (item.partition("=") for item in supervisor.decode(errors="replace").split("\0"))
        return {name: value for name, _, value in pairs}

    @property
    def _runs(self) -> Path:
        return self.directory / layout.RUNS

    @property
    def _jobs(self) -> Path:
        return self.directory / layout.JOB_RECORDS
