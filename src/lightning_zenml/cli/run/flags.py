"""The Action's inputs as options of `run`: same names, same values, same checks (`lightning_zenml.action.inputs`)."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FLAGS = {
    "pipeline": "Instead of COMMAND: path of a pipeline in Python, e.g. training.pipelines.train.",
    "config": "A ZenML run configuration file for --pipeline.",
    "working-directory": "Where COMMAND runs. Default: here.",
    "studio-name": "Studio to use, created if it doesn't exist. Default: a fresh one, deleted at the end.",
    "studio-pool": "Number of studios that share --studio-name, of which the run takes one that is free.",
    "machine-type": "Machine of the studio, e.g. CPU, T4, A100; of several the first that can be had.",
    "commands": "Command before COMMAND, in the root of the repository; the first that fails ends the run.",
    "requirements": "Requirements file, installed before --commands and skipped while unchanged.",
    "env": "NAME=value for commands, run and steps; NAME alone takes the value from here, as secrets should be.",
    "async": "Leave once the pipeline run has started.",
    "settings": "Further setting of the orchestrator, in YAML, e.g. 'max_parallel_steps: 2'.",
    "project": "ZenML project to run in. Default: the account's own.",
    "timeout-minutes": "Stop the run after so many minutes, installing included.",
    "max-cost": "Stop the run before it costs more US dollars than this.",
    "keep-studio": "What becomes of the studio at the end: auto, keep, stop or delete.",
    "keep-warm": "Minutes for which the machines are kept up at the end, for the next run.",
    "stop-idle-gpu": "End a machine with GPUs after so many minutes in which none of them did anything.",
    "stop-on-cancel": "Whether Ctrl-C stops the run; else it goes on by itself.",
}
"""Inputs that are options here, and what they are for."""
ELSEWHERE: Mapping[str, str] = {
    "run": "it is the argument COMMAND",
    "submit-from": "`python run.py` submits from here",
    "attach": "`lightning-zenml attach` does that",
    "stack": "an option of every command",
    **dict.fromkeys(
        ("lightning-teamspace", "lightning-username", "lightning-org"), "`--teamspace` of every command, and variables"
    ),
    **dict.fromkeys(
        ("lightning-user-id", "lightning-api-key", "zenml-store-url", "zenml-store-api-key"),
        "no key belongs in a command line: variables, `zenml login` or the stack have them",
    ),
    **dict.fromkeys(
        ("comment", "comment-key", "leg", "command-from", "command-parameters", "matrix", "report", "pictures"),
        "there is no pull request",
    ),
    **dict.fromkeys(("check-run", "deployment", "github-token"), "there is no pull request"),
    "budget": "it counts what a repository's workflows have cost",
}
"""Inputs that are none, and why."""
_SHORT = {"machine-type": "--machine"}
_SEVERAL = {"commands": "\n", "requirements": "\n", "env": "\n", "settings": "\n", "machine-type": ","}
"""Options that may be given several times, and what stands between their values in the input."""
_SWITCHES = frozenset({"async", "stop-on-cancel"})
_PATHS = frozenset({"config", "requirements", "working-directory"})
_METAVARS = {"env": "NAME[=VALUE]", "settings": "YAML", "config": "FILE", "requirements": "FILE"}


def options(command: F) -> F:
    """Adds the options to a command."""
    for name, text in reversed(FLAGS.items()):
        if name in _SWITCHES:
            option = click.option(f"--{name}/--no-{name}", _parameter(name), default=None, help=text)
        else:
            names = [f"--{name}", *([_SHORT[name]] if name in _SHORT else [])]
            metavar = _METAVARS.get(name, "TEXT")
            option = click.option(*names, _parameter(name), multiple=name in _SEVERAL, metavar=metavar, help=text)
        command = option(command)
    return command


def environ_of(
    command: Sequence[str], given: Mapping[str, Any], *, folder: Path, root: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """The options as the variables in which the Action finds its inputs; those that are not given have none.

    Args:
        command: words of COMMAND: one that is bash, or a program and its arguments.
        given: value of each option, by its parameter's name.
        folder: current folder, which paths are relative to.
        root: root of the repository, which those of inputs are relative to.
        environ: environment variables, for those of `--env` without a value.

    Raises:
        click.BadParameter: if `--env` names a variable that isn't set.
    """
    texts = {"run": command[0] if len(command) == 1 else shlex.join(command)}
    for name in FLAGS:
        value = given[_parameter(name)]
        if value is None or value == ():
            continue
        values = [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
        if name in _PATHS:
            values = [_inside(one, folder, root) for one in values]
        if name == "env":
            values = [_variable(one, environ) for one in values]
        texts[name] = values[0].lower() if name in _SWITCHES else _SEVERAL.get(name, "").join(values)
    texts.setdefault("working-directory", _inside(".", folder, root))
    return {f"INPUT_{name.upper()}": text for name, text in texts.items() if text}


def shown(name: str) -> str:
    """How a user knows an input here."""
    return "COMMAND" if name == "run" else f"--{name}" if name in FLAGS else name


def _parameter(name: str) -> str:
    return name.replace("-", "_")


def _inside(path: str, folder: Path, root: Path) -> str:
    """A path of this machine as one of the repository; of one that lies elsewhere, its check tells."""
    return posixpath.relpath(posixpath.normpath(folder / path), root)


def _variable(given: str, environ: Mapping[str, str]) -> str:
    """A variable in the words of a dotenv file, which take nothing in the value for what it isn't."""
    name, equals, value = given.partition("=")
    if not equals:
        if name not in environ:
            raise click.BadParameter(f"{name} is not set here: write {name}=value.", param_hint="--env")
        value = environ[name]
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"
