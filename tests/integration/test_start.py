"""Steps start in the folder where their pipeline was started, and import what its program could."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zenml.config.source import Source, SourceType

from in_place import Studio
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.zenml_api.models import START
from localcloud.stack import Stack

PROJECT = """
import sys

# SALT
sys.path.append("../shared")

from zenml import pipeline, step
from zenml.steps import CommandStep
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

from tell import tell

APART = {"orchestrator": LightningOrchestratorSettings(environment={"APART": "yes"})}
COMMANDED = {"orchestrator": LightningOrchestratorSettings(custom_commands=["pwd > $TEST_FOLDER/commands"])}


def hook() -> None:
    tell("hook")


@step(enable_cache=False, on_success=hook)
def plain() -> None:
    tell("plain")


@step(enable_cache=False, settings=COMMANDED)
def commanded() -> None:
    tell("commanded")


@step(enable_cache=False, settings=APART)
def apart() -> None:
    tell("apart")


@pipeline
def static():
    plain()
    commanded()


@pipeline(dynamic=True)
def dynamic():
    tell("function")
    plain()
    apart()
    CommandStep(name="command", command=["bash", "-c", "pwd > $TEST_FOLDER/command"])()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""
TELL = """
import os
from pathlib import Path


def tell(name: str) -> None:
    import beside  # noqa: F401 - of the script's folder, which `beside.py` in the root must not hide

    assert beside.WHERE == "phase2"
    assert Path("data/rows.csv").exists()
    (Path(os.environ["TEST_FOLDER"]) / name).write_text(os.getcwd())
"""


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    """A repository whose pipeline lies in a folder of its own and imports from another one."""
    studio = Studio(zenml_stack, tmp_path, "")
    (studio.code / ".zen").mkdir()
    studio.folder = studio.code / "phase2"
    files = {
        "beside.py": "WHERE = 'root'",
        "shared/tell.py": TELL,
        "phase2/beside.py": "WHERE = 'phase2'",
        "phase2/data/rows.csv": "",
        "phase2/run.py": PROJECT.replace("SALT", tmp_path.name),
    }
    for name, text in files.items():
        path = studio.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return studio


def told(studio: Studio) -> dict[str, str]:
    return {path.name: str(Path(path.read_text().strip()).relative_to(studio.code)) for path in studio.facts.iterdir()}


def test_steps_and_hooks_start_where_the_script_did_and_commands_in_the_root(studio: Studio) -> None:
    code, log = studio.run("run.py", "static")

    assert code == 0, log
    assert told(studio) == {"plain": "phase2", "hook": "phase2", "commanded": "phase2", "commands": "."}


def test_so_do_all_steps_of_a_dynamic_pipeline(studio: Studio) -> None:
    code, log = studio.run("run.py", "dynamic")

    assert code == 0, log
    assert told(studio) == dict.fromkeys(("function", "plain", "hook", "apart", "command"), "phase2")


@pytest.mark.parametrize("pipeline", ["static", pytest.param("dynamic", marks=pytest.mark.slow)])
def test_a_launched_controller_is_told_where_and_one_that_is_restarted_too(studio: Studio, pipeline: str) -> None:
    snapshot, run, variables = studio.prepare(pipeline)
    start = Start(folder="phase2", paths=("phase2", "shared", "gone"))
    program = ("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run)
    studio.folder = studio.code

    code, log = studio.run(*program, "--start", str(start), **variables, LIGHTNING_ZENML_RESTARTED="1")

    assert code == 0, log
    assert set(told(studio).values()) - {"."} == {"phase2"}


class TestHere:
    @pytest.fixture
    def packed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        packed = tmp_path / "repository"
        for folder in ("training/data", ".venv/lib/python3/site-packages"):
            (packed / folder).mkdir(parents=True)
        monkeypatch.setattr("sys.prefix", str(packed / ".venv"))
        monkeypatch.setattr("sys.path", ["/usr/lib/python3", str(packed / ".venv/lib/python3/site-packages")])
        return packed

    def test_relative_to_the_source_root(self, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(packed / "training/data")
        # Not `syspath_prepend`: undone last, it would leave the list of `packed` behind for all tests that follow.
        monkeypatch.setattr("sys.path", [str(packed), *sys.path])
        assert Start.here(packed / "training", packed) == Start(folder="data", paths=("..",))

    def test_through_a_link(self, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "link").symlink_to(packed)
        monkeypatch.chdir(tmp_path / "link/training")
        assert Start.here(tmp_path / "link", packed).folder == "training"

    def test_elsewhere_stands_for_the_source_root(
        self, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert Start.here(packed / "training", packed) == Start()

    def test_a_folder_that_did_not_travel(self, packed: Path) -> None:
        assert Start(folder="outputs").directory(packed) == packed

    def test_a_run_remembers_it(self) -> None:
        start = Start(folder="../x", paths=("a b", "ü"))
        assert Start.parse(str(start)) == start
        assert Start.find(start.variables()) == start
        assert Start.from_json(json.loads(str(start))) == start

    def test_a_run_is_resumed_where_its_code_is(self, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def source(module: str, kind: SourceType = SourceType.USER) -> Source:
            return Source(module=module, attribute="it", type=kind)

        pipeline, step = source("training.run"), source("training.steps.load")
        other = source("of.somebody", SourceType.DISTRIBUTION_PACKAGE)
        steps = {name: SimpleNamespace(spec=SimpleNamespace(source=one)) for name, one in (("a", step), ("b", other))}
        snapshot: Any = SimpleNamespace(pipeline_spec=SimpleNamespace(source=pipeline), step_configurations=steps)
        monkeypatch.chdir(packed)
        started = Start(folder="training")
        run: Any = SimpleNamespace(run_metadata={START: started.to_json()})
        for there in ("training/run.py", "training/steps/load/__init__.py"):
            with pytest.raises(
                LaunchError, match=r"there is no module `training\.(run|steps\.load)`.* Nothing was started"
            ):
                Start.of(snapshot, run, packed, packed)
            (packed / there).parent.mkdir(parents=True, exist_ok=True)
            (packed / there).touch()
        assert Start.of(snapshot, run, packed, packed) == started
        fresh: Any = SimpleNamespace(run_metadata={})
        assert Start.of(snapshot, fresh, packed / "training", packed).folder == ".."
