"""The commands of `lightning-zenml`, as a shell sees them. What they do is in the modules that they import.

Those are imported by the command that needs them: completing a word in a shell must not take as long as a launch.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from lightning_zenml.cli.options import connection_of, inputs, output_of, with_json, with_services

_NAME = "lightning-zenml"
_VARIABLE = "_LIGHTNING_ZENML_COMPLETE"
_MOST_SHOWN = 10
"""Launches of one pull request that are shown: each is asked for at ZenML and Lightning."""
_EXIT_CODES = """
\b
Exit codes:
  0   done
  1   the answer is no: a run failed, a check found something, something could not be ended
  2   the command line, a setting or a key is wrong or missing
  3   there is no such launch, run or pull request
  4   Lightning AI, ZenML or GitHub refuses or can't be reached
  70  a fault of this program
  130 Ctrl-C (143: SIGTERM, where `run` has stopped in order)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits.

    Args:
        arguments: words after the program's name; None: those of this process.
    """
    try:
        code = lightning_zenml.main(arguments, _NAME, complete_var=_VARIABLE, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_fail(error))
    sys.exit(code or 0)


def _fail(error: Exception) -> int:
    from lightning_zenml.cli.errors import ExitCode, told
    from lightning_zenml.cli.output import Output
    from lightning_zenml.codes import Code, marked

    problem = told(error)
    if problem is None:
        traceback.print_exception(error)
        fault = f"This is a fault of {_NAME} {version(_NAME)}, not yours. Please report it with the lines above."
        Output().error(marked(fault, Code.FAULT))
        return ExitCode.FAULT
    for text in problem.problems:
        Output().error(marked(text, problem.code))
    return problem.exit_code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXIT_CODES)
@click.version_option(version(_NAME), prog_name=_NAME)
@click.option("-v", "--verbose", is_flag=True, help="Show every call to ZenML, Lightning AI and GitHub.")
def lightning_zenml(verbose: bool) -> None:
    """Launches of ZenML pipelines on Lightning AI: how they stand, what they left, and how a repository gets there.

    A LAUNCH is named by its id (the Action's output `launch-id`), by the name or id of its pipeline run, or by its pull
    request: `#12` or `12` in a checkout, `owner/name#12`, or the address of its page.

    Keys and servers are those of everything else here: LIGHTNING_API_KEY, LIGHTNING_USER_ID, LIGHTNING_TEAMSPACE,
    ZENML_STORE_URL and ZENML_STORE_API_KEY; else what `zenml login` and the stack's orchestrator have.
    """
    if verbose:
        from lightning_zenml import http_log

        http_log.log_to(lambda text: click.echo(text, err=True))


@lightning_zenml.command()
@click.option("--check", "checks", is_flag=True, help="Write nothing: say what to change in workflows that are there.")
@click.option("--run", default="", metavar="COMMAND", help="Command that starts the pipeline. Default: what is found.")
@click.option("--machine-type", "machine", default="cpu", show_default=True, help="Machine, or several by comma.")
@click.option("--output", "file", default=".github/workflows/train.yml", show_default=True, help="The workflow's file.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@with_services
@with_json
def init(
    checks: bool, run: str, machine: str, file: str, force: bool, stack: str, teamspace: str, is_json: bool
) -> int:
    """Write a workflow for this repository.

    It asks nothing: what starts the pipeline and what it installs, default branch and name on GitHub are seen in the
    repository, stack and teamspace in ZenML and Lightning AI, as far as these can be asked. It prints the commands that
    set the secrets and variables, and what is left to do.
    """
    from lightning_zenml.cli.workflow.init import check_all, init

    if checks:
        return check_all(output_of(is_json), folder=Path.cwd())
    connection = connection_of(stack, teamspace)
    return init(connection, output_of(is_json), folder=Path.cwd(), run=run, file=file, force=force, machine=machine)


@lightning_zenml.command()
@click.option("--machine-type", "machines", default="", help="Machines to look for, by comma. Default: cpu, gpu.")
@click.option("--studio", "from_studio", is_flag=True, help="Look from a studio, too; says what it costs, and asks.")
@click.option("--yes", is_flag=True, help="Start that studio without asking.")
@with_services
@with_json
def doctor(machines: str, from_studio: bool, yes: bool, stack: str, teamspace: str, is_json: bool) -> int:
    """Check all that a launch needs.

    Keys, teamspace and machines, ZenML's server, version, stack and artifact store, GitHub's token, the clock: each is
    ok, or the line says what to do. Without --studio nothing is started, and nothing changed. With it, the smallest
    CPU studio is, to look whether ZenML, artifact store and package index are reached from there; it is deleted in
    every ending.
    """
    from lightning_zenml.cli.doctor.doctor import doctor

    names = [name.strip() for name in machines.split(",") if name.strip()]
    return doctor(connection_of(stack, teamspace), output_of(is_json), machines=names, from_studio=from_studio, yes=yes)


@lightning_zenml.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, metavar="[COMMAND [ARGUMENT]...]")
@inputs
@click.option("-q", "--quiet", is_flag=True, help="Tell only warnings, errors and how the runs ended.")
@with_services
@with_json
def run(command: tuple[str, ...], quiet: bool, stack: str, teamspace: str, is_json: bool, **given: Any) -> int:
    """Run COMMAND on Lightning AI, in this checkout as it is.

    COMMAND is bash in one word ('python run.py --lr 0.1 | tee log'), or a program and its arguments. What is packed,
    installed, run and released is as with the Action, whose inputs the options are: docs/action.md. The log is
    shown, and the exit code is 0 only if all completed.

    Ctrl-C stops the run, which has 20 seconds for an orderly end, and gives its studio back; a second one leaves it
    three. If this process is killed, the run goes on and gives its studio back itself.
    """
    from lightning_zenml.cli.run.run import run

    connection, output = connection_of(stack, teamspace), output_of(is_json)
    return run(connection, output, command=command, given=given, folder=Path.cwd(), quiet=quiet)


@lightning_zenml.command()
@click.argument("launch", required=False)
@click.option(
    "--ended", type=click.IntRange(min=0), default=0, metavar="N", help="List the newest N that have ended, too."
)
@with_services
@with_json
def status(launch: str | None, ended: int, stack: str, teamspace: str, is_json: bool) -> None:
    """Show how launches stand.

    LAUNCH with its studio, runs and steps; without it, a list of the runs of launches that are under way.
    """
    from lightning_zenml.cli.launches import launches
    from lightning_zenml.cli.status import list_runs, show

    connection, output = connection_of(stack, teamspace), output_of(is_json)
    if launch is None:
        list_runs(connection, output, ended=ended)
    else:
        show(connection, output, launches(connection, launch, os.environ)[:_MOST_SHOWN])


@lightning_zenml.command()
@click.argument("launch")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for an orderly end: `finally` of a step, a checkpoint.",
)
@with_services
@with_json
def stop(launch: str, grace: float, stack: str, teamspace: str, is_json: bool) -> None:
    """Stop a launch, with all that it holds.

    LAUNCH ends with its runs and jobs, and its studio becomes what it would at its own end. Of a pull request, all
    launches that go on are stopped.
    """
    from lightning_zenml.cli.launches import launches
    from lightning_zenml.cli.stop import stop

    connection = connection_of(stack, teamspace)
    found = launches(connection, launch, os.environ)
    stop(connection, output_of(is_json), [one for one in found if not one.is_over] or found[:1], grace=grace)


@lightning_zenml.command()
@click.argument("launch")
@click.option("-f", "--follow", is_flag=True, help="Go on until its end.")
@with_services
def logs(launch: str, follow: bool, stack: str, teamspace: str) -> None:
    """Show what a launch prints.

    Of a LAUNCH whose studio is gone, what ZenML has kept of its steps. Of a pull request, the newest that goes on.
    """
    from lightning_zenml.cli.follow import logs
    from lightning_zenml.cli.launches import one_launch

    connection = connection_of(stack, teamspace)
    logs(connection, output_of(), one_launch(connection, launch, os.environ), follow=follow)


@lightning_zenml.command()
@click.argument("launch")
@with_services
def attach(launch: str, stack: str, teamspace: str) -> int:
    """Follow a launch to its end, in its client's place.

    The log of LAUNCH is shown, and at its end the studio is given back and the exit code is 0 only if all completed.
    Ctrl-C leaves the launch to itself: it goes on. Of a pull request, it is the newest launch that goes on.
    """
    from lightning_zenml.cli.follow import attach
    from lightning_zenml.cli.launches import one_launch

    connection = connection_of(stack, teamspace)
    return attach(connection, output_of(), one_launch(connection, launch, os.environ))


@lightning_zenml.command()
@click.argument("launch", required=False)
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), metavar="YYYY-MM", help="Month whose runs count. Default: this one."
)
@click.option("--months", type=click.IntRange(1, 24), default=1, show_default=True, help="Months up to that one.")
@click.option(
    "--by",
    type=click.Choice(["run", "pull-request", "pipeline", "month"]),
    default="run",
    show_default=True,
    help="What it is told by.",
)
@with_services
@with_json
def cost(
    launch: str | None, month: datetime | None, months: int, by: str, stack: str, teamspace: str, is_json: bool
) -> None:
    """Tell what launches have cost.

    Of LAUNCH or of a pull request all runs; without, the runs of a month. A run costs its studio from the machine's
    start on, installing included, and the machines of its steps, by the prices of Lightning's catalog when it began.
    """
    from lightning_zenml.cli.cost import By, cost
    from lightning_zenml.cli.launches import launches

    connection = connection_of(stack, teamspace)
    if launch is not None:
        runs = [run for launched in launches(connection, launch, os.environ) for run in launched.runs]
    else:
        last = month or datetime.now(UTC)
        runs = connection.finder.begun(_month(last, 1 - months), _month(last, 1))
    cost(connection, output_of(is_json), runs, by=By(by))


def _month(moment: datetime, later: int) -> datetime:
    """The beginning of a month that is so many later, in UTC."""
    years, month = divmod(moment.month - 1 + later, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)


@lightning_zenml.command()
@click.option("--yes", is_flag=True, help="End what is left. Without it, nothing is touched.")
@click.option("--all", "lists_all", is_flag=True, help="List what is in use, too.")
@with_services
@with_json
def sweep(yes: bool, lists_all: bool, stack: str, teamspace: str, is_json: bool) -> int:
    """List what launches have left, or end it.

    Studios, jobs and schedules count as left only where their own record or ZenML says that they are over. Whatever is
    unsure is listed with the reason, and never touched.
    """
    from lightning_zenml.cli.sweep.sweep import sweep

    return sweep(connection_of(stack, teamspace), output_of(is_json), ends=yes, lists_all=lists_all)


@lightning_zenml.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print a script for completion in a shell.

    \b
    bash: lightning-zenml completion bash > ~/.local/share/bash-completion/completions/lightning-zenml
    zsh:  lightning-zenml completion zsh > a folder of $fpath, as _lightning-zenml
    fish: lightning-zenml completion fish > ~/.config/fish/completions/lightning-zenml.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - one of those above
    click.echo(kind(lightning_zenml, {}, _NAME, _VARIABLE).source())
