"""A bash command in a studio: asked for in one call, its end looked for in others, or waited for in the same one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lightning_sdk.lightning_cloud.openapi import CloudSpaceServiceExecuteCommandInCloudSpaceBody

from lightning_zenml.launch.errors import CommandLostError, StudioError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.failures import OddAnswerError
from lightning_zenml.launch.lightning.records import Completed

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.studio import Studio

LOOKS = (0.35, 2.0)
"""Seconds until the first look whether a command has ended, which most have by then, and at most between two looks."""


def run(studio: Studio, command: str, *, timeout: float, looks: tuple[float, float]) -> Completed:
    """Runs a command by a call that is answered at once, and looks until it has ended.

    Args:
        studio: where it runs.
        command: bash command; its output must be valid UTF-8.
        timeout: seconds for all of it.
        looks: see `LOOKS`.

    Raises:
        StudioAwayError: when the studio, or what is known of the command, is gone.
        CommandLostError: when the platform has lost the command.
        StudioError: when it does not end within the timeout, or the platform's answer makes no sense.
        ApiError: when the platform refuses.
    """
    session = studio.ask(
        answers.session,
        studio.client.cloud_space_service_execute_command_in_cloud_space,
        body=CloudSpaceServiceExecuteCommandInCloudSpaceBody(command, detached=True),
    )
    deadline, pause = time.monotonic() + timeout, looks[0]
    time.sleep(pause)
    while (completed := _look(studio, session)) is None:
        if time.monotonic() > deadline:
            raise StudioError(f"A command on the studio '{studio.name}' did not end within {timeout:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.5, looks[1])
    return completed


def run_at_once(studio: Studio, command: str) -> Completed:
    """Runs a command by a single call, sent once, which the platform answers when the command has ended.

    Args:
        studio: where it runs.
        command: bash command that takes no longer than a call may, and has output.

    Raises:
        LaunchError: when the platform does not answer so, for whatever reason.
    """
    return studio.ask(
        answers.completed,
        studio.client.cloud_space_service_execute_command_in_cloud_space,
        body=CloudSpaceServiceExecuteCommandInCloudSpaceBody(command, detached=False),
        once=True,
    )


def _look(studio: Studio, session: str) -> Completed | None:
    """How a command has ended; None while it runs."""
    stream = studio.client.cloud_space_service_get_long_running_command_in_cloud_space_stream
    try:
        state = studio.ask(answers.command_state, stream, session=session, _preload_content=False)
    except OddAnswerError:
        raise StudioError(f"Lightning's answer about a command on the studio '{studio.name}' makes no sense.") from None
    if state.lost:
        raise CommandLostError(f"The studio '{studio.name}' lost a command: {state.lost}")
    return state.completed
