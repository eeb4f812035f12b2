"""Writes composite/action.yml: the inputs and outputs of action.yml, word for word, around steps that need no Docker.

python composite/write.py
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
POST = "org/lightning-zenml-action/composite/post"

HEAD = """\
# Written by write.py from ../action.yml, which GitHub lets no action include.
name: Lightning ZenML without Docker
description: Run ZenML pipelines on Lightning AI and follow them in the pull request, from Linux or macOS without Docker
author: lightning-zenml-action contributors

"""
STEPS = f"""\
runs:
  using: composite
  steps:
    - name: Install
      id: install
      shell: bash
      run: '"$GITHUB_ACTION_PATH/install.sh"'

    # A composite has no `post`, and when the workflow is cancelled, its last steps don't run, `always()` or not. An
    # action with a `post` of its own is what GitHub runs in every ending; first, so that main can't begin without it.
    - name: Watch over what runs
      uses: {POST}@main
      with:
        python: ${{{{ steps.install.outputs.python }}}}
        state: ${{{{ steps.install.outputs.state }}}}
        inputs: ${{{{ toJSON(inputs) }}}}

    # `exec`: the runner's signals reach Python, and no shell stays whose variables others might read.
    - name: Run
      id: run
      shell: bash
      run: |
        export GITHUB_STATE="$STATE" ZENML_CONFIG_PATH="$RUNNER_TEMP/lightning-zenml/zenml"
        exec "$PYTHON" -IBu -m lightning_zenml.action main
      env:
        PYTHON: ${{{{ steps.install.outputs.python }}}}
        STATE: ${{{{ steps.install.outputs.state }}}}
        INPUT_INPUTS: ${{{{ toJSON(inputs) }}}}
"""


def composite(action: str) -> str:
    """The composite action.

    Args:
        action: text of action.yml.
    """
    inputs, outputs = re.findall(r"^(?:in|out)puts:\n(?:(?:  .*)?\n)+", action, re.MULTILINE)
    return f"{HEAD}{inputs}{re.sub(_OUTPUT, _with_value, outputs)}{STEPS}"


_OUTPUT = re.compile(r"^  ([\w-]+):\n(    description: .*\n)", re.MULTILINE)


def _with_value(output: re.Match[str]) -> str:
    return f"{output[0]}    value: ${{{{ steps.run.outputs.{output[1]} }}}}\n"


if __name__ == "__main__":
    (HERE / "action.yml").write_text(composite((HERE.parent / "action.yml").read_text()))
