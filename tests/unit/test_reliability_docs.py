"""docs/reliability.md says of every remote call what the code does; `UPDATE_GOLDEN=1` writes it there anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lightning_sdk.lightning_cloud import env as sdk

from lightning_zenml.action import post, throwaway
from lightning_zenml.action.github import rest as github
from lightning_zenml.action.report import reporter, runs
from lightning_zenml.launch import agreement, launch, watchdog
from lightning_zenml.launch.lightning import client, ending, failures, files
from lightning_zenml.launch.payload import protocol, release, supervisor
from lightning_zenml.launch.payload.lightning import requests
from lightning_zenml.launch.studio import hold, remote, waits
from lightning_zenml.orchestrator.zenml_client import patience
from lightning_zenml.package import checkout
from lightning_zenml.zenml_api import rest as zenml
from lightning_zenml.zenml_api import run_watch

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- bounds: written by tests/unit/test_reliability_docs.py -->", "<!-- /bounds -->"
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT.read_text())


@dataclass(frozen=True)
class Bound:
    """A row of the table.

    Args:
        what: which call or wait.
        one: what one try may take.
        tries: how often it is tried.
        total: what that may take in all.
    """

    what: str
    one: str = ""
    tries: str = ""
    total: str = ""


def bounds() -> Iterator[Bound]:
    limits = waits.Limits()
    silence = _silence(sdk.LIGHTNING_CLOUD_CONNECT_TIMEOUT, sdk.LIGHTNING_CLOUD_READ_TIMEOUT)
    silence += f", {_time(client._WHOLE)} in all"
    tries = f"{failures._TRIES}; {failures._REFUSALS} where it is refused"
    longest = f"no new one after {_time(failures._PATIENCE)}; pauses up to {_time(failures._LONGEST_RETRY_AFTER)}"
    yield Bound("Client to Lightning, every call", silence, tries, longest)
    yield Bound("Client to payload: read what is new", total=_time(remote._READ_TIMEOUT))
    yield Bound("Client to payload: all else", total=f"{_time(remote._TIMEOUT)}; 3 min for the start")
    size = f"{_time(files._LEAST)} and a second for each {files._SLOWEST / 1000:g} kB"
    yield Bound("Upload of a file", "the SDK's", "the SDK's", size)
    yield Bound("Studio: until its machine is up", total=f"{_time(limits.start)} (`LIGHTNING_ZENML_START_TIMEOUT`)")
    one, total = _time(waits._PROBE_PATIENCE), f"{_time(limits.setup)} (`LIGHTNING_ZENML_SETUP_TIMEOUT`)"
    yield Bound("Studio: until `python` works", one, total=total)
    yield Bound("Studio: until another machine is under it", total=_time(limits.switch))
    yield Bound("Studio: until it has stopped", total=_time(waits._STOP_PATIENCE))
    yield Bound("Studio, job: until it is seen gone once it was deleted", total=_time(ending._PATIENCE))
    yield Bound("Lease of a named studio: to take it or give it back", total=_time(hold._LEASE_PATIENCE))
    looks = f"{agreement._LOOKS} looks that agree"
    yield Bound("Studio, job: until it is believed to be lost", "", looks, f"{_time(agreement.SPAN)} at least")
    refused = f"{_time(launch._PATIENCE_WITH_REFUSALS)} where the key is refused"
    yield Bound("Follower that can't reach its run, and leaves it", total=f"{_time(launch._PATIENCE)}; {refused}")
    yield Bound("Payload: until it is followed by nobody", total=_time(protocol.FOLLOWED_WITHIN))
    one, pause = f"{_time(requests._WHOLE)}", f"pauses up to {_time(requests._LONGEST_PAUSE)}"
    yield Bound("Payload to Lightning, every call", one, str(requests.TRIES), pause)
    yield Bound("Payload: ends the launch's jobs", "", str(release._JOBS_TRIES), "half an hour")
    yield Bound("Payload: stops or deletes its studio", "", str(release._STUDIO_TRIES), "half a day")
    yield Bound("Payload: installs", total=_time(supervisor._INSTALL))
    yield Bound("Payload: sees that the run was stopped in ZenML, while it installs", total=_time(run_watch._POLL))
    yield Bound("Action: installs on the runner", total=f"`timeout-minutes`, else {_time(throwaway._PATIENCE)}")
    yield Bound("git, one answer", total=_time(checkout._PATIENCE))
    yield Bound("GitHub, every call", _silence(*github.TIMEOUT), str(github.ATTEMPTS), _time(github.PATIENCE))
    yield Bound("Report while the run goes on, in a thread of its own", total=_time(reporter._LOOK_PATIENCE))
    yield Bound("Last report", total=_time(reporter.LAST_PATIENCE))
    yield Bound("Action to ZenML, every call", total=_time(zenml._PATIENCE))
    yield Bound("Controller, step, payload to ZenML: an odd answer is believed after", total=_time(patience.SPAN))
    yield Bound("Controller, step to ZenML: a server that is away is waited for", total=_time(patience.OUTAGE))
    yield Bound("Action to ZenML: how the run ended", total=_time(runs._WITNESS_PATIENCE))
    yield Bound("`post`: releases", f"pauses of {_time(post._PAUSE)}", "as many as fit", _time(post._RELEASE_PATIENCE))
    rest = (post._END_PATIENCE, post._LOOK_PATIENCE, post._REPORT_PATIENCE)
    yield Bound("`post`: ends the run in ZenML, looks, reports", total=", ".join(map(_time, rest)))
    pause = f"pauses of {_time(watchdog._PAUSE)}"
    yield Bound("Watchdog of a laptop's client: releases", pause, str(watchdog._TIMES), "half an hour")


def table() -> str:
    rows = [Bound("Call or wait", "One try", "Tries", "In all"), Bound("---", "---", "---", "---"), *bounds()]
    return "\n".join(f"| {row.what} | {row.one} | {row.tries} | {row.total} |" for row in rows)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"


def _silence(connecting: float, reading: float) -> str:
    return f"{_time(connecting)} to connect, {_time(reading)} of silence"


def test_the_bounds_are_those_of_the_code() -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(wanted)
    assert DOCUMENT.read_text() == wanted


def test_tests_are_named() -> None:
    assert len(TESTS) > 10


@pytest.mark.parametrize(("file", "name"), sorted(set(TESTS)))
def test_every_test_named_is_there(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
