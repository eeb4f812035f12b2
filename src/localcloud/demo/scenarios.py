"""What `make demo` can play: what happens to a run, and how it must end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localcloud.demo.play import ROOT, Play
from localcloud.runner import Finished, Log

TRAINING = '''
"""A loss that falls, or doesn't: `python run.py [RATE]`."""

import sys
import time

from zenml import log_metadata, pipeline, step

@step
def load() -> list[float]:
    return [number / 10 for number in range(1, 21)]


@step
def train(numbers: list[float], rate: float) -> float:
    weight, losses = 0.0, []
    for epoch in range(1, EPOCHS + 1):
        loss = sum((number * (2 - weight)) ** 2 for number in numbers) / len(numbers)
        losses.append(loss)
        print(f"Epoch {epoch}: loss {loss:.4f}", flush=True)
        log_metadata({"loss": losses})
        if loss > 1_000:
            raise ValueError(f"the loss is {loss:.0f} after {epoch} epochs: is a rate of {rate} <too> high?")
        weight += rate * sum(number**2 * (2 - weight) for number in numbers) / len(numbers)
        time.sleep(SECONDS)
    return weight


@step
def evaluate(weight: float) -> None:
    log_metadata({"error": abs(2 - weight), "weight": weight})


@pipeline(enable_cache=False)
def training(rate: float) -> None:
    evaluate(train(load(), rate))


if __name__ == "__main__":
    training(float(sys.argv[1]) if len(sys.argv) > 1 else 0.3)
'''


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


def _training(epochs: int = 10, seconds: float = 0) -> dict[str, str]:
    return {"run.py": TRAINING.lstrip().replace("EPOCHS", str(epochs)).replace("SECONDS", str(seconds))}


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
        Scenario(name="fails", title="a step raises an exception", project=_training(), act=fails),
        Scenario(
            name="gpu",
            title="one step has a GPU, for as long as it takes",
            project=ROOT / "examples/gpu_step",
            act=gpu,
        ),
        Scenario(
            name="async",
            title="a job leaves while the run goes on, another one reports its end",
            project=_training(seconds=0.5),
            act=leaves_and_comes_back,
        ),
        Scenario(
            name="cancel",
            title="the workflow is cancelled while a step trains",
            project=_training(epochs=600, seconds=0.5),
            act=cancel,
        ),
        Scenario(name="matrix", title="three legs of a matrix share a comment", project=_training(), act=matrix),
    )
}
"""All that can be played, by name."""
