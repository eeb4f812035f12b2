"""What Lightning's schedules can't do of what ZenML's can, found out before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from croniter import CroniterBadDateError, croniter

from lightning_zenml.launch.lightning.pipeline import timezones
from lightning_zenml.launch.spec import KeepStudio
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

if TYPE_CHECKING:
    from zenml.models import ScheduleResponse

_CRON_FIELD = re.compile(r"(\d|[*,/-]|[A-Za-z]{3})+")
"""What every cron knows: no `?`, `L`, `#` or `@daily`."""
_WORKFLOW = """
on:
  schedule:
    - cron: "{cron}"
jobs:
  run:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: org/lightning-zenml-action@v1
        with:
          run: python run.py
"""


def problems(schedule: ScheduleResponse, settings: LightningOrchestratorSettings) -> Iterator[str]:
    """Checks a schedule.

    Args:
        schedule: the schedule in ZenML.
        settings: settings of the pipeline.

    Yields:
        What can't be kept of it, in words that follow "Lightning AI can't keep this schedule: ".
    """
    if schedule.run_once_start_time:
        yield "it can't run a pipeline once at a given time (`run_once_start_time`)"
    if schedule.interval_second:
        yield "it knows no intervals (`interval_second`)"
    if schedule.start_time or schedule.end_time:
        yield "its schedules have no beginning and no end (`start_time`, `end_time`)"
    if schedule.catchup:
        yield "it doesn't make up for runs that were missed (`catchup=True`)"
    if schedule.cron_expression:
        if problem := cron_problem(schedule.cron_expression):
            yield problem
    elif not (schedule.run_once_start_time or schedule.interval_second):
        yield "there is no `cron_expression`"
    zone = timezone(settings)
    if zone and zone not in timezones():
        yield f"it knows no time zone `{zone}` (`schedule_timezone`); use one like `Europe/Berlin`"
    if settings.studio_pool is not None:
        yield "its runs start from one studio, not from a pool (`studio_pool`); they have machines of their own"
    if settings.keep_warm is not None:
        yield "its runs come by the clock: no machine is kept for them (`keep_warm`)"
    if settings.max_cost is not None:
        yield "nobody counts there what a run costs (`max_cost`); `timeout` ends one that takes too long"
    if settings.keep_studio is KeepStudio.DELETE:
        yield "the schedule needs its studio (`keep_studio=delete`); it goes when the schedule is deleted"


def cron_problem(cron: str) -> str | None:
    """Tells in words why an expression is none that every cron knows; None: it is one."""
    fields = cron.split()
    try:
        if len(fields) == 5 and all(map(_CRON_FIELD.fullmatch, fields)):
            croniter(" ".join(fields)).get_next()
            return None
    except CroniterBadDateError:
        return f"the cron expression `{cron}` is never due"
    except ValueError:
        pass
    return f"`{cron}` isn't a cron expression of five fields, like `0 6 * * 1-5`"


def refusal(problems: list[str], cron: str | None) -> str:
    """The message about `problems`, with the workflow that does what Lightning can't."""
    cron = cron if cron and not cron_problem(cron) else "0 6 * * *"
    return (
        f"Lightning AI can't keep this schedule: {'; '.join(problems)}. Use `Schedule(cron_expression=...)` alone, or "
        f"let GitHub start the pipeline, with a workflow like this:\n{_WORKFLOW.format(cron=cron)}"
    )


def timezone(settings: LightningOrchestratorSettings) -> str | None:
    """Time zone of a cron expression in lightning-sdk's words, where None is UTC and `UTC` is no time zone."""
    return None if settings.schedule_timezone in (None, "UTC") else settings.schedule_timezone
