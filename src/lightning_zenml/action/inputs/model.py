"""The action's inputs: `INPUT_*` variables, read into one `Inputs`, with every problem reported at once."""

from __future__ import annotations

import base64
import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lightning_zenml import settings as limits
from lightning_zenml.action.commands.comment import COMMENT
from lightning_zenml.action.commands.parameters import Parameter
from lightning_zenml.action.commands.parameters import read as read_parameters
from lightning_zenml.action.inputs.defaults import DEFAULTS, FROM_ENVIRONMENT
from lightning_zenml.action.inputs.of_orchestrator import check_studio, orchestrator_settings
from lightning_zenml.action.inputs.reader import Reader
from lightning_zenml.action.inputs.variables import is_secret
from lightning_zenml.action.money.budget import Budget, budgets
from lightning_zenml.action.report.metrics.settings import ReportSettings
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.launch import requirements
from lightning_zenml.launch.spec import KeepStudio

_OF_A_LAUNCH = frozenset(
    {"config", "submit-from", "working-directory", "studio-name", "studio-pool", "machine-type", "commands"}
    | {"requirements", "async", "settings", "timeout-minutes", "max-cost", "budget"}
    | {"keep-studio", "keep-warm", "stop-idle-gpu"}
)
"""Inputs that mean nothing where an earlier launch is followed; the secrets in `env` are masked there too."""

COMMENT_KEY_LIMIT = 200
LEG_LIMIT = 60
"""Characters: a comment has but so much room."""


class SubmitFrom(StrEnum):
    """Where the pipeline is compiled and submitted from."""

    STUDIO = "studio"
    RUNNER = "runner"


