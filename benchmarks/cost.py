"""What is told of a launch's cost, beside the bill: `make bench-cost`.

Random launches on the local cloud: a studio on a random machine, on spot or not, now and then one that was stuck in its
set-up and is replaced; and jobs on random machines, one or several, on spot or not, some of which lose them, wait for
others and are started again. Lightning tells what a job has cost late, as it really does. The cloud keeps the bill with
the machines that it starts. A second stands for ten: jobs are looked at as many times as often.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_zenml.launch.launcher import Launcher, Limits
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.records import JobRecord, read
from lightning_zenml.launch.payload.variables import SOURCE_ROOT
from lightning_zenml.launch.spec import KeepStudio, LaunchSpec
from lightning_zenml.orchestrator.context import LaunchContext
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.orchestrator.steps import job as step_job
from lightning_zenml.orchestrator.steps.job_starter import StepJobs
from lightning_zenml.orchestrator.steps.placement import OwnMachines
from lightning_zenml.package.archive import pack
from lightning_zenml.package.repository import Repository
from localcloud.lightning import Knobs, LightningCloud

MACHINES = ("CPU", "T4", "L4", "A100", "H100_X_8")
SCALE = 10
"""Seconds that a second stands for."""


@dataclass(frozen=True)
class PlannedJob:
    """A job of a schedule; `losses` are the seconds after which it loses its machines."""

    machine: str
    count: int
    spot: bool
    seconds: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """A schedule: a launch and its jobs."""

    machine: str
    spot: bool
    stuck: bool
    seconds: float
    jobs: tuple[PlannedJob, ...]

    @classmethod
    def draw(cls, chance: random.Random, least: float, most: float) -> Plan:
        """A random one, whose jobs take so many seconds."""
        jobs = []
        for _ in range(chance.randint(0, 3)):
            spot = chance.random() < 0.6
            lost = chance.random() < 0.5 and spot
            losses = tuple(chance.uniform(least / 4, most / 4) for _ in range(chance.randint(1, 2))) if lost else ()
            count = chance.choice((1, 1, 1, 2))
            jobs.append(PlannedJob(chance.choice(MACHINES), count, spot, chance.uniform(least, most), losses))
        longest = max((job.seconds + sum(job.losses) for job in jobs), default=0.0)
        seconds = longest + chance.uniform(least, most)
        return cls(chance.choice(MACHINES), chance.random() < 0.3, chance.random() < 0.1, seconds, tuple(jobs))


@dataclass(frozen=True)
class Outcome:
    """What a schedule has cost, US dollars: as it is told, and by the bill."""

    told: float
    billed: float

    @property
    def error(self) -> float:
        """How far what is told is off, as a part of the bill."""
        return abs(self.told - self.billed) / self.billed


def main() -> None:
    """Prints how far what is told is off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=40, help="random launches")
    parser.add_argument("--at-once", type=int, default=8, help="how many of them run side by side")
    parser.add_argument("--work", type=float, nargs=2, default=(20, 60), help="seconds of a job, from and to")
    parser.add_argument("--seed", type=int, default=1, help="what the randomness begins with")
    parser.add_argument("--json", type=Path, help="file that all figures are written to")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    plans = [Plan.draw(chance, *arguments.work) for _ in range(arguments.schedules)]
    step_job._POLL = (1.0 / SCALE, 5.0 / SCALE)
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        # A stuck studio is seen by its set-up that never ends, which is what a deadline is for.
        knobs = Knobs(cost_delay_seconds=60, start_seconds=2)
        with LightningCloud(folder / "cloud", knobs) as cloud:
            outcomes = run_all(cloud, plans, folder, arguments.at_once)
    errors = sorted(outcome.error for outcome in outcomes)
    told, billed = sum(outcome.told for outcome in outcomes), sum(outcome.billed for outcome in outcomes)
    for row, error in (
        ("all schedules together", abs(told - billed) / billed),
        ("a schedule, median", statistics.median(errors)),
        ("a schedule, 95th percentile", errors[int(0.95 * (len(errors) - 1))]),
        ("a schedule, worst", errors[-1]),
    ):
        print(f"{row:44}  {error:8.3%}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))


def run_all(cloud: LightningCloud, plans: Sequence[Plan], folder: Path, at_once: int) -> list[Outcome]:
    """Runs schedules, some of them side by side."""
    repository = folder / "repository"
    repository.mkdir()
    (repository / "hello.txt").write_text("hello\n")
    # Only one studio at a time may be meant to be the stuck one.
    starting = threading.Lock()

    def run(number: int) -> Outcome:
        outcome = Schedule(cloud, plans[number], folder / str(number), repository, starting).run()
        print(f"{number + 1} of {len(plans)}: {outcome} {outcome.error:.3%}", file=sys.stderr, flush=True)
        return outcome

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, range(len(plans))))


