"""A run of one of several shapes through proxies, and what must hold of it, whatever its calls meet."""

from __future__ import annotations

import re
import signal
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from localcloud.chaos import Chaos
from localcloud.runner import Finished, Step
from localcloud.stack import Stack
from scene import REPOSITORY, Actions, github_of, lightning_of, wait_for

AFTER_THE_END = 60.0
"""Seconds until nothing may be billed any more."""

_BEGUN = "training now"
_PIPELINE = """
import os, time, urllib.request, uuid
from zenml import pipeline, step


def witness(name):
    # Beside the proxies: how often a step really ran.
    url = f"{os.environ['WITNESS']}/{name}-{uuid.uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(url, data=b"", method="PUT"), timeout=300).close()


@step
def load() -> int:
    witness("load")
    return 20


@step(settings={"orchestrator.lightning": SETTINGS})
def train(number: int) -> int:
    witness("train")
    print("BEGUN", flush=True)
    time.sleep(SECONDS)
    return number * 2


@pipeline(enable_cache=False)
def NAME():
    train(load())


if __name__ == "__main__":
    NAME()
"""


class Shape(StrEnum):
    """How a run is made.

    Attributes:
        SYNC: followed to its end, in a fresh studio.
        ASYNC: left when it has begun; a second step attaches to it.
        NAMED: in a studio that has a name, and is stopped at the end.
        JOB: one of its steps has a machine of its own.
        CANCELLED: the workflow is cancelled in its last step.
    """

    SYNC = "sync"
    ASYNC = "async"
    NAMED = "named"
    JOB = "job"
    CANCELLED = "cancelled"


