"""A short round of each benchmark, called as who measures calls it. What it measures beside all else tells nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command", "rows"),
    [
        (
            "bench ROUNDS=1",
            ["stock, fresh studio", "ours, fresh studio", "ours, warm named studio", "ours, async", "no launch"],
        ),
        ("bench-packing ROUNDS=1 FILES=500 MEGABYTES=8", ["pipe", "CodeArchive", "ours, unchanged"]),
        ("bench-start ROUNDS=1", ["first request"]),
        ("bench-steps ROUNDS=1 WIDE=5", ["one more trivial step, CPU"]),
        ("bench-following SECONDS=3", ["silent", "10,000 lines/s"]),
        ("bench-verdict PULLS=20", ["normal, last-5, own 1", "heavy tails, median-5, own 1"]),
        ("bench-scale STEPS= LAUNCHES=1 CODE=1", ["launches at once", "MB of code"]),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else None,
)
def test_a_short_round(command: str, rows: list[str]) -> None:
    completed = subprocess.run(
        ["make", *command.split()], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    printed = [line.rpartition("  ")[0] for line in completed.stdout.splitlines()]
    for row in rows:
        assert any(line.startswith(row) for line in printed), completed.stdout
