"""Trains on a GPU that is paid for while the step uses it: the other steps run in a CPU studio.

`python run.py` waits for the run, `python run.py --async` leaves as soon as it has started.
"""

import os
import sys
from typing import Annotated

from zenml import log_metadata, pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

ON_CPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="CPU", async_mode="--async" in sys.argv)}
ON_GPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="T4")}


@step
def load() -> Annotated[list[float], "numbers"]:
    return [float(number) for number in range(100)]


@step(settings=ON_GPU)
def train(numbers: list[float]) -> Annotated[float, "model"]:
    print(f"Training on {os.environ['LIGHTNING_ZENML_MACHINE']}")
    # Where your `model.to("cuda")` would be.
    return sum(numbers) / len(numbers)


@step
def evaluate(numbers: list[float], model: float) -> None:
    error = sum(abs(number - model) for number in numbers) / len(numbers)
    log_metadata({"error": error})
    print(f"Error: {error}")


@pipeline(enable_cache=False, settings=ON_CPU)
def gpu_step() -> None:
    numbers = load()
    evaluate(numbers, train(numbers))


if __name__ == "__main__":
    gpu_step()
