"""`python -m lightning_zenml.cli.doctor.from_studio`: what a studio reaches, told in lines that `studio` reads.

It runs on the studio, where of all that this package needs only ZenML and what that brings is sure to be there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

from lightning_zenml.launch.payload.variables import SOURCE_ROOT

MARK = "lightning-zenml doctor: "
"""Begins a line that tells something."""
STUDIO = "a studio"
_PATIENCE = 60.0
"""Seconds for one answer."""
_AHEAD = 60.0
"""Seconds that a clock may go wrong."""
_PACKAGE = "six"
"""A package that every index has, and that needs no other."""
LOOK_INTO_STORE = """
import json, sys
from zenml.client import Client
from zenml.stack import Stack

store = Stack.from_model(Client().get_stack(sys.argv[1])).artifact_store
try:
    store.exists(store.path.rstrip("/") + "/lightning-zenml-doctor")
except Exception as error:
    print(json.dumps([store.path, f"{type(error).__name__}: {error}"]))
else:
    print(json.dumps([store.path, ""]))
"""
"""ZenML's own way to the store, in a process of its own: it takes seconds to import."""

Told = tuple[str, str]
"""How it stands (a value of `finding.Result`), and what was found."""


def main() -> int:
    """Looks at all, whatever is wrong with one thing.

    Returns:
        The exit code, 0.
    """
    looks: dict[str, Callable[[], Told]] = {
        "ZenML server": _server,
        "clock of": _clock,
        "package index": _index,
        "artifact store": _store,
    }
    for name, look in looks.items():
        try:
            result, told = look()
        except Exception as error:
            result, told = "wrong", f"{type(error).__name__}: {error}"
        check = f"{name} {STUDIO}" if name.endswith(" of") else f"{name} from {STUDIO}"
        print(f"{MARK}{json.dumps({'check': check, 'result': result, 'told': told})}", flush=True)
    return 0


def _server() -> Told:
    url = os.environ["ZENML_STORE_URL"]
    try:
        with urllib.request.urlopen(f"{url}/api/v1/info", timeout=_PATIENCE) as answer:  # noqa: S310 - the user's own
            version = json.load(answer)["version"]
    except (OSError, ValueError, KeyError) as error:
        return "wrong", f"{url} can't be reached from there, which every run needs: {error}"
    return "ok", f"{version} at {url} answers there"


def _clock() -> Told:
    request = urllib.request.Request(os.environ["ZENML_STORE_URL"], method="HEAD")  # noqa: S310 - the user's own
    before = time.time()
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 - the user's own
            date = answer.headers["Date"]
    except urllib.error.HTTPError as error:
        date = error.headers["Date"]
    except OSError:
        date = None
    if not date:
        return "skipped", "There is no server that tells the time"
    difference = (before + time.time()) / 2 - parsedate_to_datetime(date).timestamp()
    if abs(difference) > _AHEAD:
        return (
            "wrong",
            f"It differs by {abs(difference):.0f} s from the ZenML server's: tokens and signatures fail there",
        )
    return "ok", "as the ZenML server's"


def _index() -> Told:
    """By the program that installs, with nothing from its cache."""
    with tempfile.TemporaryDirectory() as folder:
        if uv := shutil.which("uv"):
            name, command = "uv", [uv, "pip", "compile", "--quiet", "--no-cache", "--no-header", "-"]
        else:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
            name, command = "pip", [*pip, "download", "--quiet", "--no-deps", "--dest", folder, _PACKAGE]
        done = subprocess.run(
            command, input=f"{_PACKAGE}\n", capture_output=True, text=True, check=False, timeout=_PATIENCE, cwd=folder
        )
    if done.returncode == 0:
        return "ok", f"{name} finds packages there"
    reason = " ".join((done.stderr.strip() or done.stdout.strip()).split())[-500:]
    return "wrong", f"{name} finds no package there ({reason}): requirements can't be installed"


def _store() -> Told:
    command = [sys.executable, "-c", LOOK_INTO_STORE, os.environ["ZENML_ACTIVE_STACK_ID"]]
    # It wants to know a folder, and imports nothing from it here.
    environment = {**os.environ, SOURCE_ROOT: str(Path.cwd())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=2 * _PATIENCE)
    try:
        path, problem = json.loads(done.stdout.splitlines()[-1])
    except (LookupError, ValueError):
        return (
            "wrong",
            f"It can't be looked into there: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}",
        )
    return ("wrong", f"{path} can't be reached from there: {problem}") if problem else ("ok", f"{path} answers there")


if __name__ == "__main__":
    sys.exit(main())
