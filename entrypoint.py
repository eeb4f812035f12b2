#!/opt/lightning-zenml/bin/python -IBu
"""The image's two programs, `lightning-zenml-main` and `lightning-zenml-post`: which one, its own name says.

No shell may stand before it: Debian's `sh` drops variables with a hyphen, such as INPUT_MACHINE-TYPE. Python is process
1, so that the runner's signals reach it. Isolated (-I): neither a module of the workspace, which is the working
directory, nor PYTHONPATH of the job may shadow ours. Unbuffered (-u): lines are shown when they are written.
"""

from __future__ import annotations

import os
import sys

# A container started with --read-only has only the runner's mounts to write to.
if not os.access("/tmp", os.W_OK):  # noqa: S108
    os.environ["TMPDIR"] = os.environ.get("RUNNER_TEMP") or os.environ["HOME"]

from lightning_zenml.action.__main__ import run

sys.argv[1:] = [sys.argv[0].rpartition("-")[2]]
run()