class Schedule:
    """One launch with its jobs."""

    def __init__(
        self, cloud: LightningCloud, plan: Plan, folder: Path, repository: Path, starting: threading.Lock
    ) -> None:
        folder.mkdir()
        self._cloud = cloud
        self._plan = plan
        self._folder = folder
        self._repository = repository
        self._starting = starting
        credentials = Credentials(
            user_id=cloud.user_id, api_key=cloud.api_key, teamspace=cloud.teamspace, organization=cloud.organization
        )
        self._lightning = Lightning.connect(credentials, url=cloud.url)

    def run(self) -> Outcome:
        """Runs it to its end."""
        name = f"cost-{self._folder.name}"
        spec = LaunchSpec(
            name=name,
            owner="a benchmark",
            archive=pack(Repository.open(self._repository)),
            command=f"sleep {self._plan.seconds}",
            machines=(self._plan.machine,),
            interruptible=self._plan.spot,
            keep_studio=KeepStudio.DELETE,
        )
        limits = Limits(start=120, setup=6 if self._plan.stuck else 120)
        with self._starting:
            self._cloud.knobs.stuck_studios = int(self._plan.stuck)
            launch = Launcher(self._lightning, limits=limits).launch(spec)
        context = LaunchContext(
            id=launch.id, directory=self._folder, code=Path.home(), studio_name=launch.studio_name, teamspace="a/b"
        )
        studio = Studio.find(self._lightning, launch.studio_name)
        assert studio is not None
        threads = [
            threading.Thread(target=self._run_job, args=(planned, number, context, studio))
            for number, planned in enumerate(self._plan.jobs)
        ]
        for thread in threads:
            thread.start()
        for _ in launch.follow():
            pass
        for thread in threads:
            thread.join()
        launch.release()
        last = {record.token: record for record in read(JobRecord, self._folder / "jobs.jsonl")}.values()
        told = [launch.cost, *(record.cost for record in last)]
        names = {f"zenml-{name}-", *(record.name for record in last)}
        billed = [one for one in self._cloud.intervals if one.name.startswith(tuple(names))]
        return Outcome(sum(cost or 0.0 for cost in told), sum(one.cost for one in billed))

    def _run_job(self, planned: PlannedJob, number: int, context: LaunchContext, studio: Studio) -> None:
        jobs = StepJobs(
            self._lightning,
            studio,
            context,
            run_id="run",
            run_name=f"{context.id}-{number}",
            orchestrator_run_id=f"{context.id}-{number}",
            output=io.StringIO(),
        )
        own = OwnMachines(
            kinds=(Catalog(self._lightning, studio.cluster).machine(planned.machine),), count=planned.count
        )
        settings = LightningOrchestratorSettings(interruptible=planned.spot, max_run_attempts=len(planned.losses) + 1)
        program = ("sleep", str(planned.seconds))
        step = jobs.begin(
            f"step-{number}", program, own=own, settings=settings, environment={SOURCE_ROOT: str(Path.home())}
        )
        losses, since = list(planned.losses), time.monotonic()
        while step.poll() is None:
            if losses and time.monotonic() - since > losses[0]:
                losses.pop(0)
                since = time.monotonic()
                self._cloud.knobs.preempt.add(step.job.name)
            time.sleep(0.02)
        Job.end_all(self._lightning, f"{context.id}-{number}")


if __name__ == "__main__":
    main()
