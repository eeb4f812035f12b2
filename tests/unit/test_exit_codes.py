"""What exit codes mean, to a user who knows neither 137 nor 139."""

from __future__ import annotations

import pytest

from lightning_zenml.launch.payload.process import exit_code_in_words
from lightning_zenml.orchestrator.controller.records import death


@pytest.mark.parametrize(
    ("exit_code", "told"),
    [
        (1, "exit code 1"),
        (143, "exit code 143"),
        (255, "exit code 255"),
        (137, "exit code 137 (SIGKILL: killed, most often as the machine has run out of memory)"),
        (-9, "exit code 137 (SIGKILL: killed, most often as the machine has run out of memory)"),
        (-11, "exit code 139 (SIGSEGV: compiled code has crashed)"),
    ],
)
def test_an_exit_code_says_what_it_means(exit_code: int, told: str) -> None:
    assert exit_code_in_words(exit_code) == told


@pytest.mark.parametrize(
    ("exit_code", "was_silent", "told"),
    [
        (-9, False, "ended with exit code 137 (SIGKILL"),
        # We have killed it ourselves.
        (-9, True, "no heartbeat"),
        (-1, False, "lost with its machine"),
        (138, False, "`stop-idle-gpu`"),
    ],
)
def test_a_step_that_is_killed_says_what_that_means(exit_code: int, was_silent: bool, told: str) -> None:
    assert told in str(death(exit_code, was_silent=was_silent))
