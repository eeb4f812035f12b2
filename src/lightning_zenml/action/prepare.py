"""Before anything is started: all that can be checked is checked, and the repository becomes a launch to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_zenml.action.event import Event
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.action.origin import Origin
from lightning_zenml.action.workflow import Workflow
from lightning_zenml.launch.lightning import Credentials, Lightning
from lightning_zenml.launch.spec import LaunchSpec
from lightning_zenml.package import archive
from lightning_zenml.package.archive import Archive
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import Repository
from lightning_zenml.requirements import of_integrations
from lightning_zenml.zenml_rest import ZenMLServerError
from lightning_zenml.zenml_server import ZenMLServer

_TOKEN_SECONDS = 7 * 24 * 3600
"""How long the studio's token for the ZenML server lives, where the server allows it; runs have their own."""
_SIZE_WARNING = 100_000_000


def connect(inputs: Inputs, stack_settings: Mapping[str, Any]) -> Lightning:
    """Connects to Lightning by the inputs; the teamspace may also come from the stack's orchestrator.

    Raises:
        LaunchError: it refuses the key, has no such teamspace, or can't be reached.
    """
    settings = {**stack_settings, **inputs.settings}
    return Lightning.connect(
        Credentials(
            user_id=inputs.lightning_user_id,
            api_key=inputs.lightning_api_key,
            teamspace=inputs.lightning_teamspace or settings.get("teamspace"),
            username=inputs.lightning_username or settings.get("username"),
            organization=inputs.lightning_org or settings.get("organization"),
        )
    )


class Preparation:
    """Turns the inputs into a launch.

    Args:
        inputs: of the action.
        event: that started it.
        root: of the repository.
        zenml: the ZenML server.
        workflow: the runner.
        log: tells what is found.
    """

    def __init__(
        self, inputs: Inputs, event: Event, root: Path, *, zenml: ZenMLServer, workflow: Workflow, log: Log
    ) -> None:
        self._inputs = inputs
        self._event = event
        self._root = root
        self._zenml = zenml
        self._workflow = workflow
        self._log = log

    def carry_out(self, scratch: Path) -> tuple[Lightning, LaunchSpec]:
        """Checks and packages.

        Args:
            scratch: folder for the archive, which must last as long as the launch takes to start.

        Raises:
            LaunchError, PackageError, ZenMLServerError: something is not as it must be.
        """
        inputs = self._inputs
        self._log.title("Check and package")
        version = self._zenml.info().version
        stack = self._zenml.stack(inputs.stack)
        project = self._zenml.project(inputs.project)
        self._log.line(f"ZenML {version} at {inputs.zenml_store_url}, stack {stack.name}, project {project.name}")
        lightning = connect(inputs, stack.settings)
        self._log.line(f"Lightning AI teamspace {lightning.owner}/{lightning.teamspace}")
        self._check_paths()
        packed = self._pack(scratch)
        settings = inputs.settings
        spec = LaunchSpec(
            name=self._event.repository.rpartition("/")[2] or "run",
            owner=f"{self._event.repository} {self._event.run_url}".strip(),
            archive=packed,
            command=inputs.run,
            studio_name=inputs.studio_name,
            machines=inputs.machine_type,
            commands=inputs.commands,
            packages=(f"zenml=={version}", *of_integrations(stack.integrations)),
            requirements=tuple(f"-r {file}" for file in inputs.requirements),
            environment={**inputs.env, **self._zenml_environment(stack.id, project.id), **self._provenance()},
            working_directory=inputs.working_directory,
            timeout=inputs.timeout_minutes * 60 if inputs.timeout_minutes else None,
            keep_studio=inputs.keep_studio,
            interruptible=bool(settings.get("interruptible")),
            cloud=settings.get("cloud"),
            on_failure=("-m", "lightning_zenml.run_end"),
        )
        return lightning, spec

    def _pack(self, scratch: Path) -> Archive:
        packed = archive.pack(Repository.open(self._root), scratch / "repository.tar.gz")
        self._workflow.set_output("archive-sha256", packed.sha256)
        self._log.line(f"Packaged {packed.files} files, {packed.size / 1e6:.1f} MB, sha256 {packed.sha256}")
        if packed.size > _SIZE_WARNING:
            self._workflow.warning(
                f"The repository packs to {packed.size / 1e6:.0f} MB. What training does not need belongs in "
                ".gitignore, data in an artifact store.",
                title="Large repository",
            )
        return packed

    def _check_paths(self) -> None:
        """Paths in inputs must be there; all that are missing are told at once."""
        missing = [
            f"requirements: there is no file `{file}`"
            for file in self._inputs.requirements
            if not (self._root / file).is_file()
        ]
        if not (self._root / self._inputs.working_directory).is_dir():
            missing.append(f"working-directory: there is no folder `{self._inputs.working_directory}`")
        if missing:
            raise PackageError(f"Not in the repository (is it checked out?): {'; '.join(missing)}")

    def _zenml_environment(self, stack_id: str, project_id: str) -> dict[str, str]:
        """ZenML's own variables for the studio. The API key stays here wherever the server gives a token for it."""
        try:
            token = self._zenml.mint_token(_TOKEN_SECONDS)
            self._workflow.mask(token)
            access = {"ZENML_STORE_API_TOKEN": token}
        except ZenMLServerError as error:
            self._workflow.warning(
                f"The ZenML server gives no short-lived token ({error}), so the studio gets the API key itself.",
                title="Long-lived key in the studio",
            )
            access = {"ZENML_STORE_API_KEY": self._inputs.zenml_store_api_key}
        return {
            "ZENML_STORE_URL": self._inputs.zenml_store_url,
            "ZENML_ACTIVE_STACK_ID": stack_id,
            "ZENML_ACTIVE_PROJECT_ID": project_id,
            **access,
        }

    def _provenance(self) -> dict[str, str]:
        """What our orchestrator in the studio learns from the Action: its settings, and what started it."""
        event = self._event
        github = {
            "repository": event.repository,
            "sha": event.head_sha,
            "ref": event.ref,
            "branch": event.branch,
            "pull_request": event.pull_requests[0] if event.pull_requests else None,
            "workflow_run_url": event.run_url,
            "actor": event.actor,
            "origin": Origin.of(event, self._inputs).as_json(),
        }
        return {
            "LIGHTNING_ZENML_SETTINGS": json.dumps(dict(self._inputs.settings)),
            "LIGHTNING_ZENML_GITHUB": json.dumps(github),
        }
