"""`make demo` with each of its scenarios, which brings its own services; CI plays the first one as a stage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.demo.scenarios import SCENARIOS

PAGES = Path(__file__).parents[2] / ".cache/demo"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"completes"}))
def test_a_scenario_ends_as_it_must_and_leaves_a_page(scenario: str) -> None:
    page = PAGES / f"{scenario}.html"
    page.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.demo", scenario],
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(page) in done.stdout
    assert "<svg" in page.read_text()
