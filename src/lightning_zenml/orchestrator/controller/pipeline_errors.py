"""How a pipeline may end other than well."""


class PipelineFailedError(Exception):
    """Steps of the run failed. The message names them."""


class PipelineStoppedError(Exception):
    """The run was stopped on request."""
