"""`python -m localcloud.demo [SCENARIO]`: plays a scenario, shows it in the terminal and as a page."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from localcloud.demo.page import page_of
from localcloud.demo.play import ROOT, Play, Told
from localcloud.demo.scenarios import SCENARIOS
from localcloud.stack import services

PAGES = ROOT / ".cache/demo"


def main(arguments: list[str]) -> int:
    """Plays the scenario that the command line names, `completes` if none; returns the exit code."""
    name = arguments[0] if arguments and arguments[0] else "completes"
    scenario = SCENARIOS.get(name)
    if scenario is None or len(arguments) > 1:
        known = "\n".join(f"  {one.name:<10} {one.title}" for one in SCENARIOS.values())
        print(
            f"There is no scenario {' '.join(arguments)!r}. `make demo SCENARIO=...` plays:\n{known}", file=sys.stderr
        )
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-") as scratch:
        folder = Path(scratch)
        _say("Starting local stand-ins for Lightning AI and GitHub, a ZenML server and S3")
        with services(folder / "services") as stack:
            _say(f"ZenML {stack.zenml_url} · Lightning {stack.environment['LIGHTNING_CLOUD_URL']}")
            play = Play(stack, folder, scenario.project, sys.stdout)
            _say(f"A push of {play.sha[:7]} to the branch of pull request #{play.pull_request}: {scenario.title}")
            problems = scenario.act(play)
            told = play.told(scenario.name, scenario.title)
            problems += told.problems
    _show(told)
    page = PAGES / f"{scenario.name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(page_of(told), encoding="utf-8")
    for problem in problems:
        print(f"✗ {problem}", file=sys.stderr)
    _say(f"{'Failed' if problems else 'Done'} in {time.monotonic() - started:.0f} s. All of it as a page: {page}")
    if may_open_a_browser(os.environ, is_terminal=sys.stdout.isatty(), platform=sys.platform):
        webbrowser.open(page.as_uri())
    return 1 if problems else 0


def may_open_a_browser(environ: Mapping[str, str], *, is_terminal: bool, platform: str) -> bool:
    """Whether somebody sits there who would like to see a page, and a screen to show it on.

    Args:
        environ: variables of this process.
        is_terminal: whether the output goes to a terminal.
        platform: `sys.platform`.
    """
    has_screen = platform in {"darwin", "win32"} or any(environ.get(one) for one in ("DISPLAY", "WAYLAND_DISPLAY"))
    is_elsewhere = any(environ.get(one) for one in ("CI", "SSH_CONNECTION", "NO_BROWSER"))
    return is_terminal and has_screen and not is_elsewhere


def _show(told: Told) -> None:
    _say(f"The comment on pull request #{told.pull_request}")
    print("\n".join(comment[-1] for comment in told.comments))
    for job in told.jobs:
        _say(f"The outputs of the job {job.name}, whose exit code is {job.finished.exit_code}")
        for name, value in job.finished.outputs.items():
            print(f"{name}={value}")
    _say("The runs, as ZenML has them")
    for run in told.runs:
        print(f"{run.name}: {run.status}, orchestrator_url {run.orchestrator_url}")
    _say("What it cost")
    seconds = ", ".join(f"{value:.0f} s of {name}" for name, value in told.machine_seconds.items())
    print(f"{seconds}: ${told.cost:.4f}; still running: {', '.join(told.running) or 'nothing'}")


def _say(text: str) -> None:
    print(f"\n\033[1m▸ {text}\033[0m", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