@dataclass
class Run:
    """A run of a trivial pipeline through proxies, and all that is known of how it went.

    Args:
        proxied: the proxies.
        actions: makes the step.
        shape: how it is made.
    """

    stack: Stack
    proxied: Chaos
    actions: Actions
    shape: Shape = Shape.SYNC
    name: str = field(default_factory=lambda: f"matrix_{uuid.uuid4().hex[:12]}")

    def go(self) -> Finished:
        """Runs it to its end."""
        cloud = lightning_of(self.stack)
        self._studios_before, self._jobs_before = len(cloud.studios), len(cloud.jobs)
        step = self._through_proxies(self.actions.step({"run.py": self._pipeline()}, **self._inputs()))
        self._left_running: Finished | None = None
        self.finished = step.run(interrupt=self._interrupt)
        if self.shape is Shape.ASYNC and (launch_id := self.finished.outputs.get("launch-id")):
            self._left_running = self.finished
            inputs = {name: value for name, value in step.inputs.items() if name not in ("run", "async")}
            later = replace(step, root=step.root.with_name("later"), inputs={**inputs, "attach": launch_id})
            self.finished = later.run()
        return self.finished

    def wrong(self, *, completes: bool = True) -> list[str]:
        """What does not hold; a minute is given to what may still be ending.

        Args:
            completes: whatever happened on the way, the run must have completed, unless it was cancelled.
        """
        ended = self._ended() if completes and self.shape is not Shape.CANCELLED else ()
        return [*self._left(), *self._doubled(), *self._mistold(), *ended]

    def runs(self) -> list[dict[str, Any]]:
        """ZenML's runs."""
        found: list[dict[str, Any]] = self.stack.zenml.request("GET", f"runs?pipeline_name={self.name}")["items"]
        return found

    def _pipeline(self) -> str:
        settings = "{'machine_type': 'T4'}" if self.shape is Shape.JOB else "{}"
        seconds = "90" if self.shape is Shape.CANCELLED else "0"
        replacements = {"NAME": self.name, "SETTINGS": settings, "SECONDS": seconds, "BEGUN": _BEGUN}
        return re.sub(r"\b(NAME|SETTINGS|SECONDS|BEGUN)\b", lambda found: replacements[found[1]], _PIPELINE)

    def _inputs(self) -> dict[str, str]:
        of_shape = {
            Shape.ASYNC: {"async": "true"},
            Shape.NAMED: {"studio_name": self.name.replace("_", "-")},
            Shape.JOB: {"machine_type": "CPU"},
        }
        return {"env": f"WITNESS={self.stack.s3_url}/zenml/{self.name}", **of_shape.get(self.shape, {})}

    def _interrupt(self, line: str) -> signal.Signals | None:
        return signal.SIGINT if self.shape is Shape.CANCELLED and _BEGUN in line else None

    def _through_proxies(self, step: Step) -> Step:
        inputs = {**step.inputs, "zenml-store-url": self.proxied.zenml.url}
        env = {**step.env, "LIGHTNING_CLOUD_URL": self.proxied.lightning.url}
        return replace(step, inputs=inputs, env=env, api_url=self.proxied.github.url)

    def _left(self) -> Iterator[str]:
        cloud = lightning_of(self.stack)
        mine = cloud.studios[self._studios_before :] if self.shape is not Shape.NAMED else []
        try:
            wait_for(lambda: not cloud.running() and all(studio.deleted for studio in mine), AFTER_THE_END)
        except AssertionError:
            if left := cloud.running():
                yield f"still billed: {left}"
            if undeleted := [studio.name for studio in mine if not studio.deleted]:
                yield f"not deleted: {undeleted}"
            cloud.delete_everything()

    def _doubled(self) -> Iterator[str]:
        cloud = lightning_of(self.stack)
        made: dict[str, Sequence[object]] = {
            "studios": [studio.name for studio in cloud.studios[self._studios_before :]],
            "jobs": [f"{job.name} ({job.state})" for job in cloud.jobs[self._jobs_before :]],
            "comments": [
                comment.body[:120] for comment in github_of(self.stack).comments(REPOSITORY, self.actions.number)
            ],
            "runs": [run["id"] for run in self.runs()],
        }
        for what, ones in made.items():
            # One takes the snapshot that the other one's machine starts from.
            if len(ones) > (2 if what == "jobs" else 1):
                yield f"{len(ones)} {what}: {ones}"
        for step, times in self._executions().items():
            if times > 1:
                yield f"{step} ran {times} times"

    def _executions(self) -> Counter[str]:
        url = f"{self.stack.s3_url}/zenml?list-type=2&prefix={self.name}/"
        with urllib.request.urlopen(url, timeout=300) as answer:
            return Counter(re.findall(rf"<Key>{self.name}/(\w+)-", answer.read().decode()))

    def _ended(self) -> Iterator[str]:
        if not self.runs():
            yield "one odd answer ended the launch before it had a run"
        elif (status := self.runs()[0]["body"]["status"]) != "completed":
            yield f"one odd answer ended the run: {status}"
        if self._left_running and self._left_running.exit_code != 0:
            yield f"the step that was to leave the run ended with {self._left_running.exit_code}"

    def _mistold(self) -> Iterator[str]:
        truth = self.runs()[0]["body"]["status"] if self.runs() else "failed"
        if truth not in ("completed", "failed", "stopped"):
            yield f"ZenML has the run {truth} for ever"
        exit_code, status = self.finished.exit_code, self.finished.outputs.get("status")
        if exit_code == 128 + signal.SIGINT:
            truth = "cancelled"
        elif (exit_code == 0) != (truth == "completed"):
            yield f"exit code {exit_code}, and ZenML says {truth if self.runs() else 'nothing: there is no run'}"
        elif status != truth:
            yield f"output status is {status}, and ZenML says {truth}"
        if self.finished.post_exit_code != 0:
            yield f"post ended with {self.finished.post_exit_code}"
        comments = [comment.body for comment in github_of(self.stack).comments(REPOSITORY, self.actions.number)]
        if not comments:
            yield "no comment"
        elif truth not in comments[0].lower():
            yield f"comment doesn't say {truth}: {comments[0][:120]!r}"
        if "A fault of this action" in self.finished.log:
            yield "a bug of the Action in the log"
