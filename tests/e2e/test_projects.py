"""Projects as people write them, each run whole through the Action's entrypoint; docs/projects.md names them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
from localcloud.service import free_port
from localcloud.stack import Stack
from scene import TINY, Actions, Laptop, wait_for

PIPELINE = TINY.replace("ARGUMENT", "None")
CLICK = (
    PIPELINE.replace("import sys\n", "import sys\nimport click\n").partition("if __name__")[0]
    + """
@click.command()
@click.option("--word", required=True)
def main(word: str) -> None:
    tiny()
    print("said", word)


if __name__ == "__main__":
    main()
"""
)
MONOREPO = """
from pathlib import Path

from zenml import pipeline, step

from gemeinsam.zahlen import ZAHL


@step
def größe_laden() -> int:
    return len(Path("data/größen.csv").read_text().split()) + ZAHL


@step
def учить(größe: int) -> None:
    print("gelernt", größe)


@pipeline(enable_cache=False)
def modell_für_größen():
    учить(größe_laden())


if __name__ == "__main__":
    modell_für_größen()
"""
SRC_PROJECT = """
[project]
name = "vision"
version = "1"
dependencies = ["iniconfig"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
"""
ELSEWHERE = """
enable_cache: false
settings:
  orchestrator.kubernetes:
    timeout: 60
  orchestrator.vertex:
    node_selector_constraint: [cloud.google.com/gke-accelerator, NVIDIA_TESLA_T4]
"""
LIBRARY = """
[project]
name = "ours"
version = "1"
dependencies = ["iniconfig"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
"""
OF_A_LIBRARY = """
[project]
name = "model"
version = "1"
dependencies = ["ours"]

[tool.uv.sources]
ours = {path = "lib"}
"""
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [{"output_type": "display_data", "data": {"image/png": "A" * 100_000}, "metadata": {}}],
            "source": ["%matplotlib inline\n", "!pip install nothing"],
        }
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
MODEL = """
from pathlib import Path

import ours
from helper import HELP
from zenml import Model, get_step_context, log_metadata, pipeline, step
from zenml.client import Client


@step
def train() -> int:
    log_metadata({"accuracy": 0.91}, infer_model=True)
    return len(Path("data/rows.csv").read_text().split())


@step
def promote(rows: int) -> None:
    get_step_context().model.set_stage("production", force=True)
    print("promoted on", rows, "rows with", ours.NAME, HELP)


@pipeline(enable_cache=False, model=Model(name="iris"))
def training():
    promote(train())


if __name__ == "__main__":
    training()
    print("in production:", Client().get_model_version("iris", "production").number)
"""
DOCKER = PIPELINE.replace(
    "@pipeline(enable_cache=False)",
    """
docker = DockerSettings(
    parent_image="pytorch/pytorch",
    requirements=["iniconfig"],
    required_integrations=["slack"],
    apt_packages=["git"],
)


@pipeline(enable_cache=False, settings={"docker": docker})""",
).replace("from zenml", "from zenml.config import DockerSettings\nfrom zenml", 1)
TRACKED = PIPELINE.replace("@step\ndef train", '@step(experiment_tracker="tracker")\ndef train')
MLFLOW_METRICS = """
    mlflow.log_metric("accuracy", 0.93)
    for epoch, loss in enumerate([0.9, 0.4, 0.1, 0.2]):
        mlflow.log_metric("loss", loss, step=10 * epoch)
        if epoch:
            mlflow.log_metric("noise", epoch - 1)
"""
OWN_TRACKER = """
from zenml.experiment_trackers import BaseExperimentTracker
from zenml.experiment_trackers.base_experiment_tracker import BaseExperimentTrackerConfig, BaseExperimentTrackerFlavor


class OurTracker(BaseExperimentTracker):
    def prepare_step_run(self, info):
        print("tracking by", self.name)


class OurFlavor(BaseExperimentTrackerFlavor):
    name = "ours"
    config_class = BaseExperimentTrackerConfig
    implementation_class = OurTracker
"""


def stack_with_tracker(stack: Stack, name: str, flavor: str, configuration: dict[str, str]) -> str:
    """Registers the stack again, with an experiment tracker `tracker` of that flavor; returns its name."""
    ask = stack.zenml.request
    for tracker in ask("GET", "components?name=tracker")["items"]:
        ask("PUT", f"components/{tracker['id']}", {"name": f"tracker_{tracker['id'][:8]}"})
    about = {"name": "tracker", "type": "experiment_tracker", "flavor": flavor, "configuration": configuration}
    tracker = ask("POST", "components", about)
    there = ask("GET", f"stacks/{stack.id}?hydrate=true")["metadata"]["components"]
    components = {kind: [one["id"] for one in several] for kind, several in there.items()}
    ask("POST", "stacks", {"name": name, "components": {**components, "experiment_tracker": [tracker["id"]]}})
    return name


@pytest.fixture
def mlflow(cloud: LightningCloud, tmp_path: Path) -> Iterator[str]:
    """URL of an MLflow server."""
    run = [sys.executable, "-m", "uv", "tool", "run", "--cache-dir", str(uv_cache(cloud.knobs.cache_dir))]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = ["mlflow", "server", "--workers=1", f"--port={port}", f"--backend-store-uri=sqlite:///{tmp_path}/mlflow.db"]

    def is_there() -> bool:
        with suppress(OSError), urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    with (tmp_path / "mlflow.log").open("w") as log:
        server = subprocess.Popen(
            [*run, "--from", "mlflow>=2.1.1,<4", *serve],
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(is_there, 300)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def as_on_windows(text: str) -> str:
    return text.replace("\n", "\r\n")


@pytest.mark.slow
def test_three_folders_down_in_a_monorepo_with_windows_line_ends_and_unicode_names(
    cloud: LightningCloud, actions: Actions, laptop: Laptop
) -> None:
    files = {
        ".zen/config.yaml": "{}\n",
        "services/größen/training/run.py": MONOREPO,
        "services/größen/training/data/größen.csv": "1\n2\n3\n",
        "services/größen/training/gemeinsam/zahlen.py": "ZAHL = 4\n",
        "services/größen/training/need all.txt": "# nothing yet\n\n",
    }
    finished = actions.step(
        {name: as_on_windows(text) for name, text in files.items()},
        studio_name="warm",
        run="if true; then\r\n  python run.py\r\nfi\r\n",
        working_directory="services/größen/training",
        requirements="services/größen/training/need all.txt",
        commands="echo one\r\necho two\r\n",
    ).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "gelernt 7" in finished.log
    assert "::group::Step größe_laden" in finished.log
    # Underscores are escaped there.
    assert "für" in actions.comment()


def test_a_script_in_a_folder_with_private_packages_and_notebooks_that_promotes_a_model(
    cloud: LightningCloud, actions: Actions
) -> None:
    """`zenml init` was run nowhere; requirements are written as only pip reads them."""
    files = {
        "training/run.py": MODEL,
        "training/helper.py": "HELP = 'helped'\n",
        "training/explore.ipynb": json.dumps(NOTEBOOK),
        "data/rows.csv": "1\n2\n",
        "requirements.txt": '-e "./private lib"\n-rrequirements/base.txt\n',
        "requirements/base.txt": "six\\\n==1.17.0\n",
        "private lib/pyproject.toml": LIBRARY,
        "private lib/src/ours/__init__.py": "import iniconfig\nNAME = 'ours'\n",
    }
    finished = actions.step(
        files, studio_name="of-pip", requirements="requirements.txt", run="python training/run.py"
    ).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "[promote] promoted on 2 rows with ours helped" in finished.log
    assert "in production: 1" in finished.log
    comment = actions.comment()
    assert "| <code>accuracy</code> | model iris | 0.91 |" in comment
    # What we note on a run ourselves is no result of it.
    assert comment.count("| 1 |") == comment.count("lightning&#95;start") == 0


@pytest.mark.slow
def test_a_path_dependency_of_the_project_file(cloud: LightningCloud, actions: Actions) -> None:
    files = {
        "pyproject.toml": OF_A_LIBRARY,
        "lib/pyproject.toml": LIBRARY,
        "lib/src/ours/__init__.py": "import iniconfig\n",
        "run.py": PIPELINE.replace("import sys\n", "import sys\nimport ours\n"),
    }
    step = actions.step(files, studio_name="warm", requirements="pyproject.toml")
    finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log


@pytest.mark.slow
def test_docker_settings_bring_requirements_and_integrations(cloud: LightningCloud, actions: Actions) -> None:
    loading = DOCKER.replace('print("loading")', 'import iniconfig, slack_sdk\n    print("loading")')
    finished = actions.step({"run.py": loading}, studio_name="warm").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log


def test_docker_settings_that_cannot_be_met_are_told_in_words(cloud: LightningCloud, actions: Actions) -> None:
    wrong = DOCKER.replace('"slack"', '"slak"')
    finished = actions.step({"run.py": wrong}, studio_name="warm").run()
    assert finished.exit_code == 1
    (told,) = [text for level, text in finished.annotations if level == "error"]
    assert told == (
        "The run failed with exit code 1: python run.py: The pipeline's DockerSettings can't be met "
        "(`required_integrations`): ZenML has no integration `slak`; did you mean `slack`?"
    )
    assert finished.codes == ["LZ-2008"]
    assert "Traceback" not in finished.log


@pytest.mark.slow
def test_mlflow_as_experiment_tracker(cloud: LightningCloud, actions: Actions, stack: Stack, mlflow: str) -> None:
    tracked = TRACKED.replace("import sys\n", "import sys\nimport mlflow\n", 1).replace(
        "    return number * 2", f"{MLFLOW_METRICS}    return number * 2"
    )
    name = stack_with_tracker(stack, "with_mlflow", "mlflow", {"tracking_uri": mlflow, "tracking_token": "none"})
    finished = actions.step({"run.py": tracked}, studio_name="tracking", stack=name).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    # ZenML names an experiment as the pipeline.
    (run,) = mlflow_runs(mlflow)
    assert {one["key"]: one["value"] for one in run["data"]["metrics"]} == {"accuracy": 0.93, "loss": 0.2, "noise": 2}
    comment = actions.comment()
    assert "| <code>loss</code> | step train | this run | █▄▁▂ | 0.2 | 0.1 at step 20 |" in comment
    assert "| <code>noise</code> | step train | this run | ▁▅█ | 2 |" in comment
    assert "line [0.9, 0.4, 0.1, 0.2]" in comment


def mlflow_runs(url: str) -> list[dict[str, Any]]:
    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        asked = Request(f"{url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), headers, method="POST")
        with urlopen(asked, timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    ids = [one["experiment_id"] for one in ask("experiments/search", {"max_results": 10})["experiments"]]
    runs: list[dict[str, Any]] = ask("runs/search", {"experiment_ids": ids}).get("runs", [])
    return runs


@pytest.mark.slow
def test_an_experiment_tracker_of_the_projects_own(cloud: LightningCloud, actions: Actions, stack: Stack) -> None:
    about = {"name": "ours", "type": "experiment_tracker", "config_schema": {}, "source": "trackers.OurFlavor"}
    stack.zenml.request("POST", "flavors", {**about, "integration": "custom", "is_custom": True})
    name = stack_with_tracker(stack, "with_our_tracker", "ours", {})
    finished = actions.step({"run.py": TRACKED, "trackers.py": OWN_TRACKER}, studio_name="warm", stack=name).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "[train] tracking by tracker" in finished.log


@pytest.mark.slow
def test_a_click_program_with_zenml_init_in_its_folder(cloud: LightningCloud, actions: Actions) -> None:
    files = {"ml/.zen/config.yaml": "{}\n", "ml/run.py": CLICK}
    finished = actions.step(files, studio_name="warm", run="python ml/run.py --word well").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert "said well" in finished.log


@pytest.mark.slow
def test_a_src_layout_with_nothing_but_a_project_file(cloud: LightningCloud, actions: Actions) -> None:
    files = {
        "pyproject.toml": SRC_PROJECT,
        "src/vision/__init__.py": "",
        "src/vision/train.py": PIPELINE.replace("import sys\n", "import sys\nimport iniconfig\nimport vision\n"),
    }
    finished = actions.step(
        files, requirements="pyproject.toml", commands="pip install -e .", run="python -m vision.train"
    ).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log


@pytest.mark.slow
def test_four_pipelines_one_after_the_other(cloud: LightningCloud, actions: Actions) -> None:
    files = {"run.py": PIPELINE.replace("\n    tiny()\n", "\n    for _ in range(4):\n        tiny()\n")}
    finished = actions.step(files, studio_name="warm").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
    assert finished.log.count("[load] loading") == 4


@pytest.mark.slow
def test_settings_for_another_orchestrator_in_the_configuration(cloud: LightningCloud, actions: Actions) -> None:
    files = {"run.py": PIPELINE, "configs/gke.yaml": ELSEWHERE}
    finished = actions.step(files, studio_name="warm", run="", pipeline="run.tiny", config="configs/gke.yaml").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log


@pytest.mark.slow
def test_a_step_that_prints_50_megabytes(cloud: LightningCloud, actions: Actions) -> None:
    loud = PIPELINE.replace('print("loading")', 'print("\\n".join(["x" * 999] * 50_000))\n    print("over")')
    finished = actions.step({"run.py": loud}, studio_name="warm").run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log[-4000:]
    assert "[load] over" in finished.log


def test_a_pin_of_another_zenml_than_the_servers_is_named(cloud: LightningCloud, actions: Actions) -> None:
    files = {"run.py": PIPELINE, "requirements.txt": "-r base.txt\n", "base.txt": "# ours\nzenml[server]==0.70.0\n"}
    finished = actions.step(files, studio_name="warm", requirements="requirements.txt").run()
    assert finished.exit_code == 1
    (told,) = [text for level, text in finished.annotations if level == "error"]
    assert "`zenml[server]==0.70.0` (base.txt, line 2) contradicts the ZenML server" in told
