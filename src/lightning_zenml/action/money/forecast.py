"""Before anything is started: what the run will cost, what is left of the budget, and whether that goes together."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.budget import Budget, Counted, Per, applies, count
from lightning_zenml.action.money.estimate import Estimate, Wanted, estimate
from lightning_zenml.action.money.words import dollars
from lightning_zenml.codes import Code
from lightning_zenml.deadline import begin
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.studio import names
from lightning_zenml.zenml_api.server import ZenMLServer

_PATIENCE, _PATIENCE_WITH_A_LIMIT = 10.0, 60.0
"""Seconds to wait for an estimate, once all else is prepared: without `max-cost`, and with it."""
_PATIENCE_WITH_A_BUDGET = 300.0
"""Seconds to wait for what is used of a budget."""


class CostRefusedError(LaunchError):
    """A run is not started, as it would cost more than it may."""

    code = Code.COST


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What is known of a run's cost before it is started, in words; None where it isn't.

    Args:
        estimate: what it will cost.
        budget: what is left of the budgets.
    """

    estimate: str | None = None
    budget: str | None = None


class Forecast:
    """Looks ahead beside the preparation of a run.

    Args:
        inputs: the step's inputs.
        event: what started the workflow run.
        zenml: the ZenML server.
        workflow: the runner, for outputs.
        log: the step's log.
    """

    def __init__(self, inputs: Inputs, event: Event, *, zenml: ZenMLServer, workflow: Workflow, log: Log) -> None:
        self._inputs = inputs
        self._event = event
        self._zenml = zenml
        self._workflow = workflow
        self._log = log
        self._estimate: Future[Estimate | None] = Future()
        self._counted: list[tuple[Budget, Future[Counted]]] = []

    def begin(self, lightning: Lightning) -> None:
        """Begins to find out.

        Args:
            lightning: the teamspace that the run will be in.
        """
        self._estimate = begin(partial(estimate, self._wanted(), self._zenml, lightning))
        self._counted = [
            (budget, begin(partial(count, budget, self._event, self._zenml)))
            for budget in self._inputs.budget
            if applies(budget, self._event)
        ]

    def settle(self) -> Foreseen:
        """Tells what was found out, in the log and as outputs.

        Without past runs, or where they can't be had, there is no estimate, and nothing is said.

        Returns:
            The same for the report.

        Raises:
            CostRefusedError: if the run would cost more than `max-cost`, or a budget is used up, or can't be counted.
        """
        counted = [self._settled(budget, future) for budget, future in self._counted]
        foreseen = None
        with contextlib.suppress(Exception):
            foreseen = self._estimate.result(_PATIENCE_WITH_A_LIMIT if self._inputs.max_cost else _PATIENCE)
        if foreseen is not None:
            self._log.line(f"Estimated cost: {foreseen}, on {foreseen.machine}")
            self._workflow.set_output("estimated-cost", f"{foreseen.typical:.4f}")
            self._workflow.set_output("estimated-cost-range", f"{foreseen.low:.4f}-{foreseen.high:.4f}")
        for one in counted:
            self._log.line(f"Budget: {one}")
        if counted:
            self._workflow.set_output("budget-left", f"{min(one.left for one in counted):.4f}")
        self._refuse(foreseen, counted)
        left = ", ".join(f"{dollars(one.left)} left of {one.budget}" for one in counted)
        return Foreseen(estimate=str(foreseen) if foreseen else None, budget=left or None)

    def _refuse(self, foreseen: Estimate | None, counted: list[Counted]) -> None:
        for one in counted:
            if not one.left:
                wait = " or wait for the next month" if one.budget.per is Per.MONTH else ""
                raise CostRefusedError(f"The budget is used up: {one}. Nothing was started. Raise `budget`{wait}.")
        # What another machine takes, nobody knows.
        if foreseen is None or not foreseen.is_same_machine:
            return
        told = f"by {foreseen.basis} of this workflow it costs {foreseen.range} on {foreseen.machine}"
        what_to_do = "choose a cheaper `machine-type`, or, if it has become shorter,"
        if self._inputs.max_cost is not None and foreseen.low > self._inputs.max_cost:
            raise CostRefusedError(
                f"The run does not fit into `max-cost`, which allows ${self._inputs.max_cost:g}: {told}. "
                f"Nothing was started. Raise `max-cost`, {what_to_do} raise it for one run."
            )
        for one in counted:
            if foreseen.low > one.left:
                raise CostRefusedError(
                    f"The run does not fit into what is left of the budget: {told}, and there are {one}. "
                    f"Nothing was started. Raise `budget`, {what_to_do} raise it for one run."
                )

    def _settled(self, budget: Budget, future: Future[Counted]) -> Counted:
        try:
            return future.result(_PATIENCE_WITH_A_BUDGET)
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise CostRefusedError(
                f"What is used of the budget of {budget} can't be counted, so nothing was started: {reason} Run again."
            ) from error

    def _wanted(self) -> Wanted:
        inputs = self._inputs
        name = inputs.studio_name
        if name and inputs.studio_pool:
            name = names.of_pool(name, inputs.studio_pool)[0]
        return Wanted(
            repository=self._event.repository,
            comment_key=Origin.of(self._event, inputs).comment_key,
            machines=inputs.machine_type,
            studio=name,
            cloud=inputs.settings.get("cloud"),
            interruptible=bool(inputs.settings.get("interruptible")),
        )
