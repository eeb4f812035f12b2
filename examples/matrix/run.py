"""One training for each leg of the workflow's matrix: `python run.py --rate 0.3`."""

import argparse

from zenml import log_metadata, pipeline, step

EPOCHS = 20


@step
def load() -> list[float]:
    return [number / 10 for number in range(1, 21)]


@step
def train(numbers: list[float], rate: float) -> float:
    weight, losses = 0.0, []
    for _ in range(EPOCHS):
        losses.append(sum((number * (2 - weight)) ** 2 for number in numbers) / len(numbers))
        weight += rate * sum(number**2 * (2 - weight) for number in numbers) / len(numbers)
    # A curve in the summary of each leg.
    log_metadata({"loss": losses})
    return weight


@step
def evaluate(weight: float) -> None:
    # A column of the comment that the legs share; `report` says that less is better.
    log_metadata({"error": abs(2 - weight)})


@pipeline(enable_cache=False)
def rates(rate: float) -> None:
    evaluate(train(load(), rate))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.3)
    rates(rate=parser.parse_args().rate)
