"""The Python that the docs show, run from a laptop as their readers would."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Laptop, wait_for

DOCS = Path(__file__).parents[2] / "docs"
IN_A_PIPELINE = """
from zenml import pipeline


@pipeline(enable_cache=False)
def written():
    train()


written()
"""
GIVEN = """
from zenml import pipeline, step


@step
def report() -> None: ...


@pipeline
def nightly():
    report()
"""
"""What the page has the reader have."""


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text()
    # Between parentheses, dots stand for parameters.
    return [block.replace("(...)", "()") for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)]


@pytest.mark.parametrize("number", range(len(blocks("writing.md"))))
def test_what_the_page_on_writing_shows_runs(cloud: LightningCloud, laptop: Laptop, number: int) -> None:
    before = len(cloud.intervals)
    code = blocks("writing.md")[number]
    runs_by_itself = "__main__" in code
    (laptop.folder / "run.py").write_text(code if runs_by_itself else code + IN_A_PIPELINE)
    laptop.run(sys.executable, "run.py")
    assert laptop.last_run()["status"] == "completed"
    wait_for(lambda: not cloud.running())
    machines = {interval.machine for interval in cloud.intervals[before:]}
    assert ("L4" in machines) == ("L4" in code)


def test_what_the_page_of_the_orchestrator_shows_runs(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    before = len(cloud.pipelines)
    (laptop.folder / "run.py").write_text("\n".join([GIVEN, *blocks("orchestrator.md")]))
    laptop.run(sys.executable, "run.py")
    (schedule,) = stack.zenml.request("GET", "schedules?name=nightly&hydrate=true")["items"]
    (pipeline,) = [one for one in cloud.pipelines[before:] if one.parent is None]
    assert schedule["body"]["cron_expression"] == "0 3 * * *"
    laptop.run("zenml", "pipeline", "schedule", "delete", schedule["id"], "--yes")
    assert pipeline.deleted
