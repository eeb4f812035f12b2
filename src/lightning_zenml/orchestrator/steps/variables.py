"""The variables of a step's process in the studio, as far as they are known before ZenML is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lightning_zenml.launch.payload.variables import GITHUB, LAPTOP, LENT, RESTARTED, SETTINGS, SOURCE_ROOT
from lightning_zenml.orchestrator.start import Start

WITHHELD = frozenset({"ZENML_STORE_API_KEY", "ZENML_STORE_USERNAME", "ZENML_STORE_PASSWORD", SETTINGS, GITHUB, LAPTOP})
"""What no step gets, wherever it runs: it has the run's own token only, and settles nothing anew."""


def of_the_studio(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Gets what a step has of the controller's variables: those of the studio, and of the shell of the commands.

    Args:
        environ: all variables of the controller.
    """
    lent = (environ.get(LENT) or "").split(",")
    withheld = {*WITHHELD, LENT, RESTARTED, *lent}
    return {name: value for name, value in environ.items() if name not in withheld}


def of_the_start(start: Start, source_root: Path) -> dict[str, str]:
    """Gets what tells a step where it belongs.

    Args:
        start: where the pipeline was started.
        source_root: ZenML's source root on this machine.
    """
    return {SOURCE_ROOT: str(source_root), **start.variables(), "PYTHONUNBUFFERED": "1"}
