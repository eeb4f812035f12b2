"""Odd answers of the ZenML server while a run is under way: none of them ends a step or a run that goes well."""

from __future__ import annotations

from pathlib import Path

import pytest

from in_place import Studio
from localcloud.chaos import Fault, chaos
from localcloud.stack import Stack

PROJECT = """
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
    with chaos(zenml_stack) as proxied:
        for turn, fault in enumerate((first, *ODD, *ODD)):
            proxied.zenml.fault(fault, route=ASKED, nth=3 * turn + 1)
        for turn, fault in enumerate(SPOILT):
            proxied.zenml.fault(fault, "GET|PUT", "/api/v1/(runs|steps)(/{id})?", nth=2 * turn + 1)
        code, log = studio.run(
            *("-m", "lightning_zenml.orchestrator.controller", "--snapshot-id", snapshot, "--run-id", run),
            **{**variables, "ZENML_STORE_URL": proxied.zenml.url},
        )
        met = proxied.zenml.met

    assert code == 0, log
    assert len(met) > 10
    assert studio.server.run(run).status == "completed"
    assert [(step.name, step.status) for step in studio.server.steps(run)] == [
        ("load", "completed"),
        ("train", "completed"),
    ]
