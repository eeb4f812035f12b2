"""`pipeline` and `config`, settings, and the live log, through the Action's entrypoint."""

from __future__ import annotations

import re

import pytest

from localcloud.lightning import LightningCloud
from scene import TINY, Actions, Laptop

PIPELINES = {
    "training/__init__.py": "",
    "training/pipelines.py": TINY.replace("ARGUMENT", "None")
    .replace("def load() -> int:", "def load(number: int = 1) -> int:")
    .replace('print("loading")', 'import iniconfig, os\n    print("loading", number, os.environ["FROM_CODE"])'),
    "configs/run.yaml": """
enable_cache: false
settings:
  docker:
    requirements: [iniconfig]
  orchestrator:
    environment: {FROM_CODE: told}
    custom_commands: ['test "$FROM_CODE" = told']
steps:
  load:
    parameters:
      number: 21
""",
}


def test_a_pipeline_with_its_configuration(actions: Actions, laptop: Laptop, cloud: LightningCloud) -> None:
    finished = actions.step(
        PIPELINES,
        run="",
        pipeline="training.pipelines.tiny",
        config="configs/run.yaml",
        studio_name="warm",
        settings="max_parallel_steps: 1\nenvironment:\n  GREETING: on",
    ).run()
    assert finished.exit_code == 0, finished.log
    assert "::group::Run: zenml pipeline run training.pipelines.tiny -c configs/run.yaml" in finished.log
    # What the pipeline's own settings name is there as well: variables and packages.
    assert "loading 21 told" in finished.log
    assert (laptop.last_run()["id"], laptop.last_run()["status"]) == (finished.outputs["run-id"], "completed")


def test_bad_inputs_are_told_of_together_and_start_nothing(cloud: LightningCloud, actions: Actions) -> None:
    requests = len(cloud.requests)
    finished = actions.step(
        run="python run.py",
        pipeline="no pipeline",
        config="configs/none.yaml",
        settings="max_paralel_steps: 1\ntimeout: 3",
        requirements="none.txt",
        working_directory="../..",
        variables={"INPUT_STUDIO": "x"},
    ).run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0)
    errors = [text for level, text in finished.annotations if level == "error"]
    assert [re.match(r"`([\w-]+)` ", text)[1] for text in errors] == [  # type: ignore[index]
        "pipeline",
        "pipeline",
        "config",
        "working-directory",
        "requirements",
        "settings",
        "settings",
    ]
    assert {request.method for request in cloud.requests[requests:]} <= {"GET"}


def test_an_unknown_input_is_warned_of(cloud: LightningCloud, actions: Actions) -> None:
    finished = actions.step(variables={"INPUT_MACHINE-TYP": "T4"}, studio_name="warm", run="true").run()
    assert finished.exit_code == 0, finished.log
    assert ("warning", "`machine-typ` is no input of this action and is ignored; did you mean `machine-type`?") in (
        finished.annotations
    )


NOISY = r"""
printf '\033[31mred over\ntwo lines\033[0m\n'
printf ' 10%%|#\r100%%|##########\n'
echo '::error::not mine'
echo '::set-output name=run-id::forged'
echo '::stop-commands::x'
echo '##[group]not mine either'
python run.py
"""


def test_the_log_is_grouped_and_readable_and_takes_no_commands_from_others(
    cloud: LightningCloud, actions: Actions
) -> None:
    finished = actions.step(studio_name="warm", run=NOISY).run()
    assert finished.exit_code == 0, finished.log
    log = finished.log
    groups = re.findall(r"^::group::(.*)$", log, re.MULTILINE)
    assert groups[:2] == ["Check and package", "Start the studio"]
    assert groups[-3:] == ["Step load", "Step train", "Release the studio"]
    assert log.count("::group::") == log.count("::endgroup::")
    assert re.search(r"^Uploaded \d+\.\d MB in \d+ s$", log, re.MULTILINE)
    assert "\x1b[31mred over\x1b[0m\n\x1b[31mtwo lines\x1b[0m\n" in log
    assert "\n100%|##########\n" in log
    assert finished.annotations == []
    assert finished.outputs["run-id"] != "forged"
    assert not re.search(r"^::(?!group::|endgroup::)", log, re.MULTILINE)


@pytest.mark.parametrize("name", ["import", "step"])
def test_what_fails_is_shown_at_its_line(actions: Actions, name: str) -> None:
    files = {
        "import": {"run.py": "import json\n\nimport no_such_module\n"},
        "step": {"run.py": TINY.replace("ARGUMENT", "'fail'")},
    }[name]
    finished = actions.step(files, studio_name="warm").run()
    assert finished.exit_code == 1
    ((level, told),) = finished.annotations
    expected = {
        "import": (
            "The run failed with exit code 1: python run.py: ModuleNotFoundError: No module named 'no_such_module'. "
            "List the package that brings `no_such_module` in a file that `requirements` names."
        ),
        "step": "Step `train` failed: ValueError: the loss is NaN",
    }[name]
    assert (level, told) == ("error", expected)
    line = {"import": 3, "step": 15}[name]
    assert f"file=run.py,line={line}::" in finished.log
    # Python's own traceback, not one in frames that break up its paths.
    assert "╭" not in finished.log


IN_A_FOLDER = """
from pathlib import Path
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step
def in_the_studio() -> str:
    from beside import WORD

    return WORD + Path("data/raw.txt").read_text() + Path.cwd().name


@step(settings={"orchestrator.lightning": LightningOrchestratorSettings(machine_type="T4")})
def in_a_job(read: str) -> None:
    from beside import WORD

    assert read == WORD + Path("data/raw.txt").read_text() + Path.cwd().name


@pipeline(enable_cache=False)
def both():
    in_a_job(in_the_studio())


if __name__ == "__main__":
    both()
"""


@pytest.mark.parametrize(
    ("data", "inputs"),
    [
        pytest.param("data/raw.txt", {"run": "python training/run.py"}, marks=pytest.mark.slow),
        (
            "training/data/raw.txt",
            {"run": "python run.py", "working_directory": "training", "commands": "test -d training"},
        ),
    ],
    ids=["script", "working-directory"],
)
def test_steps_start_where_the_script_was_started_on_machines_of_their_own_too(
    actions: Actions, data: str, inputs: dict[str, str]
) -> None:
    files = {"training/run.py": IN_A_FOLDER, "training/beside.py": "WORD = 'word'\n", data: "data\n"}
    finished = actions.step(files, **inputs).run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
