"""Before anything is started: all that can be checked is checked, and the repository becomes a launch to be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.forecast import Forecast
from lightning_zenml.action.runner_launch import READABLE, Command, RunnerLaunch, settings_of
from lightning_zenml.action.starter import Starter
from lightning_zenml.action.throwaway import Throwaway
from lightning_zenml.codes import Code
from lightning_zenml.launch import requirements
from lightning_zenml.launch.caller import Caller, Record
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.payload.variables import SETTINGS
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package import archive
from lightning_zenml.package.archive import Archive
from lightning_zenml.package.checkout import Commit
from lightning_zenml.package.repository import Repository, commit_of
from lightning_zenml.zenml_api.integrations import of_integrations
from lightning_zenml.zenml_api.models import Teamspace
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import NoTokensError, ZenMLServer
from lightning_zenml.zenml_api.versions import requirement

_TOKEN_SECONDS = 3 * 24 * 3600
"""How long the studio's token for the ZenML server lives without `timeout-minutes`; runs have their own."""
_TOKEN_MARGIN = 3600
"""Seconds beyond `timeout-minutes`, for the wait for a studio and for the end."""
_SIZE_WARNING = 200_000_000


def connect(inputs: Inputs, teamspace: Teamspace) -> Lightning:
    """Connects to Lightning by the inputs; the teamspace may also come from the stack's orchestrator.

    Args:
        inputs: the step's inputs.
        teamspace: what the stack's orchestrator says of the teamspace, where the inputs are silent.

    Raises:
        LaunchError: if Lightning refuses the key, has no such teamspace, or can't be reached.
    """
    return Lightning.connect(
        Credentials(
            user_id=inputs.lightning_user_id,
            api_key=inputs.lightning_api_key,
            teamspace=inputs.lightning_teamspace or teamspace.name,
            username=inputs.lightning_username or teamspace.username,
            organization=inputs.lightning_org or teamspace.organization,
        )
    )


