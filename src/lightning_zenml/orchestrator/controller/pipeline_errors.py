"""How a pipeline may end other than well."""

from __future__ import annotations

import signal

STOPPED_EXIT_CODE = 128 + signal.SIGTERM
"""Exit code of a controller that was asked to stop: that of a shell whose command was."""


class PipelineFailedError(Exception):
    """Steps of the run failed. The message names them."""


class PipelineStoppedError(Exception):
    """The run was stopped on request."""
