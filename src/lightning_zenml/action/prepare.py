"""Before anything is started: all that can be checked is checked, and the repository becomes a launch to be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_zenml.action.checks.checks import Checks, Services
from lightning_zenml.action.checks.refusal import Refusals
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.money.forecast import Forecast, Foreseen
from lightning_zenml.action.runner_launch import READABLE, Command, RunnerLaunch, settings_of
from lightning_zenml.action.starter import Starter
from lightning_zenml.action.throwaway import Throwaway
from lightning_zenml.codes import Code, CodedError
from lightning_zenml.launch.caller import Caller, Record
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.payload.variables import SETTINGS
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package import archive
from lightning_zenml.package.archive import Archive
from lightning_zenml.package.checkout import Commit
from lightning_zenml.package.repository import Repository, commit_of
from lightning_zenml.zenml_api.integrations import of_integrations
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import NoTokensError, ZenMLServer

_TOKEN_SECONDS = 3 * 24 * 3600
"""How long the studio's token for the ZenML server lives without `timeout-minutes`; runs have their own."""
_TOKEN_MARGIN = 3600
"""Seconds beyond `timeout-minutes`, for the wait for a studio and for the end."""
_SIZE_WARNING = 200_000_000


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
        refusals: what is already known to be wrong, so that nothing may be started.
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
        refusals: Sequence[CodedError] = (),
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
        self._checks = Checks(
            inputs,
            root,
            zenml=zenml,
            workflow=workflow,
            handover=handover,
            log=log,
            refusals=Refusals(refusals),
        )

    def carry_out(self) -> tuple[Lightning, LaunchSpec]:
        """Checks and packages, to submit from the studio.

        Returns:
            The teamspace, and what to launch in it.

        Raises:
            RefusedError: if nothing may be started, for all reasons that there are.
            ZenMLServerError: if the ZenML server gives no token.
        """
        inputs, refusals = self._inputs, self._checks.refusals
        services, packed = self._found(), refusals.of(self._pack)
        if services is None or packed is None or refusals.reasons:
            raise self._checks.refused()
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
            RefusedError: if nothing may be started, for all reasons that there are.
            LaunchError: if requirements can't be installed on the runner.
            ZenMLServerError: if the ZenML server gives no token.
        """
        inputs, began, services = self._inputs, time.monotonic(), self._found()
        timeout = inputs.timeout_minutes * 60 if inputs.timeout_minutes else None
        # What the orchestrator will pack: told of here, a fault needs no traceback of the user's program.
        contents = self._checks.refusals.of(Repository.open(self._root).contents)
        if services is None or contents is None or self._checks.refusals.reasons:
            raise self._checks.refused()
        self._warn_of_missing(contents.warnings)
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

    def _found(self) -> Services | None:
        self._log.title("Check and package")
        if services := self._checks.carry_out():
            self._forecast.begin(services.lightning)
        return services

    def look_ahead(self) -> Foreseen:
        """Tells what the run will cost, of which `carry_out` and `submission` begin to find out.

        Raises:
            RefusedError: if it would cost too much.
        """
        foreseen = self._checks.refusals.of(self._forecast.settle)
        if foreseen is None:
            raise self._checks.refused()
        return foreseen

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
        files = f"{packed.files} {'file' if packed.files == 1 else 'files'}"
        self._log.line(f"Packaged {files}, {packed.size / 1e6:.1f} MB, sha256 {packed.sha256}")
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

    def _zenml_environment(self, services: Services) -> dict[str, str]:
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


def _told(commit: Commit, *, has_changes: bool) -> str:
    changes = " and what is not committed" if has_changes else ""
    branch = f" of {commit.branch}" if commit.branch else ""
    author = f" by {commit.author}" if commit.author else ""
    return f"Commit {commit.sha[:7]}{branch}{author}{changes}: {commit.subject}".rstrip(": ")
