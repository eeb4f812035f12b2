"""A pipeline's `custom_commands` where no launch has run them: the pipeline was compiled in the studio itself."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lightning_zenml.codes import Code, CodedError
from lightning_zenml.launch.payload.session import bash
from lightning_zenml.launch.payload.variables import OF_THE_SHELL


class CommandsFailedError(CodedError):
    """A command of the pipeline failed; its output has been printed."""

    code = Code.COMMAND


def run(commands: Sequence[str], directory: Path) -> None:
    """Runs commands in one bash session; what they export becomes part of this process's environment.

    Args:
        commands: bash lines; the first failure ends them.
        directory: folder that they run in.

    Raises:
        CommandsFailedError: if one fails.
    """
    with tempfile.NamedTemporaryFile() as exports:
        script = "\n".join([*commands, f"env -0 >{exports.name}"])
        done = subprocess.run(bash(script), cwd=directory, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise CommandsFailedError(
                f"The pipeline's custom_commands failed with exit code {done.returncode}: {'; '.join(commands)}"
            )
        variables = dict(item.split("=", 1) for item in Path(exports.name).read_text().split("\0") if item)
    os.environ.update({name: value for name, value in variables.items() if name not in OF_THE_SHELL})