class Preparation:
    """Turns the inputs into a launch.

    Args:
        inputs: the step's inputs.
        starter: whoever starts the launch.
        root: folder of the checked-out repository.
        environ: variables of the step.
        zenml: the ZenML server.
        workflow: the runner, for warnings and outputs.
        handover: what post is told.
        log: the step's log, which tells what is found.
        forecast: what looks ahead at the cost meanwhile.
    """

    def __init__(
        self,
        inputs: Inputs,
        starter: Starter,
        root: Path,
        environ: Mapping[str, str],
        *,
        zenml: ZenMLServer,
        workflow: Workflow,
        handover: Handover,
        log: Log,
        forecast: Forecast,
    ) -> None:
        self._inputs = inputs
        self._starter = starter
        self._root = root
        self._environ = environ
        self._zenml = zenml
        self._workflow = workflow
        self._handover = handover
        self._log = log
        self._forecast = forecast

    def carry_out(self) -> tuple[Lightning, LaunchSpec]:
        """Checks and packages, to submit from the studio.

        Returns:
            The teamspace, and what to launch in it.

        Raises:
            LaunchError: if Lightning can't be used: credentials, teamspace or machine.
            PackageError: if the repository can't be packed.
            ZenMLServerError: if the ZenML server can't be asked.
        """
        inputs = self._inputs
        services = self._check()
        packed = self._pack()
        of_jobs = {"keep_warm": inputs.keep_warm, "stop_idle_gpu": inputs.stop_idle_gpu}
        # The steps of a pipeline that names another machine stay in the studio, but those with one of their own.
        of_steps = {"machine_type": list(inputs.machine_type), **of_jobs}
        settings = {**inputs.settings, **{name: value for name, value in of_steps.items() if value}}
        spec = LaunchSpec(
            name=self._starter.name,
            owner=self._starter.owner,
            archive=packed,
            command=inputs.command,
            studio_name=inputs.studio_name,
            studio_pool=inputs.studio_pool,
            machines=inputs.machine_type,
            commands=inputs.commands,
            packages=services.packages,
            late_packages=lambda: self._packages_of(services.integrations),
            requirements=tuple(f"-r {file}" for file in inputs.requirements),
            environment={
                **READABLE,
                **inputs.env,
                **self._zenml_environment(services),
                SETTINGS: json.dumps(settings),
            },
            working_directory=inputs.working_directory,
            timeout=inputs.timeout_minutes * 60 if inputs.timeout_minutes else None,
            max_cost=inputs.max_cost,
            keep_studio=inputs.keep_studio,
            keep_warm=60 * (inputs.keep_warm or 0),
            stop_idle_gpu=60 * (inputs.stop_idle_gpu or 0),
            interruptible=bool(settings.get("interruptible")),
            cloud=settings.get("cloud"),
            on_failure=("-m", "lightning_zenml.zenml_api.run_end"),
        )
        return services.lightning, spec

    def submission(self, scratch: Path) -> RunnerLaunch:
        """Checks, and makes the environment to submit from the runner.

        Args:
            scratch: folder for the environment, which must last as long as what is returned.

        Raises:
            LaunchError: if Lightning can't be used, or requirements can't be installed on the runner.
            PackageError: if the repository can't be read.
            ZenMLServerError: if the ZenML server can't be asked.
        """
        inputs, began, services = self._inputs, time.monotonic(), self._check()
        timeout = inputs.timeout_minutes * 60 if inputs.timeout_minutes else None
        # What the orchestrator will pack: told of here, a fault needs no traceback of the user's program.
        self._warn_of_missing(Repository.open(self._root).contents().warnings)
        self._log.title("Install on the runner")
        # As on the studio, an index that `env` names is installed from.
        environment = Throwaway(scratch / "python", {**self._environ, **inputs.env}, self._log.feed)
        packages = [*services.packages, *self._packages_of(services.integrations)]
        environment.install(packages, inputs.requirements, self._root, timeout=timeout)
        record = scratch / "record.jsonl"
        caller = Caller(
            repository=str(self._root), requirements=inputs.requirements, record=str(record), pid=os.getpid()
        )
        command = Command(
            text=inputs.command,
            folder=self._root / inputs.working_directory,
            environment={
                **environment.variables(),
                **READABLE,
                **inputs.env,
                **self._zenml_environment(services),
                **caller.variables(),
                SETTINGS: json.dumps(settings_of(inputs)),
            },
            timeout=timeout,
            waits=not inputs.is_async,
            began=began,
        )
        self._log.title(f"Run on the runner: {inputs.command.splitlines()[0]}")
        return RunnerLaunch(
            services.lightning,
            command,
            Record(record),
            on_hold=self._handover.note_hold,
            on_run=self._handover.note_run_id,
            on_archive=lambda sha256: self._workflow.set_output("archive-sha256", sha256),
        )

    def _check(self) -> _Services:
        inputs = self._inputs
        self._log.title("Check and package")
        info = self._zenml.info()
        if info.notice:
            self._workflow.notice(info.notice, Code.ZENML_UNTESTED)
        stack = self._zenml.stack(inputs.stack)
        project = self._zenml.project(inputs.project)
        self._log.line(f"ZenML {info.version} at {inputs.zenml_store_url}, stack {stack.name}, project {project.name}")
        lightning = connect(inputs, stack.teamspace)
        teamspace = f"{lightning.owner}/{lightning.teamspace}"
        self._handover.note_teamspace(teamspace)
        self._log.line(f"Lightning AI teamspace {teamspace}")
        self._forecast.begin(lightning)
        if not inputs.requirements and (
            file := requirements.overlooked(self._root, inputs.working_directory, [*inputs.commands, inputs.command])
        ):
            way_out = requirements.refusal(self._root / file) or f"To have it installed, set `requirements: {file}`"
            told = f"The input `requirements` is not set, so what {file} lists is not installed. {way_out}."
            self._workflow.notice(told, Code.NOT_INSTALLED)
        if maker := requirements.environment_maker(inputs.command):
            self._workflow.warning(
                f"`{maker}` makes a Python environment of its own, which has the Lightning orchestrator only if the "
                "project lists `lightning-zenml`. To run in the studio's, which has all that is needed, name the "
                "project's file in `requirements`, and start the command with `python`.",
                Code.OTHER_ENVIRONMENT,
            )
        return _Services(
            lightning=lightning,
            stack_id=stack.id,
            project_id=project.id,
            packages=(requirement(info.version),),
            integrations=stack.integrations,
        )

    def _packages_of(self, integrations: tuple[str, ...]) -> tuple[str, ...]:
        """What the stack's components need; a newer server may have some that are unknown here."""
        return of_integrations(integrations, lambda error: self._log.line(f"Of the stack, not installed: {error}"))

    def _pack(self) -> Archive:
        repository = Repository.open(self._root)
        commit = commit_of(self._root, self._root / self._inputs.working_directory)
        changes = bool(repository.has_changes())
        self._log.line(_told(commit, has_changes=changes) if commit else self._starter.no_commit)
        packed = archive.pack(repository)
        self._warn_of_missing(packed.warnings)
        self._workflow.set_output("archive-sha256", packed.sha256)
        self._log.line(f"Packaged {packed.files} files, {packed.size / 1e6:.1f} MB, sha256 {packed.sha256}")
        if packed.size > _SIZE_WARNING:
            self._workflow.warning(
                f"The repository holds {packed.size / 1e6:.0f} MB. What training does not need belongs in "
                ".gitignore, data in an artifact store.",
                Code.LARGE,
            )
        return packed

    def _warn_of_missing(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self._workflow.warning(warning, Code.NOT_PACKED)

    def _zenml_environment(self, services: _Services) -> dict[str, str]:
        """ZenML's own variables, and what started the run. The API key stays here where the server gives a token."""
        try:
            minutes = self._inputs.timeout_minutes
            token = self._zenml.mint_token(int(minutes * 60) + _TOKEN_MARGIN if minutes else _TOKEN_SECONDS)
            self._workflow.mask(token)
            access = {"ZENML_STORE_API_TOKEN": token}
        except NoTokensError as error:
            self._workflow.warning(
                f"The ZenML server makes no short-lived tokens ({error}), so the studio gets the key itself.",
                Code.LONG_LIVED_KEY,
            )
            access = self._zenml.access
        except ZenMLServerError as error:
            raise ZenMLServerError(
                f"The ZenML server gives no short-lived token for the studio now, and the API key itself doesn't leave "
                f"the runner for that. {error} Nothing was started; run again.",
                error.status,
                code=Code.NO_TOKEN,
            ) from error
        return {
            "ZENML_STORE_URL": self._inputs.zenml_store_url,
            "ZENML_ACTIVE_STACK_ID": services.stack_id,
            "ZENML_ACTIVE_PROJECT_ID": services.project_id,
            **self._starter.provenance,
            **access,
        }


@dataclass(frozen=True, kw_only=True)
class _Services:
    """What the checks have found.

    Args:
        lightning: the teamspace.
        stack_id: id of the ZenML stack.
        project_id: id of the ZenML project.
        packages: requirement specifiers of what every client of the server needs installed.
        integrations: names of ZenML integrations whose requirements clients of the stack need besides.
    """

    lightning: Lightning
    stack_id: str
    project_id: str
    packages: tuple[str, ...]
    integrations: tuple[str, ...]


def _told(commit: Commit, *, has_changes: bool) -> str:
    changes = " and what is not committed" if has_changes else ""
    branch = f" of {commit.branch}" if commit.branch else ""
    author = f" by {commit.author}" if commit.author else ""
    return f"Commit {commit.sha[:7]}{branch}{author}{changes}: {commit.subject}".rstrip(": ")
