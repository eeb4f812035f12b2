"""How a pipeline may end other than well."""

from __future__ import annotations

import signal

from lightning_zenml.codes import Code, CodedError

STOPPED_EXIT_CODE = 128 + signal.SIGTERM
"""Exit code of a controller that was asked to stop: that of a shell whose command was."""


class PipelineFailedError(CodedError):
    """Steps of the run failed. The message names them."""

    code = Code.RUN


class PipelineStoppedError(CodedError):
    """The run was stopped on request."""

    code = Code.STOPPED
