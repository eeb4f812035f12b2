"""Options that several commands have, and what they open: imported late, as completing a word must take no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lightning_zenml.cli.connection import Connection
    from lightning_zenml.cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])


def with_services(command: F) -> F:
    """Options of a command that talks to ZenML and Lightning AI."""
    for option in (
        click.option(
            "--teamspace",
            default="",
            metavar="OWNER/NAME",
            help="Lightning teamspace. Default: LIGHTNING_TEAMSPACE, else that of the stack's orchestrator.",
        ),
        click.option(
            "--stack",
            default="",
            help="ZenML stack, by name or id. Default: the active one if it has a "
            "Lightning orchestrator, else the only one that has.",
        ),
    ):
        command = option(command)
    return command


def with_json(command: F) -> F:
    """The option of a command that has something to list."""
    return click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")(command)


def inputs(command: F) -> F:
    """The inputs of the Action, as options."""
    from lightning_zenml.cli.run.flags import options

    return options(command)


def connection_of(stack: str, teamspace: str) -> Connection:
    """ZenML and Lightning AI, as the options of `with_services` say.

    Args:
        stack: name or id of the ZenML stack; '' for none.
        teamspace: name of the teamspace, or `owner/name`; '' for none.
    """
    from lightning_zenml.cli.connection import Choice, Connection

    return Connection(Choice(stack=stack, teamspace=teamspace))


def output_of(is_json: bool = False) -> Output:
    """Where a command's words go.

    Args:
        is_json: whether its results are wanted as JSON.
    """
    from lightning_zenml.cli.output import Output

    return Output(is_json=is_json)
