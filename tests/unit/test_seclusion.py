"""What another process of the same user finds of the step's variables."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

PR_CAPBSET_DROP = 24
RIGHTS_TO_TRACE = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}
"""Any of them opens the memory of others; Docker gives none to a container unless asked."""

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
def test_a_child_finds_no_input_and_no_token_in_its_parent() -> None:
    inputs = {"INPUT_LIGHTNING-API-KEY": "c4n4ry-1", "INPUT_GITHUB-TOKEN": "c4n4ry-2", "KEPT": "kept"}
    inputs |= {"ACTIONS_RUNTIME_TOKEN": "c4n4ry-3", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "c4n4ry-4"}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, env={**os.environ, **inputs}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "kept\n\n"), ran.stdout + ran.stderr


UNREADABLE = """
import os, subprocess
from lightning_zenml.action.github.seclusion import seclude

def read():
    look = f"cat /proc/{os.getpid()}/environ; if : </proc/{os.getpid()}/mem; then echo memory; fi"
    return subprocess.run(["sh", "-c", look], env={}, capture_output=True, text=True, check=False).stdout

print("c4n4ry" in read())
seclude()
print(read()[:100].encode())
"""


def drop_the_rights_to_trace() -> None:
    """As Docker starts the container of an Action: as root, but without these. Who isn't root has none."""
    for right in RIGHTS_TO_TRACE.values():
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="what this reads is Linux's")
def test_nobody_without_a_right_to_trace_reads_its_memory() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", UNREADABLE],
        env={**os.environ, "INPUT_GITHUB-TOKEN": "c4n4ry-2"},
        preexec_fn=drop_the_rights_to_trace,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "True\nb''\n"), ran.stdout + ran.stderr
