"""What the platform does with jobs: when asked, and by itself as time goes by.

Not known of the platform, and therefore a guess: that a command which fails is started again while `maxRunAttempts`
allows, that a stop kills, that a machine which is kept for the next job ends with the deletion of its own, the names of
the variables that tell a machine its rank, and one process for each machine.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcloud.service import free_port

from ..computer.sandbox import Disk
from ..computer.sessions import Session
from ..entities import Studio
from ..knobs import Knobs
from ..ledger import Ledger
from ..machines import cluster
from ..server import ApiError
from ..studios import Studios
from .job_entities import Job, JobState, KeptMachine, LogLine, Node
from .snapshots import Home, Snapshot


class Jobs:
    """All jobs of the cloud. Not safe for threads: the cloud's lock is held around every call.

    Args:
        root: the cloud's folder.
        knobs: how long things take and what goes wrong.
        ledger: gets what is billed.
        studios: from which jobs come.
    """

    def __init__(self, root: Path, knobs: Knobs, ledger: Ledger, studios: Studios) -> None:
        self.all: list[Job] = []
        self._root = root
        self._knobs = knobs
        self._ledger = ledger
        self._studios = studios
        self._snapshots: dict[tuple[str, str], Snapshot] = {}
        self._kept: list[KeptMachine] = []

    def present(self, project_id: str) -> list[Job]:
        """The jobs of a teamspace, oldest first."""
        return [job for job in self.all if job.project_id == project_id and job.deleted is None]

    def get(self, project_id: str, job_id: str) -> tuple[Job, Node]:
        """The job and the machine with this id; the first machine when it is a multi-machine job's.

        Raises:
            ApiError: 404; also for names.
        """
        for job in self.present(project_id):
            for node in job.nodes:
                if job_id in (job.id, node.id):
                    return job, node
        raise ApiError(5, f"job {job_id} not found")

    def create(
        self, name: str, studio: Studio, spec: dict[str, Any], machines: int, max_attempts: int, *, multi: bool
    ) -> Job:
        """A new job, pending; its name may be another than asked for."""
        name = self._free_name(studio.project_id, _slug(name))
        nodes = [Node(f"{name}-{rank}" if multi else name, rank) for rank in range(machines)]
        job = Job(
            name,
            studio,
            self._studios.offer(studio.cluster, spec.get("instanceName") or spec.get("instanceType") or ""),
            spec,
            self._snapshot(studio, spec.get("runId") or ""),
            nodes,
            multi=multi,
            max_attempts=max_attempts,
            master_port=free_port() if multi else 0,
        )
        self.all.append(job)
        return job

    def studio_of(self, project_id: str, spec: dict[str, Any]) -> Studio:
        """The studio that a job with this spec (V1JobSpec) comes from.

        Raises:
            ApiError: there is none, or the spec is not one of a job that can run.
        """
        if not spec.get("cloudspaceId"):
            raise ApiError(12, "only jobs from a studio", refused=True)
        if not spec.get("command"):
            raise ApiError(3, "command is required")
        studio = self._studios.get(project_id, spec["cloudspaceId"])
        if spec.get("clusterId") and cluster(spec["clusterId"]) is not studio.cluster:
            raise ApiError(3, "the job's cloud account is not its studio's")
        return studio

    def stop(self, job: Job) -> None:
        """Begin to stop; a job that has ended, or is about to, stays as it is."""
        if job.state in (JobState.PENDING, JobState.RUNNING, JobState.RESTARTING):
            self._end_soon(job, JobState.STOPPING, JobState.STOPPED, self._knobs.stop_seconds)

    def delete(self, job: Job) -> None:
        """Delete with its artifacts; its machines end."""
        job.deleted = time.time()
        self._release(job)
        for node in job.nodes:
            shutil.rmtree(self.artifacts(job, node), ignore_errors=True)
            if node.disk is not None:
                shutil.rmtree(node.disk.folder, ignore_errors=True)

    def artifacts_seen(self, job: Job) -> None:
        """Bring the drive up to date."""
        for node in job.nodes:
            if node.home is not None and node.home.ready:
                node.home.collect()

    def tick(self) -> None:
        """Let everything happen that is due."""
        now = time.monotonic()
        self._end_kept([kept for kept in self._kept if kept.until <= now or kept.job.deleted is not None])
        for job in self.all:
            if job.deleted is not None or job.state.ended:
                continue
            if job.state in (JobState.PENDING, JobState.RESTARTING):
                self._start(job, now)
            elif job.state is JobState.RUNNING:
                self._watch(job, now)
            elif now >= job.end_at:
                self._finish(job)

    def close(self) -> None:
        """End every machine, at once."""
        self._end_kept(self._kept)
        for job in self.all:
            self._release(job)
            for node in job.nodes:
                if node.home is not None:
                    node.home.close()
        for snapshot in self._snapshots.values():
            snapshot.close()

    def _snapshot(self, studio: Studio, run_id: str) -> Snapshot:
        key = (studio.id, run_id or uuid.uuid4().hex)
        if key not in self._snapshots:
            folder = self._root / "snapshots" / uuid.uuid4().hex
            self._snapshots[key] = Snapshot(studio, folder, self._knobs.first_snapshot_seconds)
        return self._snapshots[key]

    def _start(self, job: Job, now: float) -> None:
        if job.snapshot.lost:
            job.message = "the studio was deleted before its snapshot was taken"
            job.state = JobState.FAILED
        elif job.snapshot.ready and job.boot_at is None:
            job.boot_at = now + (0 if self._takes_kept(job) else self._knobs.start_seconds)
            for node in job.nodes:
                self._furnish(job, node)
        elif job.boot_at is not None and now >= job.boot_at:
            comes = self._knobs.can_be_had(job.offer.machine.name)
            if comes and all(node.home is not None and node.home.ready for node in job.nodes):
                self._boot(job, now)

    def _furnish(self, job: Job, node: Node) -> None:
        if node.home is not None and self._knobs.home_survives_preemption:
            return
        disk = job.studio.disk
        folder = self._root / "jobs" / f"{node.id}-{job.attempt}"
        node.disk = Disk(folder, disk.template, disk.uv_cache, disk.cloud, job.snapshot.environment)
        node.home = Home(job.snapshot, node.disk.home, self.artifacts(job, node))

    def _boot(self, job: Job, now: float) -> None:
        machine = job.offer.machine
        job.state = JobState.RUNNING
        job.started = job.started or time.time()
        job.collect_at = now + self._knobs.artifact_seconds
        for node in job.nodes:
            price = job.offer.spot_price if job.spot else job.offer.price
            node.intervals.append(self._ledger.open(node.name, machine.name, price))
            scratch = self._root / "machines" / uuid.uuid4().hex
            scratch.mkdir(parents=True)
            assert node.disk is not None
            node.sandbox = self._studios.sandbox(node.disk, scratch, machine.gpus, machine.family)
            node.sandbox.folder.use_gpus(self._knobs.gpu_use)
            try:
                node.sandbox.start()
                node.sandbox.folder.finish_setup()
                variables = {**self._studios.session_variables(job.studio, node.sandbox), **_variables(job, node)}
                command = f"set -e\n{job.spec.get('command') or ''}"
                node.session = Session(f"attempt-{job.attempt}", node.sandbox, command, variables)
            except (OSError, RuntimeError) as error:
                self._fail(job, str(error))
                return
            node.bytes_read = 0
            self._log(node, "+ lightning")

    def _watch(self, job: Job, now: float) -> None:
        codes = [node.session.exit_code if node.session is not None else None for node in job.nodes]
        for node in job.nodes:
            self._read_log(node)
        if job.spot and job.name in self._knobs.preempt:
            self._knobs.preempt.discard(job.name)
            job.interrupted = time.time()
            self._fail(job, "the machine was reclaimed")
        elif any(codes):
            self._fail(job, "the command failed")
        elif all(code == 0 for code in codes):
            self._end_soon(job, JobState.COMPLETE, JobState.COMPLETED, self._knobs.collect_seconds)
        elif self._reserved_seconds(job) < time.time() - (job.started or 0):
            job.message = "the reservation ended"
            self.stop(job)
        elif now >= job.collect_at:
            job.collect_at = now + self._knobs.artifact_seconds
            self.artifacts_seen(job)

    def _fail(self, job: Job, message: str) -> None:
        """Start again while attempts are left, all machines of it; otherwise fail."""
        job.message = message
        if job.attempt < job.max_attempts:
            self._release(job)
            job.attempt += 1
            job.boot_at = None
            job.state = JobState.RESTARTING
        else:
            self._end_soon(job, JobState.FAIL, JobState.FAILED, self._knobs.collect_seconds)

    def _end_soon(self, job: Job, state: JobState, then: JobState, seconds: float) -> None:
        job.state, job.next_state = state, then
        job.end_at = time.monotonic() + seconds
        # A stop takes its time and costs; a command that has ended needs its machine no longer.
        if state is not JobState.STOPPING:
            self._release(job)

    def _finish(self, job: Job) -> None:
        self._release(job)
        self.artifacts_seen(job)
        job.state = job.next_state
        minutes = job.spec.get("reserveMachinesTimeoutMinutes") or 0
        if job.started is not None and job.spec.get("keepMachineAfterStop"):
            until = time.monotonic() + minutes * self._knobs.kept_minute_seconds
            for node in job.nodes:
                interval = self._ledger.open(node.name, job.offer.machine.name, node.intervals[-1].price)
                self._kept.append(KeptMachine(job, interval, until))

    def _takes_kept(self, job: Job) -> bool:
        """Whether as many machines of its kind are up as a job needs, which it then has."""
        wanted = (job.offer, job.spot, job.studio.cluster, job.project_id)
        fitting = [
            kept
            for kept in self._kept
            if (kept.job.offer, kept.job.spot, kept.job.studio.cluster, kept.job.project_id) == wanted
        ][: len(job.nodes)]
        if len(fitting) < len(job.nodes):
            return False
        self._end_kept(fitting)
        return True

    def _end_kept(self, machines: Sequence[KeptMachine]) -> None:
        for kept in machines:
            kept.interval.close()
        self._kept = [kept for kept in self._kept if kept not in machines]

    def _release(self, job: Job) -> None:
        for node in job.nodes:
            self._read_log(node)
            if node.sandbox is not None:
                node.sandbox.stop()
                node.sandbox = None
            if node.session is not None:
                node.session.reap()
                node.session = None
            if job.deleted is not None and node.home is not None:
                node.home.close()
            for interval in node.intervals:
                interval.close()
        if job.started is not None:
            job.stopped = time.time()

    def _read_log(self, node: Node) -> None:
        """Take over the lines that are whole, or all when the command has ended."""
        if node.session is None:
            return
        ended = node.session.exit_code is not None
        new = node.session.output_from(node.bytes_read)
        if not ended:
            new = new[: new.rfind(b"\n") + 1]
        node.bytes_read += len(new)
        for line in new.decode(errors="replace").splitlines():
            self._log(node, line)

    @staticmethod
    def _log(node: Node, text: str) -> None:
        # Of the precision that a time has on the wire: a time that was read there must find its line again.
        node.log.append(LogLine(len(node.log) + 1, datetime.now(UTC).timestamp(), text))

    @staticmethod
    def _reserved_seconds(job: Job) -> float:
        """Only Google's reservations end a job; elsewhere, and for interruptible machines, they do not matter."""
        seconds = float(job.spec.get("requestedRunDurationSeconds") or 0)
        counts = seconds and job.offer.machine.gpus and not job.spot and job.studio.cluster.provider == "GCP"
        return seconds if counts else float("inf")

    def artifacts(self, job: Job, node: Node) -> Path:
        """Folder of the drive with what a machine of a job has made or changed in its home."""
        return self._root / "drive" / job.project_id / "jobs" / node.name

    def _free_name(self, project_id: str, name: str) -> str:
        taken = {name for job in self.present(project_id) for name in (job.name, *(node.name for node in job.nodes))}
        candidate, number = name, 0
        while candidate in taken:
            number += 1
            candidate = f"{name}-{number}"
        return candidate


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ApiError(3, f"invalid job name {name!r}")
    return slug


def _variables(job: Job, node: Node) -> dict[str, str]:
    variables = {"LIGHTNING_RESOURCE_TYPE": "job", "LIGHTNING_INTERACTIVE": "false"}
    if job.spec.get("pipelineId"):
        variables["LIGHTNING_PIPELINE_ID"] = job.spec["pipelineId"]
    if job.multi:
        variables |= {
            "NODE_RANK": str(node.rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(job.master_port),
        }
    return variables | {variable["name"]: variable.get("value", "") for variable in job.spec.get("env") or ()}
