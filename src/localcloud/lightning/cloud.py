"""The stand-in as a whole: see `LightningCloud`."""

from __future__ import annotations

import shutil
import threading
import traceback
from pathlib import Path
from typing import Self

from .accounts import Accounts
from .blobs import Blobs
from .entities import Studio
from .jobs.job_entities import Job
from .jobs.job_routes import JobRoutes
from .jobs.jobs import Jobs
from .jobs.pipeline_routes import PipelineRoutes
from .jobs.pipelines import Pipeline, Pipelines, Schedule
from .knobs import Knobs
from .ledger import Interval, Ledger
from .machines import routes as machine_routes
from .server import Request, Server
from .studio_routes import StudioRoutes
from .studios import Studios

_TICK = 0.05


class LightningCloud:
    """A Lightning AI platform on this machine, for the real lightning-sdk: `with LightningCloud(root) as cloud: ...`.

    It really runs what studios are told to run. At the end every process is killed and nothing but `root` is left; the
    machines also end when this process dies, in whatever way.

    Args:
        root: an existing or new folder that holds everything of the cloud.
        knobs: how it behaves; may be changed at any time.
        port: of 127.0.0.1; 0: any free one.

    Attributes:
        url: for `LIGHTNING_CLOUD_URL`.
        user_id: for `LIGHTNING_USER_ID`.
        api_key: for `LIGHTNING_API_KEY`.
        username: of the one user.
        organization: that owns `teamspace`.
        teamspace: of the organization; the user has one of its own, named `sandbox`.
    """

    def __init__(self, root: Path, knobs: Knobs | None = None, *, port: int = 0) -> None:
        self.root = Path(root).resolve()
        self.knobs = knobs or Knobs()
        self.ledger = Ledger()
        self.accounts = accounts = Accounts()
        self.user_id = accounts.user_id
        self.api_key = accounts.api_key
        self.username = accounts.username
        self.organization = accounts.organization
        self.teamspace = accounts.teamspaces[0].name
        self.lock = threading.RLock()
        self._accounts = accounts
        self._port = port
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        spool = self.root / "spool"
        for folder in (spool, self.root / "studios", self.root / "machines", self.root / "drive"):
            folder.mkdir(parents=True, exist_ok=True)
        self._studios = Studios(self.root, self.knobs, self.ledger, self._variables)
        self._jobs = Jobs(self.root, self.knobs, self.ledger, self._studios)
        self._pipelines = Pipelines(self._jobs, self.knobs)
        self._server = Server(self.knobs, self._accounts.authorised, spool, self.lock, self._port)
        self.url = self._server.url
        self._server.routes += [
            *self._accounts.routes(),
            *machine_routes(self.knobs),
            *StudioRoutes(self._studios, self._accounts, self.knobs).routes(),
            *JobRoutes(self._jobs, self._accounts, self.knobs, self.url).routes(),
            *PipelineRoutes(self._pipelines, self._jobs, self._accounts).routes(),
            *Blobs(self.root, self.url, self._studios, self._accounts, self.knobs).routes(),
        ]
        self._clock = threading.Thread(target=self._run_clock, name="lightning-clock", daemon=True)
        self._clock.start()
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._clock.join()
        self._server.stop()
        with self.lock:
            self._jobs.close()
            self._studios.close()
        for folder in ("jobs", "snapshots"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        shutil.rmtree(self.root / "machines")
        shutil.rmtree(self.root / "spool")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which lightning-sdk finds this cloud and its teamspace."""
        return {
            "LIGHTNING_CLOUD_URL": self.url,
            "LIGHTNING_USER_ID": self.user_id,
            "LIGHTNING_API_KEY": self.api_key,
            "LIGHTNING_ORG": self.organization,
            "LIGHTNING_TEAMSPACE": self.teamspace,
            "LIGHTNING_DISABLE_VERSION_CHECK": "1",
        }

    @property
    def requests(self) -> list[Request]:
        """Every request so far, refused ones too."""
        with self.lock:
            return list(self._server.requests)

    @property
    def refused(self) -> list[Request]:
        """Requests with a route, field or query that the stand-in does not know; `reason` says which."""
        with self.lock:
            return list(self._server.refused)

    def take_refused(self) -> list[Request]:
        """What was refused since the last time."""
        with self.lock:
            taken = list(self._server.refused)
            self._server.refused.clear()
            return taken

    @property
    def studios(self) -> list[Studio]:
        """Every studio that was ever created, deleted ones too."""
        with self.lock:
            return list(self._studios.all)

    @property
    def intervals(self) -> list[Interval]:
        """What is or was billed, in the order of its start."""
        with self.lock:
            return list(self.ledger.intervals)

    def studio(self, name: str) -> Studio:
        """The newest studio of this name, deleted or not.

        Raises:
            KeyError: there never was one.
        """
        for studio in reversed(self.studios):
            if studio.name == name:
                return studio
        raise KeyError(name)

    @property
    def jobs(self) -> list[Job]:
        """Every job and multi-machine job that was ever created, deleted ones too."""
        with self.lock:
            return list(self._jobs.all)

    def job(self, name: str) -> Job:
        """The newest job of this name, deleted or not.

        Raises:
            KeyError: there never was one.
        """
        for job in reversed(self.jobs):
            if job.name == name:
                return job
        raise KeyError(name)

    def artifacts(self, job: Job) -> dict[str, str]:
        """What a job has left on the drive: text by path, those of all its machines."""
        with self.lock:
            folders = [self._jobs.artifacts(job, node) for node in job.nodes]
            files = [(folder, path) for folder in folders for path in folder.rglob("*") if path.is_file()]
            return {str(path.relative_to(folder)): path.read_text(errors="replace") for folder, path in files}

    @property
    def pipelines(self) -> list[Pipeline]:
        """Every pipeline that was ever created, by a request or by a schedule, deleted ones too."""
        with self.lock:
            return list(self._pipelines.all)

    @property
    def schedules(self) -> list[Schedule]:
        """The schedules of pipelines that there are."""
        with self.lock:
            return list(self._pipelines.schedules)

    def running(self) -> list[str]:
        """Names of the studios and jobs that are billed right now."""
        with self.lock:
            return self.ledger.running()

    def delete_everything(self) -> None:
        """Delete every studio and job, as somebody at lightning.ai would."""
        with self.lock:
            for job in self._jobs.all:
                if job.deleted is None:
                    self._jobs.delete(job)
            for studio in self._studios.all:
                if studio.deleted is None:
                    self._studios.delete(studio)

    def machine_seconds(self) -> dict[str, float]:
        """Billed seconds so far of each machine type."""
        with self.lock:
            return self.ledger.machine_seconds()

    def cost(self) -> float:
        """US dollars so far."""
        with self.lock:
            return self.ledger.cost()

    def _run_clock(self) -> None:
        while not self._stopping.wait(_TICK):
            with self.lock:
                try:
                    self._studios.tick()
                    self._jobs.tick()
                    self._pipelines.tick()
                except Exception:
                    failure = Request("", "clock", {}, reason=traceback.format_exc())
                    if not any(request.reason == failure.reason for request in self._server.refused):
                        self._server.refused.append(failure)

    def _variables(self, studio: Studio) -> dict[str, str]:
        teamspace = self._accounts.teamspace(studio.project_id)
        owner = self._accounts.owner_name(teamspace)
        credentials = {"LIGHTNING_USER_ID": self.user_id, "LIGHTNING_API_KEY": self.api_key}
        return {
            **({} if studio.disable_secrets else credentials),
            "LIGHTNING_CLOUD_URL": self.url,
            "LIGHTNING_CLOUD_SPACE_ID": studio.id,
            "LIGHTNING_CLOUD_PROJECT_ID": studio.project_id,
            "LIGHTNING_CLUSTER_ID": studio.cluster.id,
            "LIGHTNING_CLOUD_PROVIDER": studio.cluster.provider,
            "LIGHTNING_RESOURCE_TYPE": "cloudspace",
            "LIGHTNING_INTERACTIVE": "true",
            "LIGHTNING_USERNAME": self.username,
            "LIGHTNING_TEAMSPACE": teamspace.name,
            **({"LIGHTNING_ORG": owner} if teamspace.owner_type == "organization" else {}),
            "LIGHTNING_DISABLE_VERSION_CHECK": "1",
        }
