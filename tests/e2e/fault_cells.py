"""The matrix of faults: each call of a clean run x what goes wrong with it x when, and what must hold all the same."""

from __future__ import annotations

import random
import re
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcloud.chaos import Chaos, Fault, Position
from localcloud.runner import Finished, Step
from localcloud.stack import Stack
from scene import REPOSITORY, Actions, github_of, lightning_of, wait_for

RECORD = Path(__file__).with_name("recorded_calls.txt")
"""`service method route count` of each call of a clean run."""

FAULTS: Mapping[str, Fault] = {
    "401": Fault.status(401),
    "404": Fault.status(404),
    "html": Fault.html(),
    "reset-after": Fault.reset(after=True),
    "empty-object": Fault.body("{}"),
    "empty-list": Fault.body("[]"),
}

INSISTED_ON = ("github", "lightning")
"""Services of which one odd answer ends nothing. Some calls to the others are the user's own step's, which may fail."""

AFTER_THE_END = 60.0
"""Seconds until nothing may be billed any more."""

PIPELINE = """
import os, urllib.request, uuid
from zenml import pipeline, step


def witness(name):
    # Beside the proxies: how often a step really ran.
    url = f"{os.environ['WITNESS']}/{name}-{uuid.uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(url, data=b"", method="PUT"), timeout=30).close()


@step
def load() -> int:
    witness("load")
    return 20


@step
def train(number: int) -> int:
    witness("train")
    return number * 2


@pipeline(enable_cache=False)
def NAME():
    train(load())


if __name__ == "__main__":
    NAME()
"""


@dataclass(frozen=True)
class Cell:
    """One fault that one call of a run meets.

    Args:
        service: whose call it is.
        method: of HTTP.
        route: see `localcloud.chaos.route_of`.
        nth: which of the calls of this route.
        fault: key of `FAULTS`.
        position: `first`, `middle` or `last`, in the clean run.
    """

    service: str
    method: str
    route: str
    nth: int
    fault: str
    position: Position = field(compare=False)

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.route} {self.position} {self.fault}"


def recorded() -> Counter[tuple[str, str, str]]:
    """How often a clean run makes each call."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in RECORD.read_text().splitlines():
        service, method, route, count = line.split(" ")
        counts[service, method, route] = int(count)
    return counts


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for (service, method, route), count in sorted(recorded().items()):
        # Of two calls none is in the middle, of one that is the first none the last.
        positions = {position.of(count): position for position in reversed(Position)}
        for nth, position in sorted(positions.items()):
            for fault in FAULTS:
                yield Cell(service, method, route, nth, fault, position)


def some(of: Sequence[Cell], count: int, seed: str) -> list[Cell]:
    """A slice of the matrix; each service has its turn."""
    chance = random.Random(seed)
    services = sorted({cell.service for cell in of})
    chance.shuffle(services)
    return [chance.choice([cell for cell in of if cell.service == services[i % len(services)]]) for i in range(count)]


def through(proxied: Chaos, step: Step) -> Step:
    """The step with the proxies before every service that it uses."""
    inputs = {**step.inputs, "zenml-store-url": proxied.zenml.url}
    env = {**step.env, "LIGHTNING_CLOUD_URL": proxied.lightning.url}
    return replace(step, inputs=inputs, env=env, api_url=proxied.github.url)


@dataclass
class Run:
    """A sync run of a trivial pipeline through proxies, and all that is known of how it went.

    Args:
        proxied: the proxies.
        actions: makes the step.
    """

    stack: Stack
    proxied: Chaos
    actions: Actions
    name: str = field(default_factory=lambda: f"p{uuid.uuid4().hex[:12]}")

    def go(self) -> Finished:
        """Runs it to its end."""
        self._studios_before = len(lightning_of(self.stack).studios)
        files = {"run.py": PIPELINE.replace("NAME", self.name)}
        step = self.actions.step(files, env=f"WITNESS={self.stack.s3_url}/zenml/{self.name}")
        self.finished = through(self.proxied, step).run()
        return self.finished

    def wrong(self, *, completes: bool = True) -> list[str]:
        """What does not hold; a minute is given to what may still be ending.

        Args:
            completes: whatever happened on the way, the run must have completed.
        """
        return [*self._left(), *self._doubled(), *self._mistold(), *(self._ended() if completes else ())]

    def runs(self) -> list[dict[str, Any]]:
        """ZenML's runs."""
        found: list[dict[str, Any]] = self.stack.zenml.request("GET", f"runs?pipeline_name={self.name}")["items"]
        return found

    def _left(self) -> Iterator[str]:
        cloud = lightning_of(self.stack)
        mine = cloud.studios[self._studios_before :]
        try:
            wait_for(lambda: not cloud.running() and all(studio.deleted for studio in mine), AFTER_THE_END)
        except AssertionError:
            if left := cloud.running():
                yield f"still billed: {left}"
            if undeleted := [studio.name for studio in mine if not studio.deleted]:
                yield f"not deleted: {undeleted}"
            cloud.delete_everything()

    def _doubled(self) -> Iterator[str]:
        studios = lightning_of(self.stack).studios[self._studios_before :]
        comments = github_of(self.stack).comments(REPOSITORY, self.actions.number)
        for what, count in (("studios", len(studios)), ("comments", len(comments)), ("runs", len(self.runs()))):
            if count > 1:
                yield f"{count} {what}"
        for step, times in self._executions().items():
            if times > 1:
                yield f"{step} ran {times} times"

    def _executions(self) -> Counter[str]:
        url = f"{self.stack.s3_url}/zenml?list-type=2&prefix={self.name}/"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return Counter(re.findall(rf"<Key>{self.name}/(\w+)-", answer.read().decode()))

    def _ended(self) -> Iterator[str]:
        if not self.runs():
            yield "one odd answer ended the launch before it had a run"
        elif (status := self.runs()[0]["body"]["status"]) != "completed":
            yield f"one odd answer ended the run: {status}"

    def _mistold(self) -> Iterator[str]:
        comments = [comment.body for comment in github_of(self.stack).comments(REPOSITORY, self.actions.number)]
        truth = self.runs()[0]["body"]["status"] if self.runs() else "failed"
        exit_code, status = self.finished.exit_code, self.finished.outputs.get("status")
        if truth not in ("completed", "failed", "stopped"):
            yield f"ZenML has the run {truth} for ever"
        if (exit_code == 0) != (truth == "completed"):
            yield f"exit code {exit_code}, and ZenML says {truth if self.runs() else 'nothing: there is no run'}"
        if status != truth:
            yield f"output status is {status}, and ZenML says {truth}"
        if self.finished.post_exit_code != 0:
            yield f"post ended with {self.finished.post_exit_code}"
        if not comments:
            yield "no comment"
        elif truth not in comments[0].lower():
            yield f"comment doesn't say {truth}: {comments[0][:120]!r}"
        if "A fault of this action" in self.finished.log:
            yield "a bug of the Action in the log"
