"""Watches for a stop of a run in ZenML while its launch still installs, long before there is a controller to do so.

`python -m lightning_zenml.zenml_api.run_watch RUN_ID` records a run that is to be stopped as such and ends with 0. It
runs before anything is installed, so it needs the standard library only.
"""

from __future__ import annotations

import os
import select
import sys
import urllib.error
from collections.abc import Callable, Mapping

from lightning_zenml.zenml_api.run_end import END_OF_RUN, FINISHED, RestRuns, StudioServer, end_run, says

_POLL = 5.0
"""Seconds between two looks: what installs is paid for."""


def main(run_id: str, is_over: Callable[[float], bool], environ: Mapping[str, str] = os.environ) -> int:
    """Waits until a run is to be stopped, or has ended.

    Args:
        run_id: id of the run.
        is_over: function that waits for so many seconds, or until there is nothing to watch any more, and tells whether
            that is so.
        environ: the variables of the launch, with ZenML's address and token or key.

    Returns:
        0 once the launch is to be stopped; 1 if there is nothing to watch any more.
    """
    told = ""
    while True:
        server = StudioServer(environ)
        try:
            if _is_stopped(RestRuns(server.get, server.put), run_id):
                return 0
        except Exception as error:
            # The next answer may be another; where none ever comes, the controller has its say.
            if isinstance(error, urllib.error.HTTPError) and says(END_OF_RUN, error):
                return 0
            if told != (told := f"{type(error).__name__}: {error}"):
                print(f"ZenML can't be asked whether the run is to be stopped: {told}", file=sys.stderr)
        if is_over(_POLL):
            return 1


def _is_stopped(runs: RestRuns, run_id: str) -> bool:
    status = runs.status(run_id)
    if status == "stopping":
        end_run(run_id, status="stopped", reason=None, runs=runs)
    return status == "stopping" or status in FINISHED


def _is_closed(seconds: float) -> bool:
    """Whether whoever has started this program has gone, or gives up within so many seconds."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], _is_closed))
