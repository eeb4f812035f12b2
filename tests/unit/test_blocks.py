"""What README and docs show to be pasted would work: workflows, Python, commands of ours, of ZenML and of make."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
import zenml.cli
from zenml.cli.cli import cli as zenml_cli

from lightning_zenml.action.report.metrics.settings import ReportSettings
from lightning_zenml.cli.main import lightning_zenml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("**/README.md"))]
OURS = "org/lightning-zenml-action@v1"
PROGRAMS: dict[str, click.Command] = {"lightning-zenml": lightning_zenml, "zenml": zenml_cli}
OF_JOBS = {"strategy", "steps", "needs", "permissions", "runs-on", "outputs"}
LEFT_OUT = "..."
"""Stands for the keys, which are the same everywhere."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        place: page and line.
        language: as the fence names it; '' where it doesn't.
        text: what stands in it.
    """

    place: str
    language: str
    text: str


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            place = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            found.append(Block(place, match[2], textwrap.dedent(match[3])))
    return found


BLOCKS = blocks()


def of(*languages: str) -> Any:
    chosen = [block for block in BLOCKS if block.language in languages]
    assert chosen
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    # What has no language is output, a tree of folders, or commands.
    assert {block.language for block in BLOCKS} <= {"yaml", "python", "sh", "bash", "mermaid", ""}
    assert len(BLOCKS) > 40


@of("yaml")
def test_a_workflow_gives_this_action_inputs_that_it_has(block: Block) -> None:
    steps = [step for job in workflow(block)["jobs"].values() for step in job["steps"]]
    for step in steps:
        if step.get("uses") == OURS:
            assert set(step.get("with", {})) <= set(ACTION["inputs"])
            if report := step.get("with", {}).get("report"):
                _, problems = ReportSettings.from_yaml(yaml.safe_load(report))
                assert problems == []


def test_all_workflows_are_valid(tmp_path: Path) -> None:
    files = []
    for block in BLOCKS:
        if block.language == "yaml":
            file = tmp_path / f"{re.sub(r'[^0-9A-Za-z]', '_', block.place)}.yml"
            file.write_text(json.dumps(workflow(block)))
            files.append(str(file))
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.github-workflows", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        [Path(sys.executable).with_name("actionlint"), "-shellcheck=", "-pyflakes=", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def workflow(block: Block) -> dict[str, Any]:
    """A whole workflow, of which the block may be a part: of the top, of a job, of its steps, of one step."""
    part = without_gaps(yaml.safe_load(block.text))
    whole: dict[str, Any] = {"on": "push", "jobs": {"train": {"runs-on": "ubuntu-latest", "steps": [{"uses": OURS}]}}}
    if isinstance(part, list):
        whole["jobs"]["train"]["steps"] = part
    elif "jobs" in part:
        whole = {"on": "push", **part}
    elif "with" in part:
        whole["jobs"]["train"]["steps"] = [{"uses": OURS, **part}]
    elif OF_JOBS & set(part):
        whole["jobs"]["train"] |= part
    else:
        whole |= part
    return whole


def without_gaps(node: Any) -> Any:
    if isinstance(node, dict):
        # YAML 1.1 takes `on` for a boolean.
        names = {name: "on" if name is True else name for name in node}
        return {names[name]: without_gaps(value) for name, value in node.items() if name != LEFT_OUT}
    return [without_gaps(one) for one in node] if isinstance(node, list) else node


@of("python")
def test_python_can_be_read(block: Block) -> None:
    # `...` stands for parameters as well.
    ast.parse(block.text.replace("(...)", "()"))


def commands() -> list[tuple[str, str]]:
    """(place, command line) of what is typed in blocks, and of what stands in a line of text."""
    lines = [
        (block.place, line.strip().removeprefix("- run: "))
        for block in BLOCKS
        if block.language in {"sh", "bash", ""}
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        lines += [(page.name, " ".join(span.split())) for span in re.findall(r"`([^`]+)`", text)]
    return [(place, line) for place, line in lines if re.match(r"(zenml|lightning-zenml|make) +\S", line)]


COMMANDS = commands()


@pytest.mark.parametrize(("place", "line"), COMMANDS, ids=[f"{place}: {line}" for place, line in COMMANDS])
def test_a_command_and_its_options_are_there(place: str, line: str) -> None:
    program, *words = shlex.split(line.replace("...", " "), comments=True)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets)
        return
    command: click.Command = PROGRAMS[program]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        # `zenml service-account api-key ACCOUNT create` has one before the command.
        words = words[sum(isinstance(param, click.Argument) for param in command.params) :]
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"{place}: {line}"
        command, words = found, words[1:]
    # Attributes of a component or values of a secret, of any name.
    takes_any = any(isinstance(param, click.Argument) and param.nargs == -1 for param in command.params)
    if not takes_any:
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known | {"--help"}


def test_commands_are_found() -> None:
    assert zenml.cli
    assert {program for _, line in COMMANDS for program in [line.split()[0]]} == {"zenml", "lightning-zenml", "make"}
    assert len(COMMANDS) > 60
