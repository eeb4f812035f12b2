"""What a step on a GPU of its own is billed, beside what it takes: `make bench-money`.

A pipeline on a CPU studio has one step on a T4, from a laptop on the local cloud; beside it, in turns, a job does what
the step's function does and nothing else. Nothing but the step is on the GPU, or the benchmark ends with an error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.lightning.job import Job
from lightning_zenml.launch.lightning.job_request import JobSpec
from lightning_zenml.launch.lightning.machines import Catalog
from lightning_zenml.launch.lightning.studio import Studio
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack, client_environment, services

STUDIO = "money"
WORK = 2.0
"""Seconds that the step's function takes."""
PIPELINE = f"""
import atexit, os, time

from zenml import pipeline, step


def tell(event, when):
    os.write(2, f"bench {{event}} {{when}} {{time.process_time()}}\\n".encode())


@step
def prepare() -> int:
    return 1


@step(settings={{"orchestrator": {{"machine_type": "T4"}}}})
def train(number: int) -> int:
    ticks = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
    tell("process", time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK"))
    atexit.register(lambda: tell("exit", time.time()))
    tell("begin", time.time())
    time.sleep({WORK})
    tell("end", time.time())
    return number


@pipeline(enable_cache=False, settings={{"orchestrator": {{"main_studio_name": "{STUDIO}", "machine_type": "CPU"}}}})
def money():
    train(prepare())


if __name__ == "__main__":
    money()
"""


@dataclass(frozen=True)
class Figures:
    """Seconds of the T4 in one run, from its first to its last.

    Args:
        shell: until the step's process has begun.
        before: until the step's function has begun: imports, ZenML's records, inputs.
        function: that the function took.
        after: until the process has ended: outputs, ZenML's records, logs.
        stop: until the machine is billed no more.
        before_cpu: CPU of the process in `before`.
        after_cpu: the same in `after`.
        billed: all of it.
        alone: billed for a job that does nothing but what the function does.
    """

    shell: float
    before: float
    function: float
    after: float
    stop: float
    before_cpu: float
    after_cpu: float
    billed: float
    alone: float


ROWS = {
    "shell": "until the step's process has begun",
    "before": "imports, records, inputs",
    "before_cpu": "  of which CPU",
    "function": "the step's function",
    "after": "outputs, records, logs",
    "after_cpu": "  of which CPU",
    "stop": "until the machine is billed no more",
    "billed": "billed for the step",
    "alone": "billed for a job with the function alone",
}


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; one shows that all of this still works")
    parser.add_argument("--json", type=Path, help="file that all figures are written to")
    arguments = parser.parse_args()
    taken = []
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        folder = Path(scratch)
        with services(folder / "services", github=False) as stack:
            for number in range(1, arguments.rounds + 1):
                taken.append(run(stack, folder / str(number)))
                print(f"round {number} of {arguments.rounds}: {taken[-1]}", file=sys.stderr, flush=True)
    medians = {one.name: statistics.median(getattr(figures, one.name) for figures in taken) for one in fields(Figures)}
    print(f"{f'median of {arguments.rounds}':44}{'T4, s':>8}{'ratio':>8}")
    for name, row in ROWS.items():
        print(f"{row:44}{medians[name]:>8.2f}{medians[name] / medians['alone']:>8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": [asdict(one) for one in taken], "medians": medians}, indent=2))


def run(stack: Stack, folder: Path) -> Figures:
    """Runs the pipeline from a laptop's folder, then the job alone."""
    cloud = stack.lightning
    assert isinstance(cloud, LightningCloud)
    folder.mkdir()
    (folder / "run.py").write_text(PIPELINE)
    environment = client_environment(stack, ZENML_CONFIG_PATH=str(folder.with_name(f"{folder.name}-config")))
    before = len(cloud.intervals)
    done = subprocess.run([sys.executable, "run.py"], cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}\n{done.stdout.decode()[-6000:]}")
    on_gpu = [interval for interval in cloud.intervals[before:] if interval.machine == "T4"]
    if len(on_gpu) != 1 or on_gpu[0].end is None:
        raise SystemExit(f"More than the step was on the T4: {on_gpu}")
    told = re.findall(r"bench (\w+) ([\d.]+) ([\d.]+)", cloud.job(on_gpu[0].name).log)
    when, cpu = ({event: float(one[number]) for event, *one in told} for number in (0, 1))
    times = [on_gpu[0].start, *(when[event] for event in ("process", "begin", "end", "exit")), on_gpu[0].end]
    shell, before_it, function, after, stop = (later - earlier for earlier, later in itertools.pairwise(times))
    return Figures(
        shell=shell,
        before=before_it,
        function=function,
        after=after,
        stop=stop,
        before_cpu=cpu["begin"],
        after_cpu=cpu["exit"] - cpu["end"],
        billed=on_gpu[0].seconds,
        alone=alone(cloud),
    )


def alone(cloud: LightningCloud) -> float:
    """Seconds that a T4 is billed for the function without all the rest."""
    credentials = Credentials(
        user_id=cloud.user_id, api_key=cloud.api_key, teamspace=cloud.teamspace, organization=cloud.organization
    )
    lightning = Lightning.connect(credentials, url=cloud.url)
    studio = Studio.find(lightning, STUDIO)
    assert studio is not None
    program = f"import time; time.sleep({WORK})"
    python = "/home/zeus/miniconda3/envs/cloudspace/bin/python"
    machine = Catalog(lightning, studio.cluster).machine("T4")
    before = len(cloud.intervals)
    job = Job.run(lightning, studio, JobSpec(name="alone", command=f'{python} -c "{program}"', machine=machine))
    while not (billed := cloud.intervals[before:]) or billed[0].end is None:
        time.sleep(0.05)
    job.delete()
    return billed[0].seconds


if __name__ == "__main__":
    main()
