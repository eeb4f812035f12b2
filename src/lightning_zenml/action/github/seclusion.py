"""The step's variables taken out of sight: any process of the same user may read `/proc/<pid>/environ`.

With `submit-from: runner` the user's command, and whatever it imports, is such a process. It is given what it needs;
the inputs, GitHub's tokens and the secrets under `env:` are none of that. What this can't hide, docs/security.md says.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

TOKENS = frozenset({"ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"})
"""What a runner gives a container to ask GitHub Actions itself with: for artifacts, and for a login elsewhere."""
_SET_DUMPABLE = 4
"""PR_SET_DUMPABLE of prctl(2)."""
_ENV_START = 47
"""Place of env_start in /proc/<pid>/stat, behind the command's name, proc_pid_stat(5); env_end comes next."""


def seclude() -> dict[str, str]:
    """Hides the variables that this process was started with.

    Its own libraries, and `git`, still find those that are neither inputs nor the runner's tokens. Where the kernel
    allows no look into the memory of processes that forbid it (a container without CAP_SYS_PTRACE, as GitHub starts
    them), that is forbidden too.

    Returns:
        The variables as they were.
    """
    environ = dict(os.environ)
    for name, value in environ.items():
        if name.startswith("INPUT_") or name in TOKENS:
            del os.environ[name]
        else:
            # To memory elsewhere: the kernel shows where they were when the process began.
            os.environ[name] = value
    # No Linux, or no libc of this kind: all is as without this module.
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(field) for field in fields[_ENV_START : _ENV_START + 2])
        if 0 < start < end:
            ctypes.memset(start, 0, end - start)
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    return environ
