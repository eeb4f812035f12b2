"""Projects as people write them, each run whole through the Action's entrypoint; docs/projects.md names them."""

from __future__ import annotations

import pytest

from localcloud.lightning import LightningCloud
from scene import TINY, Actions, Laptop

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


def as_on_windows(text: str) -> str:
    return text.replace("\n", "\r\n")


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
