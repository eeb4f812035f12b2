"""What the command line says of itself, and what docs/cli.md says of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lightning_zenml.cli.errors import ExitCode
from lightning_zenml.cli.main import lightning_zenml

PROGRAM = Path(sys.executable).with_name("lightning-zenml")
PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()
COMMANDS = sorted(lightning_zenml.commands)


def run(*arguments: str, code: int = 0, **variables: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "NO_COLOR": "1", **variables}
    done = subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_it_tells_its_version_and_its_commands() -> None:
    assert re.fullmatch(r"lightning-zenml, version \S+\n", run("--version"))
    told = run("--help")
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\w.*[^.]$", told.replace(".\n", "\n"), re.M)] == []
    assert "..." not in told.partition("Commands:")[2]


@pytest.mark.parametrize("code", ExitCode)
def test_exit_codes_are_those_that_help_and_docs_tell(code: ExitCode) -> None:
    assert re.search(rf"^ +{code.value} +\w", run("--help"), re.MULTILINE)
    assert f"| {code.value} |" in PAGE


def test_a_mistake_in_the_command_line_is_one_of_usage() -> None:
    assert "No such command 'frob'" in run("frob", code=2)
    assert "No such option" in run("sweep", "--frob", code=2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str) -> None:
    assert "_LIGHTNING_ZENML_COMPLETE" in run("completion", shell)


def test_words_are_completed_without_anything_that_takes_long() -> None:
    words = {"_LIGHTNING_ZENML_COMPLETE": "bash_complete", "COMP_WORDS": "lightning-zenml s", "COMP_CWORD": "1"}
    assert run(**words).split() == [f"plain,{name}" for name in COMMANDS if name.startswith("s")]
    looks = (
        "import sys, lightning_zenml.cli.main; print([one for one in ('zenml', 'lightning_sdk') if one in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", looks], text=True) == "[]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_docs(name: str) -> None:
    section = PAGE.partition(f"## `{name}`")[2].partition("\n## ")[0]
    assert section
    options = [param for param in lightning_zenml.commands[name].params if isinstance(param, click.Option)]
    shared = {"--stack", "--teamspace", "--json"}
    assert [one.opts[0] for one in options if one.opts[0] not in shared and f"`{one.opts[0]}" not in section] == []


def test_every_command_that_lists_has_json() -> None:
    without = {
        name for name, command in lightning_zenml.commands.items() if "is_json" not in {p.name for p in command.params}
    }
    assert without <= {"attach", "completion", "logs"}
