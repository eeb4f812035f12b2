"""Odd answers of the ZenML server while a run is under way: none of them ends a step or a run that goes well."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from in_place import Studio
from localcloud.chaos import Fault, chaos
from localcloud.stack import Stack
from localcloud.zenml import STOCK, Server

PROJECT = """
import sys

from zenml import pipeline, step


@step(enable_cache=False)
def load() -> int:
    return 3  # SALT


@step(enable_cache=False)
def train(x: int) -> int:
    return x + 1


@pipeline
def static():
    train(load())


@pipeline(dynamic=True)
def dynamic():
    train(load())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""
ODD = (
    Fault.status(401),
    Fault.status(403),
    Fault.status(404),
    Fault.status(500),
    Fault.html(),
    Fault.cut_short(),
    Fault.reset(after=True),
)
LOST = (
    Fault.reset(after=True),
    Fault.cut_short(),
    Fault.html().after_execution(),
    Fault.status(500).after_execution(),
    Fault.body("{}"),
    Fault.body("[]"),
)
"""The request is carried out, and its answer never comes."""
CREATED = {"pipeline_snapshot": 1, "pipeline_run": 1, "step_run": 2, "artifact_version": 2}
SPOILT = (Fault.body("{}"), Fault.body("[]"), Fault.without("id"), Fault.wrong_types())
ASKED = "/api/v1/(?!info|login|current-user).*"
"""All that is asked for once ZenML's client knows the server."""


@pytest.mark.parametrize(
    ("pipeline", "first"),
    # Before it has a token, ZenML's client takes a 401 for the server's wish that it logs in.
    [("static", Fault.status(429, retry_after="3600")), ("dynamic", Fault.status(401))],
    ids=["static", "dynamic"],
)
def test_odd_answers_at_every_turn(zenml_stack: Stack, tmp_path: Path, pipeline: str, first: Fault) -> None:
    studio = Studio(zenml_stack, tmp_path, PROJECT)
    snapshot, run, variables = studio.prepare(pipeline)
    studio.environment.pop("ZENML_STORE_API_KEY")
    netrc = tmp_path / "netrc"
    # The user's own, which must not replace ZenML's token.
    netrc.write_text("machine 127.0.0.1 login octocat password hunter2\n")
    with chaos(zenml_stack) as proxied:
        for turn, fault in enumerate((first, *ODD, *ODD)):
            proxied.zenml.fault(fault, route=ASKED, nth=3 * turn + 1)
        for turn, fault in enumerate(SPOILT):
            proxied.zenml.fault(fault, "GET|PUT", "/api/v1/(runs|steps)(/{id})?", nth=2 * turn + 1)
        code, log = studio.run(
            *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run),
            **{**variables, "ZENML_STORE_URL": proxied.zenml.url, "NETRC": str(netrc)},
        )
        met = proxied.zenml.met

    assert code == 0, log
    assert len(met) > 10
    assert studio.server.run(run).status == "completed"
    assert [(step.name, step.status) for step in studio.server.steps(run)] == [
        ("load", "completed"),
        ("train", "completed"),
    ]


@pytest.mark.parametrize("route", [f"/api/v1/{name}" for name in ("info", "login", "current-user", "api_token")])
def test_odd_answers_to_what_a_command_asks_for_once(zenml_stack: Stack, tmp_path: Path, route: str) -> None:
    """The client's first requests come long before anything of an orchestrator's is loaded."""
    studio = Studio(zenml_stack, tmp_path, PROJECT)
    first = (Fault.body("{}"), Fault.status(403), Fault.html())
    with chaos(zenml_stack) as proxied:
        for turn, fault in enumerate(first):
            proxied.zenml.fault(fault, route=route, nth=turn + 1)
        code, log = studio.run("run.py", "static", ZENML_STORE_URL=proxied.zenml.url)
        met = proxied.zenml.met

    assert code == 0, log
    assert len(met) == len(first)
    assert studio.last_run().status == "completed"


LEAVES_FILES_OPEN = """
import os
import uuid

from zenml import pipeline, step
from zenml.client import Client

OPEN = []


def begin_a_file():
    store = Client().active_stack.artifact_store
    OPEN.append(store.open(os.path.join(store.path, f"{uuid.uuid4()}.txt"), "w"))
    OPEN[-1].write("a beginning")


@step(enable_cache=False)
def train() -> None:
    begin_a_file()


@pipeline
def static():
    train()


if __name__ == "__main__":
    static()
    begin_a_file()
"""


def test_a_file_that_is_left_open_holds_up_neither_step_nor_command(zenml_stack: Stack, tmp_path: Path) -> None:
    studio = Studio(zenml_stack, tmp_path, LEAVES_FILES_OPEN)
    code, log = studio.run("run.py")

    assert code == 0, log
    assert studio.last_run().status == "completed"


def created(stack: Stack) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(stack.zenml.server.database, timeout=30)) as database:
        return {table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in CREATED}


@contextlib.contextmanager
def forgetful(stack: Stack, folder: Path) -> Iterator[Stack]:
    """The stack with a second server on its database, which carries out each request however often it was sent."""
    folder.mkdir()
    of_server = {
        "ZENML_SERVER_REQUEST_DEDUPLICATION": "false",
        "ZENML_STORE_URL": f"sqlite:///{stack.zenml.server.database}",
    }
    with Server(folder, {**STOCK, **of_server}) as server:
        yield replace(
            stack,
            zenml=replace(stack.zenml, url=server.url),
            environment={**stack.environment, "ZENML_STORE_URL": server.url},
        )


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["static", "dynamic"])
def test_no_run_and_no_step_is_there_twice_on_a_server_that_forgets_requests(
    zenml_stack: Stack, tmp_path: Path, pipeline: str
) -> None:
    with forgetful(zenml_stack, tmp_path / "server") as stack, chaos(stack) as proxied:
        studio, before = Studio(stack, tmp_path, PROJECT), created(zenml_stack)
        for turn, fault in zip(range(50), itertools.cycle(LOST), strict=False):
            proxied.zenml.fault(fault, "POST", "/api/v1/(?!login).*", nth=2 * turn + 1)
        code, log = studio.run("run.py", pipeline, ZENML_STORE_URL=proxied.zenml.url)
        met = proxied.zenml.met

    assert code == 0, log
    assert {call.route.rpartition("/api/v1/")[2] for call in met} >= {"logs", "runs", "steps"}
    found = {table: count - before[table] for table, count in created(zenml_stack).items()}
    assert (found["pipeline_run"], found["step_run"]) == (1, 2)


@pytest.mark.parametrize("pipeline", ["static", pytest.param("dynamic", marks=pytest.mark.slow)])
def test_what_is_created_is_there_once_though_each_answer_is_lost(
    zenml_stack: Stack, tmp_path: Path, pipeline: str
) -> None:
    studio, before = Studio(zenml_stack, tmp_path, PROJECT), created(zenml_stack)
    with chaos(zenml_stack) as proxied:
        for turn, fault in zip(range(50), itertools.cycle(LOST), strict=False):
            proxied.zenml.fault(fault, "POST", "/api/v1/(?!login).*", nth=2 * turn + 1)
        code, log = studio.run("run.py", pipeline, ZENML_STORE_URL=proxied.zenml.url)
        met = proxied.zenml.met

    assert code == 0, log
    assert {call.route.rpartition("/api/v1/")[2] for call in met} >= {"pipeline_snapshots", "runs", "steps"}
    assert {table: count - before[table] for table, count in created(zenml_stack).items()} == CREATED
