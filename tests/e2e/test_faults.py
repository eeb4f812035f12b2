"""Whatever one call of a run meets on its way: the run is told as ZenML has it, nothing is left on or there twice."""

from __future__ import annotations

import os
import re

import pytest

from fault_cells import FAULTS, INSISTED_ON, Cell, Run, cells, recorded, some
from localcloud.chaos import chaos
from localcloud.stack import Stack
from scene import Actions

STUDIOS = "/v1/projects/{id}/cloudspaces"
COMMENTS = "/repos/octo/model/issues/{id}/comments"
KNOWN = {
    f"lightning DELETE {STUDIOS}/{{id}} first html": "told as deleted; the studio is billed until somebody looks",
    f"lightning POST {STUDIOS}/{{id}}/start first html": "told as started; twenty minutes of waiting for no machine",
    f"lightning POST {STUDIOS}/{{id}}/start first 404": "the launch ends: the new studio is called deleted",
    f"lightning GET {STUDIOS}/{{id}}/codestatus .* html": "the launch ends with a TypeError",
    f"lightning POST {STUDIOS}(/{{id}}/runs)? .* html": "the launch ends with a TypeError",
    f"lightning POST {STUDIOS}/{{id}}/execute .* 401": "the followed run is stopped",
    f"lightning POST {STUDIOS}/{{id}}/execute .* html": "the followed run is stopped, with a TypeError",
    f"github POST {COMMENTS} first empty-object": "the launch ends: KeyError id",
    "github GET /repos/octo/model/issues/comments/{id} .* empty-(object|list)": "the run is stopped: KeyError id",
    "github PATCH /repos/octo/model/issues/comments/{id} .* 404": "a second comment; the first is left as running",
    "zenml GET /api/v1/runs/{id} .* (html|404)": "a run that completed is told as failed",
    "zenml GET /api/v1/steps .* empty-(object|list)": "a run that completed is told as failed",
}
"""Cells that fail so far (a regular expression of their names) and what goes wrong in each."""

SEED = os.environ.get("MATRIX_SEED", "34424")
"""Of the cells that are tried each time."""


def known(cell: Cell) -> str | None:
    """What goes wrong in the cell so far; None: nothing is known to."""
    return next((symptom for cells, symptom in KNOWN.items() if re.fullmatch(cells, str(cell))), None)


def expected(cell: Cell) -> object:
    symptom = known(cell)
    return pytest.param(cell, marks=pytest.mark.xfail(reason=symptom, strict=False)) if symptom else cell


def check(cell: Cell, stack: Stack, actions: Actions) -> None:
    with chaos(stack) as proxied:
        rule = proxied.proxies[cell.service].fault(FAULTS[cell.fault], cell.method, re.escape(cell.route), nth=cell.nth)
        run = Run(stack, proxied, actions)
        log = run.go().log
        if not rule.met:
            pytest.skip(f"the run made {rule.seen} such calls")
        assert run.wrong(completes=cell.service in INSISTED_ON) == [], log


@pytest.mark.parametrize("cell", some([cell for cell in cells() if not known(cell)], 4, SEED), ids=str)
def test_a_slice_of_the_matrix(stack: Stack, actions: Actions, cell: Cell) -> None:
    check(cell, stack, actions)


@pytest.mark.matrix
@pytest.mark.timeout(330)
@pytest.mark.parametrize("cell", [expected(cell) for cell in cells()], ids=str)
def test_the_matrix(stack: Stack, actions: Actions, cell: Cell) -> None:
    check(cell, stack, actions)


@pytest.mark.slow
def test_the_matrix_has_every_call(stack: Stack, actions: Actions) -> None:
    """`recorded_calls.txt` is generated; what differs is shown as it must be written there."""
    with chaos(stack) as proxied:
        run = Run(stack, proxied, actions)
        run.go()
        assert run.wrong() == [], run.finished.log
        counts = proxied.calls.counts()
    new = [" ".join([*call, str(count)]) for call, count in sorted(counts.items()) if call not in recorded()]
    assert new == []
