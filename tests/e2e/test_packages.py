"""Packages: started by `python -m` with imports by a leading dot and no `zenml init`, or with a version from git."""

from __future__ import annotations

import os
import sys
import uuid

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
from scene import Actions, Laptop

PROJECT = """
[project]
name = "trainer"
version = "1"

[project.scripts]
start-training = "trainer.__main__:main"

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
"""
FROM_GIT = {
    "setuptools-scm": """
[build-system]
requires = ["setuptools", "setuptools-scm>=8"]
build-backend = "setuptools.build_meta"

[project]
name = "trainer"
dynamic = ["version"]

[tool.setuptools_scm]
""",
    "hatch-vcs": """
[build-system]
requires = ["hatchling", "hatch-vcs"]
build-backend = "hatchling.build"

[project]
name = "trainer"
dynamic = ["version"]

[tool.hatch.version]
source = "vcs"
""",
}
MAIN = """
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

from .data import load
from .numbers import FACTOR


@step(settings={"orchestrator.lightning": LightningOrchestratorSettings(machine_type="MACHINE")})
def train(number: int) -> int:
    print("made", number * FACTOR)
    return number * FACTOR


@pipeline(enable_cache=False)
def NAME():
    train(load())


def main() -> None:
    NAME()


if __name__ == "__main__":
    main()
"""
DATA = """
from zenml import step

from .numbers import FACTOR


@step
def load() -> int:
    return FACTOR
"""


def package(folder: str = "", machine: str = "cpu") -> dict[str, str]:
    name = f"packaged_{uuid.uuid4().hex[:8]}"
    return {
        f"{folder}trainer/__init__.py": "",
        f"{folder}trainer/__main__.py": MAIN.replace("NAME", name).replace("MACHINE", machine),
        f"{folder}trainer/data.py": DATA,
        f"{folder}trainer/numbers.py": "FACTOR = 7\n",
        "pyproject.toml": PROJECT,
    }


def test_its_steps_import_as_it_does_on_machines_of_their_own_too(cloud: LightningCloud, actions: Actions) -> None:
    finished = actions.step(package(machine="T4"), machine_type="CPU", run="python -m trainer").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "[train] made 49" in finished.log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "run", "commands"),
    [
        ("src/", "PYTHONPATH=src python -m trainer", ""),
        ("src/", "python -m trainer", "pip install -e ."),
        ("src/", "python -m trainer", "pip install ."),
        ("src/", "start-training", "pip install -e ."),
        ("src/", "start-training", "pip install ."),
        ("", "python -m cProfile -o /tmp/profile train.py", ""),
    ],
)
def test_so_do_those_of_an_installed_one(
    cloud: LightningCloud, actions: Actions, folder: str, run: str, commands: str
) -> None:
    files = {**package(folder), "train.py": "from trainer.__main__ import main\n\nmain()\n"}
    finished = actions.step(files, run=run, commands=commands).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "[train] made 49" in finished.log


@pytest.mark.slow
@pytest.mark.parametrize("project", FROM_GIT.values(), ids=FROM_GIT)
def test_one_that_takes_its_version_from_git_is_installed(
    cloud: LightningCloud, actions: Actions, project: str
) -> None:
    files = {**package("src/"), "pyproject.toml": project}
    finished = actions.step(files, run="python -m trainer", commands="pip install -e .").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log


@pytest.mark.slow
def test_so_do_those_that_a_runner_submits(cloud: LightningCloud, actions: Actions) -> None:
    variables = {"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))}
    step = actions.step(package(), submit_from="runner", run="python -m trainer", variables=variables)
    finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "[train] made 49" in finished.log


@pytest.mark.parametrize("by", ["a leading dot", "name"])
def test_on_a_laptop_it_is_refused_until_zenml_knows_the_root(cloud: LightningCloud, laptop: Laptop, by: str) -> None:
    for path, text in package().items():
        (laptop.folder / path).parent.mkdir(exist_ok=True)
        (laptop.folder / path).write_text(text if by == "a leading dot" else text.replace("from .", "from trainer."))
    before = len(cloud.studios)
    refused = laptop.run(sys.executable, "-m", "trainer", check=False)
    assert refused.returncode != 0
    what = f"`trainer`, which lies in {laptop.folder}" if by == "name" else "by a leading dot"
    assert f"imports {what}. Steps can't" in refused.stderr
    assert f"Run `zenml init` in {laptop.folder}, then `zenml stack set`" in refused.stderr
    assert "LZ-2010" in refused.stderr
    assert len(cloud.studios) == before
    laptop.run("zenml", "init")
    (laptop.folder / "train.py").write_text("from trainer.__main__ import main\n\nmain()\n")
    by_another = ["cProfile", "-o", os.devnull, "train.py"]
    laptop.run(sys.executable, "-m", *(by_another if by == "name" else ["trainer"]))
    assert laptop.last_run()["status"] == "completed"
