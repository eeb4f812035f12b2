"""Repositories that the scenarios run, where no example of examples/ shows what they do."""

from __future__ import annotations

_TRAINING = '''
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

_CLASSIFYING = '''
"""Cats and dogs by weight and size, both standardized: `python run.py [RATE]`."""

import math
import os
import random
import struct
import sys
import zlib
from typing import Annotated

from zenml import log_metadata, pipeline, step
from zenml.enums import VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.types import CSVString, HTMLString, MarkdownString

NAMES = ("cat", "dog")
Example = tuple[float, float, int]
Model = tuple[float, float, float]


class Picture:
    """Pixels, a line of RGB triples each."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines


class PictureMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Picture,)

    def save(self, data: Picture) -> None:
        with self.artifact_store.open(os.path.join(self.uri, "picture.png"), "wb") as file:
            file.write(png(data.lines))

    def load(self, data_type: type) -> Picture:
        raise NotImplementedError

    def save_visualizations(self, data: Picture) -> dict[str, VisualizationType]:
        return {os.path.join(self.uri, "picture.png"): VisualizationType.IMAGE}


def png(lines: list[bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", len(lines[0]) // 3, len(lines), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\\0" + line for line in lines))
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def is_dog(model: Model, x: float, y: float) -> float:
    a, b, c = model
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, a * x + b * y + c))))


def loss_of(model: Model, examples: list[Example]) -> float:
    chances = [is_dog(model, x, y) if dog else 1 - is_dog(model, x, y) for x, y, dog in examples]
    return -sum(math.log(max(chance, 1e-9)) for chance in chances) / len(chances)


@step
def load() -> tuple[Annotated[list, "examples"], Annotated[list, "held_out"]]:
    chance = random.Random(7)
    made = [(chance.gauss(2 * dog - 1, 1), chance.gauss(dog - 0.5, 1), dog) for dog in (0, 1) for _ in range(150)]
    chance.shuffle(made)
    return made[:200], made[200:]


@step
def train(examples: list, held_out: list, rate: float) -> Annotated[list, "model"]:
    model = (0.0, 0.0, 0.0)
    for epoch in range(1, 61):
        slopes = [0.0, 0.0, 0.0]
        for x, y, dog in examples:
            for place, value in enumerate((x, y, 1.0)):
                slopes[place] += (is_dog(model, x, y) - dog) * value / len(examples)
        model = tuple(weight - rate * slope for weight, slope in zip(model, slopes))
        losses = {"train_loss": loss_of(model, examples), "val_loss": loss_of(model, held_out)}
        print(f"Epoch {epoch}: {losses}", flush=True)
        log_metadata({**losses, "epoch": epoch})
    return list(model)


@step(output_materializers={"boundary": PictureMaterializer})
def evaluate(model: list, held_out: list) -> tuple[
    Annotated[CSVString, "confusion"], Annotated[MarkdownString, "notes"], Annotated[Picture, "boundary"],
    Annotated[HTMLString, "mistakes"],
]:
    told = [(dog, int(is_dog(model, x, y) > 0.5)) for x, y, dog in held_out]
    log_metadata({"accuracy": sum(dog == said for dog, said in told) / len(told)})
    rows = [f"{name},{told.count((dog, 0))},{told.count((dog, 1))}" for dog, name in enumerate(NAMES)]
    wrong = [one for one, (dog, said) in zip(held_out, told) if dog != said]
    listed = "".join(f"<li>{NAMES[dog]}, {x:+.1f} SD heavy, {y:+.1f} SD tall</li>" for x, y, dog in wrong)
    return (
        CSVString("\\n".join(["actual,told cat,told dog", *rows])),
        MarkdownString(f"**{len(wrong)} of {len(told)}** held-out animals are told wrong, most of them *small dogs*."),
        Picture(drawn(model, held_out)),
        HTMLString(f"<ul>{listed}</ul>"),
    )


def drawn(model: list, held_out: list, width: int = 360, height: int = 240) -> list[bytes]:
    lines = [bytearray() for _ in range(height)]
    for row, line in enumerate(lines):
        for column in range(width):
            dog = is_dog(model, 8 * column / width - 4, 4 - 8 * row / height)
            line += bytes((int(255 - 90 * dog), int(200 + 20 * dog), int(150 + 95 * dog)))
    for x, y, dog in held_out:
        column, row = int((x + 4) / 8 * width), int((4 - y) / 8 * height)
        for up in range(max(row - 2, 0), min(row + 3, height)):
            for across in range(max(column - 2, 0), min(column + 3, width)):
                lines[up][3 * across : 3 * across + 3] = bytes((20, 60, 160) if dog else (190, 80, 0))
    return [bytes(line) for line in lines]


@pipeline(enable_cache=False)
def classifying(rate: float) -> None:
    examples, held_out = load()
    evaluate(train(examples, held_out, rate), held_out)


if __name__ == "__main__":
    classifying(float(sys.argv[1]) if len(sys.argv) > 1 else 0.3)
'''


def training(epochs: int = 10, seconds: float = 0) -> dict[str, str]:
    """A training whose rate decides whether it ends well.

    Args:
        epochs: number of them.
        seconds: that each takes at least.

    Returns:
        The repository's files by name.
    """
    return {"run.py": _TRAINING.lstrip().replace("EPOCHS", str(epochs)).replace("SECONDS", str(seconds))}


def classifying() -> dict[str, str]:
    """A training with curves, metrics and visualizations of each kind.

    Returns:
        The repository's files by name.
    """
    return {"run.py": _CLASSIFYING.lstrip()}
