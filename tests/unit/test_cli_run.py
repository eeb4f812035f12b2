"""The options of `lightning-zenml run`: none of the Action's inputs is forgotten, and each means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from lightning_zenml.action.inputs import DEFAULTS, Inputs
from lightning_zenml.cli.main import lightning_zenml
from lightning_zenml.cli.run.flags import ELSEWHERE, FLAGS, environ_of

KEYS = {"LIGHTNING_API_KEY": "k", "ZENML_STORE_URL": "https://zenml", "ZENML_STORE_API_KEY": "z"}


def parsed(*words: str, folder: Path, root: Path, environ: dict[str, str] | None = None) -> Inputs:
    """The inputs that a command line gives."""
    command = lightning_zenml.commands["run"]
    given: dict[str, Any] = dict(command.make_context("run", list(words)).params)
    told = environ_of(given.pop("command"), given, folder=folder, root=root, environ=environ or {})
    return Inputs.from_environ({**told, **KEYS}, root)


def test_every_input_is_an_option_or_has_a_reason_to_be_none() -> None:
    assert sorted([*FLAGS, *ELSEWHERE]) == sorted(DEFAULTS)
    options = {
        name for one in lightning_zenml.commands["run"].params if isinstance(one, click.Option) for name in one.opts
    }
    assert {f"--{name}" for name in FLAGS} <= options
    assert not any(f"--{name}" in options for name in ELSEWHERE if name != "stack")


def test_what_is_given_is_what_the_action_would_read(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "needs.txt").write_text("numpy\n")
    inputs = parsed(
        *("--machine", "T4", "--machine-type", "L4,CPU", "--commands", "cd x", "--commands", "make"),
        *("--requirements", "needs.txt", "--env", "A=it's # one", "--env", "B", "--async", "--no-stop-on-cancel"),
        *("--settings", "max_parallel_steps: 2", "--settings", "interruptible: true", "--max-cost", "2"),
        *("python", "run.py", "--lr", "0.1", "--note", "two words"),
        folder=folder,
        root=tmp_path,
        environ={"B": "from\nhere"},
    )
    assert inputs.command == "python run.py --lr 0.1 --note 'two words'"
    assert inputs.machine_type == ("T4", "L4", "CPU")
    assert inputs.commands == ("cd x", "make")
    assert (inputs.requirements, inputs.working_directory) == (("training/needs.txt",), "training")
    assert inputs.env == {"A": "it's # one", "B": "from\nhere"}
    assert (inputs.is_async, inputs.stop_on_cancel, inputs.max_cost) == (True, False, 2)
    assert inputs.settings == {"max_parallel_steps": 2, "interruptible": True}


def test_one_word_is_bash_and_the_rest_is_as_the_action_has_it(tmp_path: Path) -> None:
    inputs = parsed("cd x && python run.py | tee log", folder=tmp_path, root=tmp_path)
    assert inputs.command == "cd x && python run.py | tee log"
    defaults = Inputs.from_environ({**KEYS, "INPUT_RUN": inputs.command})
    assert inputs == defaults


def test_a_variable_that_is_not_set_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="NOPE is not set here"):
        parsed("--env", "NOPE", "true", folder=tmp_path, root=tmp_path)
