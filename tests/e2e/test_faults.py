"""Whatever one call of a run meets on its way: the run is told as ZenML has it, nothing is left on or there twice."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fault_cells import (
    ALL_FAULTS,
    FAULTS,
    INSISTED_ON,
    Cell,
    bundles,
    cells,
    record,
    recorded,
    some,
    some_of_each_call,
)
from fault_runs import Run, Shape
from localcloud.chaos import chaos
from localcloud.stack import Stack
from scene import Actions, lightning_of

KNOWN: dict[str, str] = {}
"""Cells that fail so far (a regular expression of their names) and what goes wrong in each."""

SEED = os.environ.get("MATRIX_SEED", "34424")
"""Of the cells that are tried each time, and of those that are tried where not all are."""
OF_EACH_CALL = int(os.environ.get("MATRIX_OF_EACH_CALL", "0"))
"""Number of cells of each call that `make test-matrix` tries; 0: all."""

IN_A_RUN = int(os.environ.get("MATRIX_IN_A_RUN", "1"))
"""Cells that `make test-matrix` tries in one run: many runs less, and the cell that goes wrong is to be looked for."""
MET = os.environ.get("MATRIX_MET")
"""File that has a line for each cell that was met, behind `ok` or `wrong`; those that are `ok` are not tried again."""


def known(cell: Cell) -> str | None:
    """What goes wrong in the cell so far; None: nothing is known to."""
    return next((symptom for cells, symptom in KNOWN.items() if re.fullmatch(cells, str(cell))), None)


def quick() -> list[Cell]:
    """Cells that take no longer than a run takes anyway."""
    return [cell for cell in cells() if cell.shape is Shape.SYNC and cell.fault in FAULTS and not known(cell)]


def wanted() -> list[tuple[Cell, ...]]:
    done = {line.partition(" ")[2] for line in lines_of(MET) if line.startswith("ok ")}
    chosen = some_of_each_call(cells(), OF_EACH_CALL, SEED) if OF_EACH_CALL else cells()
    return bundles((cell for cell in chosen if str(cell) not in done and not known(cell)), IN_A_RUN, SEED)


def lines_of(file: str | None) -> list[str]:
    return Path(file).read_text().splitlines() if file and Path(file).exists() else []


def named(of: tuple[Cell, ...]) -> str:
    return str(of[0]) if len(of) == 1 else f"{of[0].shape} {len(of)} cells from {of[0]}"


def check(of: Sequence[Cell], stack: Stack, actions: Actions) -> None:
    with chaos(stack) as proxied:
        rules = {
            cell: proxied.proxies[cell.service].fault(
                ALL_FAULTS[cell.fault], cell.method, re.escape(cell.route), nth=cell.nth
            )
            for cell in of
        }
        # Output is streamed of commands that Lightning does not wait for.
        lightning_of(stack).knobs.waits_for_commands = not any(cell.route.endswith("/stream") for cell in of)
        run = Run(stack, proxied, actions, of[0].shape)
        log = run.go().log
        met = [cell for cell, rule in rules.items() if rule.met]
        if not met:
            pytest.skip("the run made no such call")
        wrong = run.wrong(completes=all(cell.service in INSISTED_ON for cell in met))
        if MET:
            with Path(MET).open("a") as file:
                file.write("".join(f"{'wrong' if wrong else 'ok'} {cell}\n" for cell in met))
        assert wrong == [], "\n".join([*map(str, met), log])


@pytest.mark.parametrize("cell", some(quick(), 4, SEED), ids=str)
def test_a_slice_of_the_matrix(stack: Stack, actions: Actions, cell: Cell) -> None:
    check([cell], stack, actions)


@pytest.mark.matrix
@pytest.mark.parametrize("cells_of_a_run", wanted(), ids=named)
def test_the_matrix(stack: Stack, actions: Actions, cells_of_a_run: tuple[Cell, ...]) -> None:
    check(cells_of_a_run, stack, actions)


@pytest.mark.slow
@pytest.mark.parametrize("shape", Shape)
def test_the_matrix_has_every_call(stack: Stack, actions: Actions, shape: Shape) -> None:
    """With `UPDATE_GOLDEN=1` it records what this run made. What a run makes only at times is among what it has."""
    with chaos(stack) as proxied:
        run = Run(stack, proxied, actions, shape)
        run.go()
        assert run.wrong() == [], run.finished.log
        counts = proxied.calls.counts()
    if os.environ.get("UPDATE_GOLDEN"):
        record(shape, counts)
    assert sorted(set(counts) - set(recorded(shape))) == []
