"""The Action without Docker: the steps of composite/action.yml in bash, as the runner runs them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.composite import CompositeStep
from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import REPOSITORY, ROOT, Actions, wait_for

pytestmark = pytest.mark.skipif(
    not shutil.which("node"), reason="GitHub's runner brings Node.js, this machine has none"
)


def test_it_trains_and_what_it_holds_is_released_whatever_kills_it(
    stack: Stack, cloud: LightningCloud, github: GitHub, actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    # What `make .venv/installed` has brought.
    cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))
    made = actions.step(variables={"UV_CACHE_DIR": cache}, machine_type="cpu")
    step = CompositeStep.like(made, ROOT / "composite")
    on_command_lines: list[str] = []

    def look(line: str) -> None:
        if "Run: python run.py" in line:
            on_command_lines.extend(command_lines())

    finished = step.run(interrupt=look)
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "completed"
    assert finished.outputs["orchestrator-url"] in actions.comment()
    assert "completed" in finished.summary
    assert any("lightning_zenml.action main" in line for line in on_command_lines)
    for secret in (cloud.api_key, stack.zenml_api_key, github.token):
        assert secret not in finished.log
        assert not [line for line in on_command_lines if secret in line]

    # In the same job, so that the environment is there; killed, so that all is left to post.
    sleeps = 'echo "it begins"; sleep 600'
    again = replace(step, inputs={**step.inputs, "run": sleeps}, _outputs={}, _posts=[], _lines=[])
    killed = again.run(interrupt=lambda line: signal.SIGKILL if line.startswith("it begins") else None)
    assert (killed.exit_code, killed.post_exit_code) == (-signal.SIGKILL, 0), killed.log
    assert "::group::Install the Action" not in killed.log
    (comment,) = github.comments(REPOSITORY, actions.number)
    assert "was cancelled" in comment.body
    wait_for(lambda: not cloud.running())


def command_lines() -> list[str]:
    """Those of all processes of this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
