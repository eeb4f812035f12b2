"""`budget`: what the runs of a repository, or of a pull request, may cost together, counted from their metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from lightning_zenml.action.github.event import Event
from lightning_zenml.action.money.words import dollars
from lightning_zenml.zenml_api.costs import uses
from lightning_zenml.zenml_api.finding import ZenMLFinder
from lightning_zenml.zenml_api.models import PROVENANCE, Run
from lightning_zenml.zenml_api.server import ZenMLServer

_BUDGET = re.compile(
    r"\$?\s*(?P<amount>\d+(\.\d+)?)\s*(USD|dollars)?\s*(/|per|a)\s*(?P<per>month|pull[ -]request)", re.IGNORECASE
)


class Per(StrEnum):
    """What a budget is for."""

    MONTH = "month"
    PULL_REQUEST = "pull request"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What runs may cost together.

    Args:
        amount: US dollars.
        per: what for; a month is the repository's, and that of the calendar in UTC.
    """

    amount: float
    per: Per

    def __str__(self) -> str:
        """The budget in words: `$200.00 / month`."""
        return f"{dollars(self.amount)} / {self.per}"


def budgets(text: str) -> tuple[Budget, ...]:
    """Reads the input: one budget a line, or several by comma.

    Args:
        text: the input.

    Returns:
        The budgets, at most one of each kind.

    Raises:
        ValueError: if a part of the text is none; it holds that part.
    """
    found: dict[Per, Budget] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        read = _BUDGET.fullmatch(part)
        amount = float(read["amount"]) if read else 0.0
        per = Per(read["per"].lower().replace("-", " ")) if read else None
        if per is None or per in found or not 0 < amount < math.inf:
            raise ValueError(part)
        found[per] = Budget(amount=amount, per=per)
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How much of a budget is used.

    Args:
        budget: the budget.
        used: US dollars that the runs have cost so far whose cost is known.
        runs: number of the runs.
        unknown: number of those whose cost isn't known.
        of: whose runs they are, in words.
    """

    budget: Budget
    used: float
    runs: int
    unknown: int
    of: str

    @property
    def left(self) -> float:
        """US dollars that are left."""
        return max(self.budget.amount - self.used, 0.0)

    def __str__(self) -> str:
        """How much is left, in words."""
        unknown = f"; the cost of {self.unknown} of them isn't known" if self.unknown else ""
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return (
            f"{dollars(self.left)} left of {self.budget} ({runs} of {self.of} have cost {dollars(self.used)}{unknown})"
        )


def applies(budget: Budget, event: Event) -> bool:
    """Whether a run that an event starts counts for a budget: one of the default branch is no pull request's."""
    if budget.per is Per.MONTH:
        return True
    return bool(event.pull_requests) or bool(event.branch and event.branch != event.default_branch)


def count(budget: Budget, event: Event, zenml: ZenMLServer, now: datetime | None = None) -> Counted:
    """Counts what is used of a budget.

    Args:
        budget: the budget, which applies to the event.
        event: what starts a run.
        zenml: the server that knows the runs.
        now: the time of day; None: as the clock says.

    Returns:
        What is used, by runs that go on up to now.

    Raises:
        ZenMLServerError: if the server can't be asked.
    """
    now = now or datetime.now(UTC)
    finder = ZenMLFinder(zenml)
    if budget.per is Per.MONTH:
        begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        runs = finder.all_of_repository(event.repository, since=begin)
        of = f"{event.repository} in {begin:%B}"
    else:
        found = finder.all_of_repository(event.repository, branch=event.branch)
        number = event.pull_requests[0] if event.pull_requests else None
        runs = [run for run in found if _is_of(run, number)]
        of = f"pull request #{number}" if number else f"the branch {event.branch}"
    used = [use.cost for use in uses(zenml, _own(runs, event.repository), now)]
    known = [cost for cost in used if cost is not None]
    return Counted(budget=budget, used=sum(known), runs=len(used), unknown=len(used) - len(known), of=of)


def _own(runs: Iterable[Run], repository: str) -> list[Run]:
    """Those that the Action has started for a repository: anybody may give a run its tag."""
    return [
        run
        for run in runs
        if isinstance(github := run.metadata.get(PROVENANCE), dict) and github.get("repository") == repository
    ]


def _is_of(run: Run, number: int | None) -> bool:
    """Whether a branch's run is a pull request's; a push knows none, and a branch may have had another before."""
    github = run.metadata.get(PROVENANCE)
    noted = github.get("pull_request") if isinstance(github, dict) else None
    return number is None or noted in (None, number)
