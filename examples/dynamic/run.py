"""A sweep whose size is only known while it runs: a dynamic pipeline that trains each candidate on a GPU of its own."""

import os

from zenml import pipeline, step
from zenml.enums import StepRuntime
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

ON_CPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="CPU")}
ON_GPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="T4")}


@step
def candidates() -> list[float]:
    return [0.1, 0.2]


@step(settings=ON_GPU)
def train(rate: float) -> float:
    print(f"Training at {rate} on {os.environ['LIGHTNING_ZENML_MACHINE']}")
    return 1 - rate


@step(runtime=StepRuntime.ISOLATED)
def publish(best: float) -> None:
    print(f"Best: {best}")


@pipeline(dynamic=True, enable_cache=False, settings=ON_CPU)
def sweep() -> None:
    # Side by side: `submit` doesn't wait.
    trained = [train.submit(rate) for rate in candidates().load()]
    publish(max(one.load() for one in trained))


if __name__ == "__main__":
    sweep()
