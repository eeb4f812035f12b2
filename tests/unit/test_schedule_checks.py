"""Which schedules are refused, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from zenml.config.schedule import Schedule

from lightning_zenml.orchestrator.schedule.checks import cron_problem, problems, refusal, timezone
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def found(schedule: Schedule, **settings: Any) -> list[str]:
    return list(problems(schedule, LightningOrchestratorSettings(**settings)))


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_cron_expression_alone_is_fine(zone: str | None) -> None:
    assert found(Schedule(cron_expression="0 6 * * 1-5"), schedule_timezone=zone, keep_studio="keep") == []


@pytest.mark.parametrize(
    ("schedule", "names"),
    [
        (Schedule(interval_second=timedelta(hours=1), start_time=NOW), ["interval_second", "start_time"]),
        (Schedule(run_once_start_time=NOW), ["run_once_start_time"]),
        (Schedule(cron_expression="0 6 * * *", end_time=NOW, catchup=True), ["end_time", "catchup=True"]),
        (Schedule(cron_expression="@daily", start_time=NOW), ["start_time", "@daily"]),
    ],
)
def test_all_that_lightning_cannot_do_is_told_at_once(schedule: Schedule, names: list[str]) -> None:
    told = found(schedule)
    assert len(told) == len(names)
    assert all(name in one for name, one in zip(names, told, strict=True))


def test_settings_that_do_not_go_with_a_schedule() -> None:
    given = {"schedule_timezone": "Mars/Base", "studio_pool": 2, "keep_warm": 5, "keep_studio": "delete"}
    zone, pool, warm, studio = found(Schedule(cron_expression="0 6 * * *"), **given)
    assert "`Mars/Base`" in zone
    assert "`studio_pool`" in pool
    assert "`keep_warm`" in warm
    assert "keep_studio=delete" in studio


@pytest.mark.parametrize("cron", ["* * * * *", "*/15 0-6,22 1 JAN-MAR mon", "0 9 * * 1-5"])
def test_expressions_that_every_cron_knows(cron: str) -> None:
    assert cron_problem(cron) is None


@pytest.mark.parametrize("cron", ["", "@hourly", "0 9 * *", "0 0 9 * * *", "0 25 * * *", "0 9 ? * *", "0 9 L * *"])
def test_other_expressions(cron: str) -> None:
    assert "isn't a cron expression" in str(cron_problem(cron))


def test_an_expression_that_is_never_due() -> None:
    assert "never due" in str(cron_problem("0 0 31 2 *"))


@pytest.mark.parametrize(
    ("cron", "shown"), [("30 4 * * *", "30 4 * * *"), ("@daily", "0 6 * * *"), (None, "0 6 * * *")]
)
def test_the_refusal_shows_the_workflow_that_does_it(cron: str | None, shown: str) -> None:
    message = refusal(["it can't", "it won't"], cron)
    assert message.startswith("Lightning AI can't keep this schedule: it can't; it won't. ")
    assert f'on:\n  schedule:\n    - cron: "{shown}"\n' in message
    assert "uses: org/lightning-zenml-action@v1" in message


def test_utc_has_no_name_in_lightnings_words() -> None:
    zones = [timezone(LightningOrchestratorSettings(schedule_timezone=zone)) for zone in (None, "UTC", "Asia/Tokyo")]
    assert zones == [None, None, "Asia/Tokyo"]
