"""What another process of the same user finds of the step's variables."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys
from lightning_zenml.action.github.seclusion import seclude

before = dict(os.environ)
assert seclude() == before
assert "INPUT_LIGHTNING-API-KEY" not in os.environ
look = f"tr '\\\\0' ' ' </proc/{os.getpid()}/environ; env; echo $KEPT"
told = subprocess.run(["sh", "-c", look], stdout=subprocess.PIPE, text=True, check=False).stdout
assert "c4n4ry" not in told, told
print(told.splitlines()[-1])
print(open(f"/proc/{os.getpid()}/environ").read().strip("\\0"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what this reads is Linux's")
def test_a_child_finds_no_input_in_its_parent() -> None:
    inputs = {"INPUT_LIGHTNING-API-KEY": "c4n4ry-1", "INPUT_GITHUB-TOKEN": "c4n4ry-2", "KEPT": "kept"}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, env={**os.environ, **inputs}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "kept\n\n"), ran.stdout + ran.stderr
