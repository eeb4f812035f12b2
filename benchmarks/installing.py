"""What a studio's installs take beside the user's own `uv pip install`: `make bench-installing`.

Each in an environment of its own that has lightning-sdk, as a studio's has; with everything in uv's cache, and copies
instead of links, as cache and environment may lie on different disks.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from zenml.integrations.registry import integration_registry

from lightning_zenml.launch import wheel

SOURCE = Path(__file__).parents[1] / "src"
UV = str(Path(sys.executable).with_name("uv"))
ZENML = f"zenml=={metadata.version('zenml')}"
PROGRAM = """
import json, os, sys
from pathlib import Path
from lightning_zenml.launch.payload.install import install
specifiers, wheel, code = json.loads(sys.argv[1])
outcome = install(
    specifiers, Path(wheel), code=Path(code), log=sys.stdout.buffer, environment=os.environ, timeout=600
)
sys.exit(outcome.exit_code)
"""
"""What the supervisor does, with what it imports for that."""


@dataclass(frozen=True)
class Taken:
    """What an install took, in seconds.

    Args:
        wall: wall time.
        cpu: CPU time of all its processes.
    """

    wall: float
    cpu: float


class _Bench:
    def __init__(self, scratch: Path, users: list[str]) -> None:
        self._scratch = scratch
        self._users = users
        (scratch / "requirements.txt").write_text("\n".join([*users, ""]))
        self._wheel = wheel.repack(scratch)
        self._base = [ZENML, *integration_registry.select_integration_requirements("s3")]
        (scratch / "nothing.txt").touch()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            "UV_LINK_MODE": "copy",
            "PYTHONPATH": str(SOURCE),
        }

    def ways(self) -> dict[str, Callable[[], Taken]]:
        file = ["-r requirements.txt"]
        unlocked = {"UV_CONSTRAINT": str(self._scratch / "nothing.txt")}
        return {
            "the user's own": lambda: self._users_own(),
            "ours, base": lambda: self._ours(self._base),
            "ours, base, no lock": lambda: self._ours(self._base, unlocked),
            "ours, base and user's": lambda: self._ours([*self._base, *file]),
            "ours, user's, base there": lambda: self._ours([*self._base, *file], base=self._base),
        }

    def _users_own(self) -> Taken:
        python = self._python()
        return self._taken([UV, "pip", "install", "--quiet", "--python", python, "-r", "requirements.txt"], {})

    def _ours(self, specifiers: list[str], variables: dict[str, str] | None = None, base: list[str] = []) -> Taken:  # noqa: B006
        python = self._python()
        if base:
            self._taken(self._command(python, base), {})
        return self._taken(self._command(python, specifiers), variables or {})

    def _command(self, python: str, specifiers: list[str]) -> list[str]:
        return [python, "-c", PROGRAM, json.dumps([specifiers, str(self._wheel), str(self._scratch)])]

    def _python(self) -> str:
        """Makes an environment as a studio has it."""
        folder = self._scratch / "environment"
        base = getattr(sys, "_base_executable", sys.executable)
        self._taken([UV, "venv", "--quiet", "--clear", "--python", base, str(folder)], {})
        python = str(folder / "bin/python")
        self._taken([UV, "pip", "install", "--quiet", "--python", python, "uv", "lightning-sdk"], {})
        return python

    def _taken(self, command: list[str], variables: dict[str, str]) -> Taken:
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, cwd=self._scratch, env={**self._environment, **variables}, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Taken(time.monotonic() - began, cpu)


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="installs of each; one shows that this still works")
    parser.add_argument("--requirements", nargs="+", default=["scikit-learn", "pandas"], help="the user's")
    parser.add_argument("--json", type=Path, help="file that the figures are written to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        ways = _Bench(Path(scratch), arguments.requirements).ways()
        taken: dict[str, list[Taken]] = {name: [] for name in ways}
        for number in range(arguments.rounds + 1):
            for name, way in ways.items():
                figures = way()
                # The first round fills the cache.
                if number or arguments.rounds == 1:
                    taken[name].append(figures)
                    print(f"round {number}, {name}: {figures}", file=sys.stderr, flush=True)
            if arguments.rounds == 1:
                break
    floor = statistics.median(one.wall for one in taken["the user's own"])
    print(f"{f'median of {arguments.rounds}':26}{'s':>8}{'CPU s':>8}{'of the user own':>18}")
    for name, some in taken.items():
        wall, cpu = (statistics.median(getattr(one, field) for one in some) for field in ("wall", "cpu"))
        print(f"{name:26}{wall:>8.2f}{cpu:>8.2f}{wall / floor:>18.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: [asdict(one) for one in some] for name, some in taken.items()}))


if __name__ == "__main__":
    main()
