"""A training that no job waits for: it tells how far it is, and how it ended, by itself."""

import time

from zenml import log_metadata, pipeline, step

EPOCHS = 10
SECONDS = 1
"""Days, in earnest."""


@step
def load() -> list[float]:
    return [number / 10 for number in range(1, 21)]


@step
def train(numbers: list[float]) -> float:
    weight = 0.0
    for epoch in range(1, EPOCHS + 1):
        loss = sum((number * (2 - weight)) ** 2 for number in numbers) / len(numbers)
        print(f"Epoch {epoch} of {EPOCHS}: loss {loss:.4f}", flush=True)
        # At once in ZenML's dashboard, and a curve in the report.
        log_metadata({"loss": loss, "epoch": epoch})
        weight += 0.3 * sum(number**2 * (2 - weight) for number in numbers) / len(numbers)
        time.sleep(SECONDS)
    return weight


@step
def evaluate(weight: float) -> None:
    log_metadata({"error": abs(2 - weight)})


@pipeline(enable_cache=False)
def long_training() -> None:
    evaluate(train(load()))


if __name__ == "__main__":
    long_training()
