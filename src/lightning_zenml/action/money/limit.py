"""`max-cost`, watched from here while a run is waited for; the supervisor on the studio does so, too."""

from __future__ import annotations

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.codes import Code

_WARNING = 0.8
"""Part of the limit from which on there is a warning."""


class CostLimit:
    """`max-cost`, watched.

    Args:
        limit: US dollars that the run may cost; None: no limit.
        workflow: the runner, for the warning.
    """

    def __init__(self, limit: float | None, workflow: Workflow) -> None:
        self._limit = limit
        self._workflow = workflow
        self._warned = False

    def is_reached(self, cost: float | None, machine: str) -> bool:
        """Whether the run has to be stopped; warns once when it has cost most of it, or when nobody knows the price.

        Args:
            cost: US dollars that the run has cost so far; None: a price isn't known.
            machine: name of the machine that the run is on.
        """
        if self._limit is None:
            return False
        if not self._warned and (cost is None or cost >= _WARNING * self._limit):
            self._warned = True
            message = (
                f"The price of {machine or 'the machine'} isn't known, so `max-cost` can't be kept."
                if cost is None
                else f"The run has cost ${cost:.2f} of the ${self._limit:g} that `max-cost` allows."
            )
            self._workflow.warning(message, Code.COST)
        return cost is not None and cost >= self._limit
