"""What `make demo` can play: what happens to a run, and how it must end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localcloud.demo.play import BASE, BRANCH, ROOT, Play
from localcloud.demo.projects import classifying, training
from localcloud.runner import Finished, Log

REPORT = """
metrics:
  accuracy: higher
  val_loss: lower
fail-if: |
  accuracy < 0.8
  val_loss > base + 2 %
"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A story with an end.

    Args:
        name: as in `make demo SCENARIO=NAME`.
        title: what happens, in a line.
        project: the repository: its folder, or its files by name.
        act: function that plays it, and tells what did not go as it must.
    """

    name: str
    title: str
    project: Path | Mapping[str, str]
    act: Callable[[Play], list[str]]


def completes(play: Play) -> list[str]:
    """A run from the first line to the last."""
    finished = play.job(
        "train",
        run="python run.py",
        machine_type="cpu",
        requirements="requirements.txt",
        commands='python --version\necho "Training on $LIGHTNING_ZENML_MACHINE"',
    )
    return _expect(finished, 0, "completed")


def fails(play: Play) -> list[str]:
    """A step that raises."""
    return _expect(play.job("train", run="python run.py 1.9", machine_type="cpu"), 1, "failed")


def gpu(play: Play) -> list[str]:
    """A step on a machine of its own."""
    problems = _expect(play.job("train", run="python run.py", machine_type="cpu"), 0, "completed")
    billed = {interval.machine for interval in play.cloud.intervals}
    return problems if "T4" in billed else [*problems, f"No GPU is billed, only {', '.join(billed)}"]


def leaves_and_comes_back(play: Play) -> list[str]:
    """Two jobs: the first one leaves, the second one reports the end."""
    left = play.job("train", run="python run.py", machine_type="cpu", async_="true")
    problems = _expect(left, 0, "running")
    launch = left.outputs.get("launch-id")
    return problems + _expect(play.job("report", attach=launch), 0, "completed") if launch else problems


def cancel(play: Play) -> list[str]:
    """Somebody clicks *Cancel workflow* while a step trains."""
    stopped = play.job(
        "train",
        lambda line: signal.SIGINT if "Epoch 3" in line else None,
        run="python run.py 0.05",
        machine_type="cpu",
    )
    return _expect(stopped, 128 + signal.SIGINT, None)


def matrix(play: Play) -> list[str]:
    """Three legs at once, which share a comment."""
    rates = (0.1, 0.3, 1.9)

    def leg(rate: float) -> Finished:
        return play.job(
            f"train ({rate})",
            matrix={"rate": rate},
            stream=_Prefixed(play.stream, f"{rate} | "),
            run=f"python run.py {rate}",
            machine_type="cpu",
            comment_key="rates",
            leg=f"rate {rate}",
            report="metrics:\n  error: lower",
        )

    with ThreadPoolExecutor() as pool:
        finished = list(pool.map(leg, rates))
    ends = [(0, "completed"), (0, "completed"), (1, "failed")]
    return [problem for one, end in zip(finished, ends, strict=True) for problem in _expect(one, *end)]


def report(play: Play) -> list[str]:
    """A run on the base branch, and one of the pull request that is judged by it."""

    def job(rate: float, branch: str) -> Finished:
        return play.job(
            "train",
            branch=branch,
            run=f"python run.py {rate}",
            machine_type="cpu",
            report=REPORT,
            pictures="branch",
            check_run="true",
            deployment="true",
        )

    finished = [job(rate, branch) for rate, branch in ((0.03, BASE), (0.3, BRANCH))]
    return [problem for one in finished for problem in _expect(one, 0, "completed")]


def _expect(finished: Finished, exit_code: int, status: str | None) -> list[str]:
    """What of an end is not as it must be; `status` None: whatever the run's status is."""
    told = finished.outputs.get("status")
    problems = []
    if (finished.exit_code, finished.post_exit_code) != (exit_code, 0):
        problems.append(f"Main ended with {finished.exit_code}, not {exit_code}; post with {finished.post_exit_code}")
    if status and told != status:
        problems.append(f"The status is {told}, not {status}")
    return problems


class _Prefixed:
    """A stream on which several jobs write their lines."""

    def __init__(self, stream: Log, prefix: str) -> None:
        self._stream = stream
        self._prefix = prefix

    def write(self, text: str, /) -> None:
        self._stream.write(self._prefix + text)

    def flush(self) -> None:
        self._stream.flush()


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="completes",
            title="the Action trains the quickstart",
            project=ROOT / "examples/quickstart",
            act=completes,
        ),
        Scenario(name="fails", title="a step raises an exception", project=training(), act=fails),
        Scenario(
            name="gpu",
            title="one step has a GPU, for as long as it takes",
            project=ROOT / "examples/gpu_step",
            act=gpu,
        ),
        Scenario(
            name="async",
            title="a job leaves while the run goes on, another one reports its end",
            project=training(seconds=0.5),
            act=leaves_and_comes_back,
        ),
        Scenario(
            name="cancel",
            title="the workflow is cancelled while a step trains",
            project=training(epochs=600, seconds=0.5),
            act=cancel,
        ),
        Scenario(name="matrix", title="three legs of a matrix share a comment", project=training(), act=matrix),
        Scenario(
            name="report",
            title="metrics, curves and visualizations beside those of main",
            project=classifying(),
            act=report,
        ),
    )
}
"""All that can be played, by name."""
