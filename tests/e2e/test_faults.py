"""Whatever one call of a run meets on its way: the run is told as ZenML has it, nothing is left on or there twice."""

from __future__ import annotations

import os
import re

import pytest

from fault_cells import ALL_FAULTS, FAULTS, INSISTED_ON, Cell, cells, record, recorded, some, some_of_each_call
from fault_runs import Run, Shape
from localcloud.chaos import chaos
from localcloud.stack import Stack
from scene import Actions

KNOWN: dict[str, str] = {}
"""Cells that fail so far (a regular expression of their names) and what goes wrong in each."""

SEED = os.environ.get("MATRIX_SEED", "34424")
"""Of the cells that are tried each time, and of those that are tried where not all are."""
OF_EACH_CALL = int(os.environ.get("MATRIX_OF_EACH_CALL", "0"))
"""Number of cells of each call that `make test-matrix` tries; 0: all."""


def known(cell: Cell) -> str | None:
    """What goes wrong in the cell so far; None: nothing is known to."""
    return next((symptom for cells, symptom in KNOWN.items() if re.fullmatch(cells, str(cell))), None)


def expected(cell: Cell) -> object:
    symptom = known(cell)
    return pytest.param(cell, marks=pytest.mark.xfail(reason=symptom, strict=False)) if symptom else cell


def quick() -> list[Cell]:
    """Cells that take no longer than a run takes anyway."""
    return [cell for cell in cells() if cell.shape is Shape.SYNC and cell.fault in FAULTS and not known(cell)]


def wanted() -> list[Cell]:
    return some_of_each_call(cells(), OF_EACH_CALL, SEED) if OF_EACH_CALL else list(cells())


def check(cell: Cell, stack: Stack, actions: Actions) -> None:
    with chaos(stack) as proxied:
        fault, route = ALL_FAULTS[cell.fault], re.escape(cell.route)
        rule = proxied.proxies[cell.service].fault(fault, cell.method, route, nth=cell.nth)
        run = Run(stack, proxied, actions, cell.shape)
        log = run.go().log
        if not rule.met:
            pytest.skip(f"the run made {rule.seen} such calls")
        assert run.wrong(completes=cell.service in INSISTED_ON) == [], log


@pytest.mark.parametrize("cell", some(quick(), 4, SEED), ids=str)
def test_a_slice_of_the_matrix(stack: Stack, actions: Actions, cell: Cell) -> None:
    check(cell, stack, actions)


@pytest.mark.matrix
@pytest.mark.parametrize("cell", [expected(cell) for cell in wanted()], ids=str)
def test_the_matrix(stack: Stack, actions: Actions, cell: Cell) -> None:
    check(cell, stack, actions)


@pytest.mark.slow
@pytest.mark.parametrize("shape", Shape)
def test_the_matrix_has_every_call(stack: Stack, actions: Actions, shape: Shape) -> None:
    """With `UPDATE_GOLDEN=1` it adds what is missing. What a run makes only at times is among what it has."""
    with chaos(stack) as proxied:
        run = Run(stack, proxied, actions, shape)
        run.go()
        assert run.wrong() == [], run.finished.log
        counts = proxied.calls.counts()
    if os.environ.get("UPDATE_GOLDEN"):
        record(shape, counts)
    assert sorted(set(counts) - set(recorded(shape))) == []
