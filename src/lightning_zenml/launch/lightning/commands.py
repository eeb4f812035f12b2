"""A bash command in a studio: asked for in one call, its end looked for in others, or waited for in the same one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lightning_sdk.lightning_cloud.openapi import CloudSpaceServiceExecuteCommandInCloudSpaceBody

from lightning_zenml.launch.errors import CommandLostError, LaunchError, StudioError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.failures import ApiError, OddAnswerError
from lightning_zenml.launch.lightning.records import Completed

if TYPE_CHECKING:
    from lightning_zenml.launch.lightning.studio import Studio

LOOKS = (0.35, 2.0)
"""Seconds until the first look whether a command has ended, which most have by then, and at most between two looks."""


_VAIN = 3
"""How often in a row a single call may come to nothing, until it is taken for what Lightning doesn't do."""


class SingleCalls:
    """Whether Lightning answers a command in the call that it is sent with, as far as that has been seen."""

    def __init__(self) -> None:
        self._in_vain = 0

    @property
    def may_work(self) -> bool:
        """Whether one is worth a try: one that is not answered costs a minute's half."""
        return self._in_vain < _VAIN

    @property
    def have_not_failed(self) -> bool:
        """Whether the last one was answered, or none was tried yet."""
        return self._in_vain == 0

    def note_answer(self) -> None:
        """Notes that one was answered."""
        self._in_vain = 0

    def note_failure(self, error: LaunchError) -> None:
        """Notes that one came to nothing; there is no use in asking again for what is not implemented."""
        self._in_vain = _VAIN if isinstance(error, ApiError) and error.status == 501 else self._in_vain + 1


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


def run_at_once(studio: Studio, command: str) -> Completed | None:
    """Runs a command by a single call, sent once, which the platform answers when the command has ended.

    Args:
        studio: where it runs.
        command: bash command that takes no longer than a call may, and has output.

    Returns:
        How it has ended; None when the platform does not answer so, for whatever reason.
    """
    try:
        return studio.ask(
            answers.completed,
            studio.client.cloud_space_service_execute_command_in_cloud_space,
            body=CloudSpaceServiceExecuteCommandInCloudSpaceBody(command, detached=False),
            once=True,
        )
    except LaunchError as error:
        studio.single_calls.note_failure(error)
        return None


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
