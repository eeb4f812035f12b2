"""How far a launch is, shown below what is printed: on a real terminal, beside all that writes there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lightning_zenml.terminal.stages import Stages
from terminals import Shown, run_in_terminal

PROGRAM = """
import logging, sys, time
from lightning_zenml.terminal.live import Live

by_handler = logging.StreamHandler(sys.stderr)
logging.root.addHandler(by_handler)
with Live() as live:
    live.stage("Packing the code")
    print("first line")
    logging.warning("by a handler")
    live.stage("Uploading", lambda: (1_000_000, 3_000_000))
    time.sleep(1)
    sys.stdout.write("half")
    time.sleep(1)
    sys.stdout.write(" a line\\n")
    live.feed("==> Run: python run.py\\n[train] Step train has started.\\n")
    print("x" * 250)
    time.sleep(1)
    live.feed("[train] Step train has finished in 1.2s.\\nUsing cached version of step load.\\n")
    print("of the error", file=sys.stderr)
print("after it")
"""
PRINTED = ["first line", "by a handler", "half a line", "x" * 250, "of the error"]


def shown(tmp_path: Path, program: str = PROGRAM, **variables: str) -> Shown:
    found = run_in_terminal([sys.executable, "-c", program], tmp_path, {"PATH": "/usr/bin:/bin", **variables})
    assert found.exit_code == 0, found.terminal
    return found


def test_all_that_is_printed_stays_whole_and_what_moves_is_gone_in_the_end(tmp_path: Path) -> None:
    found = shown(tmp_path)
    words = [line.split() for line in found.lines]
    assert words == [
        *(line.split() for line in PRINTED),
        ["train", "completed", words[len(PRINTED)][-1]],
        ["load", "cached"],
        ["after", "it"],
        [],
    ]
    assert "1.0 of 3.0 MB" in found.terminal
    assert "Run: python run.py" in found.terminal
    assert "running" in found.terminal


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}, {"LIGHTNING_ZENML_QUIET": "1"}], ids=str
)
def test_lines_are_plain_where_they_are_wanted_so(tmp_path: Path, variables: dict[str, str]) -> None:
    assert shown(tmp_path, PROGRAM.replace("sleep(1)", "sleep(0)"), **variables).terminal.splitlines() == [
        *PRINTED,
        "after it",
    ]


BESIDE_ZENML = """
import time
from zenml.logger import get_logger
from lightning_zenml.terminal.live import Live

with Live() as live:
    live.stage("Packing the code")
    time.sleep(0.6)
    get_logger("zenml.x").warning("a line of ZenML's")
    print("a printed one")
    live.stage("Starting")
    time.sleep(0.6)
    get_logger("lightning_zenml.x").info("one of ours")
"""


def test_zenmls_own_lines_stay_whole(tmp_path: Path) -> None:
    config = {"ZENML_CONFIG_PATH": str(tmp_path), "ZENML_ANALYTICS_OPT_IN": "false", "HOME": str(tmp_path)}
    found = shown(tmp_path, BESIDE_ZENML, **config)
    told = [line for line in found.lines if line]
    assert [line.strip() for line in told] == ["a line of ZenML's", "a printed one", "one of ours"]
    assert "Packing the code" in found.terminal


def test_steps_are_followed_by_what_is_logged_of_them() -> None:
    now = [0.0]
    stages = Stages(lambda: now[0])
    stages.feed("==> Installing requirements\n[load] Step `load` has started.\nUsing cached version of ")
    now[0] = 2.0
    stages.feed(
        "step `old`.\n\x1b[1m[load]\x1b[0m Step load has finished in 2.0s.\nStep `fit` runs as Lightning job on T4: u\n"
    )
    stages.feed("[sweep] Step sweep has started.\nStep `sweep` ended with exit code 1.\n")
    stages.feed("I say: Step nothing has started. And more\n")
    assert stages.current is not None
    assert stages.current.text == "Installing requirements"
    assert [(one.name, one.state, one.since, one.ended) for one in stages.steps] == [
        ("load", "completed", 0, 2),
        ("old", "cached", 2, 2),
        ("fit", "running", 2, None),
        ("sweep", "failed", 2, 2),
    ]
    now[0] = 3.0
    stages.feed("[sweep] Step sweep has started.\n")
    assert [(one.name, one.state, one.since) for one in stages.steps][-1] == ("sweep", "running", 3)


def test_what_is_remembered_has_a_bound() -> None:
    stages = Stages()
    stages.feed("".join(f"[s{number}] Step s{number} has started.\n" for number in range(1000)))
    stages.feed("x" * 100_000)
    assert len(stages.steps) == 200
    assert stages.steps[-1].name == "s999"