class PicturesIn(StrEnum):
    """Where pictures that visualize artifacts are put."""

    NONE = "none"
    BRANCH = "branch"
    ARTIFACT = "artifact"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The action's inputs, checked. docs/action.md and action.yml say what each is for.

    Args:
        run: command that runs the pipeline, in bash; empty where `pipeline` or `attach` is given.
        pipeline: source path of a pipeline, to run instead of `run`.
        config: path of a ZenML run configuration for `pipeline`, relative to the repository.
        submit_from: place where `run` or `pipeline` runs.
        working_directory: folder where `run` runs, relative to the repository, normalised.
        studio_name: name of the studio to use or create; None: a fresh studio.
        studio_pool: number of studios that share this name; None: it is one studio's.
        machine_type: names of machines in order of preference, as given.
        commands: commands before `run`, in bash.
        requirements: paths of requirements files, relative to the repository.
        env: variables for commands, run and steps.
        is_async: whether the step ends once the run has started.
        attach: id of an earlier launch to follow instead of starting one.
        settings: further settings of the orchestrator, in plain JSON values.
        stack: name or id of the ZenML stack; None: the only one with a Lightning orchestrator.
        project: name or id of the ZenML project; None: the account's default one, else the only one.
        timeout_minutes: minutes after which the run is stopped; None: no limit.
        max_cost: US dollars after which the run is stopped; None: no limit.
        budget: what runs may cost together before no more are started.
        keep_studio: what becomes of the studio at the end.
        keep_warm: minutes for which the run's machines are kept for the next one; None: they are not.
        stop_idle_gpu: minutes after which a machine is ended whose GPUs nobody uses; None: it is not.
        stop_on_cancel: whether the remote run is stopped when the workflow is cancelled.
        comment: whether to comment on pull requests.
        comment_key: text that tells several comments on one pull request apart; None: derived from the workflow.
        leg: name of this leg of the workflow, whose legs share one comment; None: it has a comment of its own.
        check_run: whether there is a check run for the launch.
        deployment: whether there is a deployment for the launch.
        command_from_comment: whether a comment says what is to be done, where one has started the workflow.
        command_parameters: what such a comment may set.
        matrix: leg of the matrix that this job is: GitHub's context of that name.
        report: which metrics the report shows, and what is better.
        pictures: where pictures are put that visualize artifacts, for the report to show or link them.
        github_token: token for comment and commit status; None: there are none.
        lightning_user_id: id of the Lightning AI user; None: the API key alone is used, as bearer token.
        lightning_api_key: API key of Lightning AI.
        lightning_username: name of the teamspace's owner, if that is a user.
        lightning_teamspace: name of the teamspace; None: the only one, or the one in the settings.
        lightning_org: name of the teamspace's owner, if that is an organization.
        zenml_store_url: address of the ZenML server.
        zenml_store_api_key: API key of a ZenML service account.
        warnings: names of inputs that have no effect as given, each with the reason.
    """

    run: str
    pipeline: str | None
    config: str | None
    submit_from: SubmitFrom
    working_directory: str
    studio_name: str | None
    studio_pool: int | None
    machine_type: tuple[str, ...]
    commands: tuple[str, ...]
    requirements: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    is_async: bool
    attach: str | None
    settings: Mapping[str, Any] = field(repr=False)
    stack: str | None
    project: str | None
    timeout_minutes: float | None
    max_cost: float | None
    budget: tuple[Budget, ...]
    keep_studio: KeepStudio
    keep_warm: float | None
    stop_idle_gpu: float | None
    stop_on_cancel: bool
    comment: bool
    comment_key: str | None
    leg: str | None = None
    check_run: bool = False
    deployment: bool = False
    command_from_comment: bool = False
    command_parameters: tuple[Parameter, ...] = ()
    matrix: Mapping[str, Any]
    report: ReportSettings = field(default_factory=ReportSettings)
    pictures: PicturesIn = PicturesIn.NONE
    github_token: str | None = field(repr=False)
    lightning_user_id: str | None
    lightning_api_key: str = field(repr=False)
    lightning_username: str | None
    lightning_teamspace: str | None
    lightning_org: str | None
    zenml_store_url: str
    zenml_store_api_key: str = field(repr=False)
    warnings: tuple[tuple[str, str], ...]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], workspace: Path | None = None) -> Inputs:
        """Reads `INPUT_<NAME>`, and for credentials the usual variables.

        GitHub keeps the dashes of a name (`INPUT_STUDIO-NAME`); a shell that can't set such a variable may
        use underscores. Empty means not given.

        Args:
            environ: variables of the step.
            workspace: folder of the checked-out repository, in which paths must exist; None: they need not.

        Raises:
            InputsError: if an input can't be used; holds every problem there is, and what can be read.
        """
        reader = Reader(environ, defaults=DEFAULTS, variables=FROM_ENVIRONMENT, workspace=workspace)
        if reader.text("attach"):
            # A job that follows a launch has no need to check out.
            reader.workspace = None
        _check_what_to_run(reader)
        inputs = cls(
            run=reader.text("run"),
            pipeline=reader.source("pipeline"),
            config=reader.file("config"),
            submit_from=SubmitFrom(reader.choice("submit-from", tuple(SubmitFrom))),
            working_directory=reader.folder("working-directory"),
            studio_name=reader.name("studio-name"),
            studio_pool=reader.whole_number("studio-pool", limits.LARGEST_POOL),
            machine_type=reader.words("machine-type"),
            commands=reader.commands("commands"),
            requirements=_requirements(reader),
            env=reader.env("env"),
            is_async=reader.boolean("async"),
            attach=reader.launch_id("attach"),
            settings=orchestrator_settings(reader),
            stack=reader.line("stack"),
            project=reader.line("project"),
            timeout_minutes=reader.number("timeout-minutes"),
            max_cost=reader.number("max-cost"),
            budget=_budget(reader),
            keep_studio=KeepStudio(reader.choice("keep-studio", tuple(KeepStudio))),
            keep_warm=reader.number("keep-warm", limits.LONGEST_WARM),
            stop_idle_gpu=reader.number("stop-idle-gpu"),
            stop_on_cancel=reader.boolean("stop-on-cancel"),
            comment=reader.choice("comment", ("auto", "off")) == "auto",
            comment_key=reader.line("comment-key", COMMENT_KEY_LIMIT),
            leg=_leg(reader),
            check_run=reader.boolean("check-run"),
            deployment=reader.boolean("deployment"),
            command_from_comment=reader.choice("command-from", ("", COMMENT), "`comment`, or nothing") == COMMENT,
            command_parameters=_command_parameters(reader),
            matrix=reader.context("matrix"),
            report=_report(reader),
            pictures=PicturesIn(reader.choice("pictures", tuple(PicturesIn))),
            github_token=reader.secret("github-token") or None,
            lightning_user_id=reader.line("lightning-user-id"),
            lightning_api_key=reader.secret("lightning-api-key", "your API key, from Lightning AI's settings"),
            lightning_username=reader.line("lightning-username"),
            lightning_teamspace=reader.line("lightning-teamspace"),
            lightning_org=reader.line("lightning-org"),
            zenml_store_url=reader.url("zenml-store-url", "the address of your ZenML server"),
            zenml_store_api_key=reader.secret("zenml-store-api-key", "the key of a ZenML service account"),
            warnings=(*reader.unknown(), *_without_effect(reader)),
        )
        check_studio(inputs.studio_pool, inputs.keep_warm, reader)
        if reader.problems:
            raise InputsError(reader.problems, inputs)
        return inputs

    @property
    def command(self) -> str:
        """What runs the pipeline: `run`, or ZenML's own command for `pipeline`."""
        if self.pipeline is None:
            return self.run
        command = ["zenml", "pipeline", "run", self.pipeline]
        if self.config is not None:
            command += ["-c", posixpath.relpath(self.config, self.working_directory)]
        return shlex.join(command)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values to mask: keys, token, the login header, and variables that are named like a secret.

        GitHub masks what comes from `${{ secrets }}` in the log, but nobody does in a comment.
        """
        named = [
            str(value)
            for name, value in (*self.env.items(), *self.settings.get("environment", {}).items())
            if is_secret(name, str(value))
        ]
        login = f"{self.lightning_user_id}:{self.lightning_api_key}" if self.lightning_user_id else ""
        values = [
            self.lightning_api_key,
            base64.b64encode(login.encode(errors="replace")).decode(),
            self.zenml_store_api_key,
            self.github_token or "",
            *named,
        ]
        return tuple(dict.fromkeys(value for value in values if value))


class InputsError(CodedError):
    """Inputs that can't be used.

    Attributes:
        problems: the input's name and what is wrong with it, in words for the user; no secret in them.
        inputs: what can be read, enough to tell of the problems; an input that has one is as if not given.
    """

    code = Code.INPUT

    def __init__(self, problems: list[tuple[str, str]], inputs: Inputs) -> None:
        super().__init__("\n".join(f"{name}: {message}" for name, message in problems))
        self.problems = problems
        self.inputs = inputs


def _check_what_to_run(reader: Reader) -> None:
    given = [name for name in ("run", "pipeline", "attach") if reader.text(name)]
    if not given:
        meaning = "the shell command that runs the pipeline, e.g. `python run.py`; or give `pipeline` or `attach`"
        reader.required("run", meaning)
    for name in given[1:]:
        reader.note(name, f"is given beside `{given[0]}`: give only one of `run`, `pipeline` and `attach`")
    if reader.text("config") and "pipeline" not in given:
        reader.note("config", "goes with `pipeline`, which is not given; with `run`, name the file in the command")


def _leg(reader: Reader) -> str | None:
    leg = reader.line("leg", LEG_LIMIT)
    if leg and not reader.text("comment-key"):
        reader.note("leg", "goes with `comment-key`, which all legs of the workflow must have in common")
        return None
    return leg


def _command_parameters(reader: Reader) -> tuple[Parameter, ...]:
    given = reader.mapping("command-parameters", "a YAML mapping, e.g. `lr: number`")
    parameters, problems = read_parameters(given)
    for problem in problems:
        reader.note("command-parameters", problem)
    return parameters


def _report(reader: Reader) -> ReportSettings:
    given = reader.mapping("report", "a YAML mapping, e.g. `metrics: {accuracy: higher, loss: lower}`")
    report, problems = ReportSettings.from_yaml(given)
    for problem in problems:
        reader.note("report", problem)
    if report.rules and reader.text("async").lower() == "true" and not reader.text("attach"):
        reader.note(
            "report", "`fail-if` goes with a run that is waited for; with `async`, give it to the `attach` step"
        )
    return report


def _requirements(reader: Reader) -> tuple[str, ...]:
    files = reader.files("requirements")
    for file in files:
        if way_out := requirements.refusal((reader.workspace or Path()) / file):
            reader.note("requirements", f"can't be `{file}`: {way_out}")
    return files


def _budget(reader: Reader) -> tuple[Budget, ...]:
    try:
        return budgets(reader.text("budget"))
    except ValueError as error:
        reader.refuse("budget", str(error), "an amount for each month or pull request, e.g. `200 / month`")
        return ()


def _without_effect(reader: Reader) -> list[tuple[str, str]]:
    if not reader.text("attach"):
        of_jobs = "keeps the machines of steps only: a fresh studio is deleted at the end. Give it a `studio-name`."
        return [("keep-warm", of_jobs)] if reader.text("keep-warm") and not reader.text("studio-name") else []
    return [
        (name, "has no effect with `attach`: the launch is as it was started.")
        for name, default in DEFAULTS.items()
        if name in _OF_A_LAUNCH and reader.text(name) != default
    ]
