"""A studio: find, create, start, switch, run, upload, stop, delete. Verbs only; the story is in provision.py."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lightning_sdk.api.studio_api import StudioApi
from lightning_sdk.lightning_cloud.openapi import (
    CloudSpaceServiceCreateCloudSpaceBody,
    CloudSpaceServiceCreateLightningRunBody,
    CloudSpaceServiceExecuteCommandInCloudSpaceBody,
    CloudSpaceServiceKeepAliveCloudSpaceInstanceBody,
    CloudSpaceServiceStartCloudSpaceInstanceBody,
    CloudSpaceServiceUpdateCloudSpaceInstanceConfigBody,
    V1UserRequestedComputeConfig,
)

from lightning_zenml.launch.errors import MachineError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.client import ApiError, Lightning, UnreachableError
from lightning_zenml.launch.lightning.machines import Machine

T = TypeVar("T")
_PHASE_PREFIX = "CLOUD_SPACE_INSTANCE_STATE_"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A machine under a studio, or one on its way.

    Args:
        id: tells one start from the next.
        phase: PENDING, IMAGE_BUILDING, RUNNING, STOPPING, STOPPED, FAILED or DELETED.
        machine: the API's name of the machine.
        interruptible: it is a spot machine.
        message: the platform's words about it.
        restored: the studio's files are there (before a switch is confirmed).
    """

    id: str
    phase: str
    machine: str
    interruptible: bool
    message: str
    restored: bool

    @property
    def ended(self) -> bool:
        """Whether this machine is gone for good."""
        return self.phase in ("STOPPED", "FAILED", "DELETED")


@dataclass(frozen=True, kw_only=True)
class State:
    """What a studio stands on now (`in_use`) and what was asked for (`requested`)."""

    in_use: Instance | None
    requested: Instance | None

    @property
    def running(self) -> bool:
        """Whether a machine is up. Running is not ready."""
        return self.in_use is not None and self.in_use.phase == "RUNNING"

    @property
    def stopped(self) -> bool:
        """Whether no machine is up, and none on its way."""
        return all(instance.ended for instance in self.instances)

    @property
    def stopping(self) -> bool:
        """Whether the machine is on its way out and no other on its way in."""
        return self.requested is None and self.in_use is not None and self.in_use.phase == "STOPPING"

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Those of the two that there are."""
        return tuple(instance for instance in (self.requested, self.in_use) if instance is not None)


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A finished command: exit code and output (stdout and stderr, text)."""

    exit_code: int
    output: str


class Studio:
    """A studio of the teamspace.

    Args:
        id: of the cloud space.
        name: as users know it.
        cluster: id of its cloud account, fixed at creation.
    """

    def __init__(self, lightning: Lightning, *, id: str, name: str, cluster: str) -> None:
        self._lightning = lightning
        self.id = id
        self.name = name
        self.cluster = cluster

    @property
    def url(self) -> str:
        """Where users look at the studio."""
        lightning = self._lightning
        return f"{lightning.url}/{lightning.owner}/{lightning.teamspace}/studios/{self.name}/code"

    @classmethod
    def find(cls, lightning: Lightning, name: str) -> Studio | None:
        """The studio of that name, or None."""
        found = lightning.call(
            lightning.client.cloud_space_service_list_cloud_spaces,
            project_id=lightning.teamspace_id,
            name=name,
        ).cloudspaces
        exact = [space for space in found or [] if space.name == name]
        return cls(lightning, id=exact[0].id, name=name, cluster=exact[0].cluster_id) if exact else None

    @classmethod
    def create(cls, lightning: Lightning, name: str, *, cluster: str | None) -> Studio:
        """Creates a studio, from the account's first enabled template as the SDK does.

        Raises:
            StudioError: the platform refuses.
        """
        body = CloudSpaceServiceCreateCloudSpaceBody(
            cluster_id=cluster or lightning.default_cluster,
            name=name,
            display_name=name,
            seed_files=[],
            disable_secrets=False,
            sandbox=False,
            cloud_space_environment_template_id=_template(lightning),
        )
        create = lightning.client.cloud_space_service_create_cloud_space
        try:
            space = lightning.call(create, body, lightning.teamspace_id, idempotent=False)
            studio = cls(lightning, id=space.id, name=space.name, cluster=space.cluster_id)
        except (UnreachableError, ApiError) as error:
            # The answer may be lost while the studio exists: it would be billed with nobody knowing of it.
            found = cls.find(lightning, name)
            if found is None:
                raise StudioError(f"Can't create the studio '{name}': {error}") from None
            if isinstance(error, ApiError) and error.status == 409:
                # Somebody else made it a moment before, and its first run too: not ours to delete.
                return found
            studio = found
        try:
            lightning.call(
                lightning.client.cloud_space_service_create_lightning_run,
                project_id=lightning.teamspace_id,
                cloudspace_id=studio.id,
                body=CloudSpaceServiceCreateLightningRunBody(cluster_id=studio.cluster, local_source=True),
            )
        except BaseException:
            studio.delete()
            raise
        return studio

    def state(self) -> State:
        """Asks the platform.

        Raises:
            StudioLostError: the studio is gone.
        """
        status = self._call(self._lightning.client.cloud_space_service_get_cloud_space_instance_status)
        return State(in_use=_instance(status.in_use), requested=_instance(status.requested))

    def start(self, machine: Machine, *, interruptible: bool = False) -> bool:
        """Asks for a machine; `state` tells when it is there.

        Returns:
            Whether it comes up for us, as far as one can tell; another client may have been faster.

        Raises:
            MachineError: Lightning refuses to start this machine.
        """
        body = CloudSpaceServiceStartCloudSpaceInstanceBody(
            compute_config=V1UserRequestedComputeConfig(name=machine.compute_name, spot=interruptible)
        )
        start = self._lightning.client.cloud_space_service_start_cloud_space_instance
        try:
            self._call(start, body=body, idempotent=False)
        except (UnreachableError, ApiError) as error:
            # A lost answer, or another client was faster: what counts is whether a machine is on its way.
            if not self.state().stopped:
                return isinstance(error, UnreachableError) or error.status >= 500 or error.status in (408, 429)
            try:
                self._call(start, body=body, idempotent=False)
            except ApiError as refusal:
                if refusal.status >= 500 or refusal.status in (401, 404, 408, 429):
                    raise
                # No capacity, no quota, or not on this plan: what the catalog tells is not all.
                raise MachineError(f"Lightning doesn't start {machine.name}: {refusal.message}") from refusal
        return True

    def request_switch(self, compute_name: str, *, interruptible: bool = False) -> None:
        """Asks for another machine under a running studio; `confirm_switch` follows once it is restored.

        Args:
            compute_name: what the API calls the machine.
            interruptible: a spot machine.

        Raises:
            ApiError: also when the platform switches all the same.
        """
        self._call(
            self._lightning.client.cloud_space_service_update_cloud_space_instance_config,
            body=CloudSpaceServiceUpdateCloudSpaceInstanceConfigBody(
                compute_config=V1UserRequestedComputeConfig(name=compute_name, spot=interruptible)
            ),
        )

    def confirm_switch(self) -> None:
        """Moves the studio to the machine that was asked for."""
        self._call(self._lightning.client.cloud_space_service_switch_cloud_space_instance)

    def run(self, command: str, *, timeout: float = 120) -> Completed:
        """Runs a bash command, which must be safe to run twice: it is sent again when an answer is lost.

        Args:
            command: bash; its output must be valid UTF-8.
            timeout: seconds for the whole call.

        Raises:
            StudioLostError: the studio does not run (any more).
            StudioError: no end within the timeout, or the platform refuses.
        """
        client = self._lightning.client
        try:
            session = self._call(
                client.cloud_space_service_execute_command_in_cloud_space,
                body=CloudSpaceServiceExecuteCommandInCloudSpaceBody(command, detached=True),
            ).session_name
            # Most commands here end within this time, so most need one poll.
            deadline, pause = time.monotonic() + timeout, 0.35
            time.sleep(pause)
            while (completed := self._poll(session)) is None:
                if time.monotonic() > deadline:
                    raise StudioError(f"A command on the studio '{self.name}' did not end within {timeout:.0f} s.")
                time.sleep(pause)
                pause = min(pause * 1.5, 2)
        except (ApiError, StudioLostError) as error:
            # A 404 may be about the session alone; a studio that is gone has no state either.
            state = self.state()
            if not state.running:
                raise StudioLostError(self._lost(state)) from None
            raise StudioError(f"The studio '{self.name}' refuses a command: {error}") from None
        return completed

    def keep_alive(self) -> None:
        """Counts as activity: a studio sleeps after ten idle minutes."""
        self._call(
            self._lightning.client.cloud_space_service_keep_alive_cloud_space_instance,
            body=CloudSpaceServiceKeepAliveCloudSpaceInstanceBody(),
        )

    def upload(self, source: Path, target: str) -> None:
        """Uploads a file.

        Args:
            source: local file.
            target: path relative to the studio's home.

        Raises:
            StudioError: the upload failed after the SDK's own retries.
        """
        try:
            with self._lightning.credentials.exported():
                api = StudioApi()
                # Its own client keeps the credentials and address of whoever used the SDK first in this process.
                api._client = self._lightning.client
                api.upload_file(
                    studio_id=self.id,
                    teamspace_id=self._lightning.teamspace_id,
                    cloud_account=self.cluster,
                    file_path=str(source),
                    remote_path=target,
                    progress_bar=False,
                )
        except (OSError, RuntimeError) as error:
            raise StudioError(f"Can't upload {target} to the studio '{self.name}': {error}") from None

    def stop(self) -> None:
        """Asks the platform to stop the machine. Harmless when it is stopped or gone."""
        with contextlib.suppress(StudioLostError):
            try:
                self._call(self._lightning.client.cloud_space_service_stop_cloud_space_instance)
            except ApiError as error:
                # Refused since there is nothing to stop: the end we want.
                if error.status >= 500 or not self.state().stopped:
                    raise

    def delete(self) -> None:
        """Deletes the studio, running or not. Harmless when it is gone."""
        with contextlib.suppress(StudioLostError):
            self._call(self._lightning.client.cloud_space_service_delete_cloud_space)

    def _call(self, operation: Callable[..., T], *, idempotent: bool = True, **kwargs: Any) -> T:
        try:
            result: T = self._lightning.call(
                operation,
                project_id=self._lightning.teamspace_id,
                id=self.id,
                idempotent=idempotent,
                **kwargs,
            )
        except ApiError as error:
            if error.status == 404:
                raise StudioLostError(f"The studio '{self.name}' is gone (404): it was deleted.") from None
            raise
        return result

    def _poll(self, session: str) -> Completed | None:
        """Reads a session's stream (NDJSON); None while the command runs."""
        stream = self._lightning.client.cloud_space_service_get_long_running_command_in_cloud_space_stream

        def read(**wanted: Any) -> bytes:
            # Within the call: a connection may be lost in the middle of the body, too.
            data: bytes = stream(_preload_content=False, **wanted).data
            return data

        text = self._call(read, session=session).decode(errors="replace")
        try:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise StudioError(
                f"Lightning's answer about a command on the studio '{self.name}' makes no sense."
            ) from None
        results = [line["result"] for line in lines if "result" in line]
        if len(results) < len(lines):
            raise StudioError(f"The studio '{self.name}' lost a command: {lines[-1].get('error', lines[-1])}")
        exit_codes = {int(result.get("exitCode", -1)) for result in results}
        if not exit_codes or -1 in exit_codes:
            return None
        return Completed(exit_code=max(exit_codes), output="".join(result.get("output", "") for result in results))

    def _lost(self, state: State) -> str:
        phase = state.in_use.phase.lower() if state.in_use else "stopped"
        message = state.in_use.message if state.in_use else ""
        return (
            f"The studio '{self.name}' is {phase}{f' ({message})' if message else ''}. It was stopped from outside, "
            "slept, was preempted or reached its plan's time limit. Look at it on Lightning AI and run again."
        )


def _template(lightning: Lightning) -> str | None:
    """The first enabled environment template; None where the organization disabled all."""
    client, organization = lightning.client, lightning.organization_id
    templates = lightning.call(
        client.cloud_space_environment_template_service_list_managed_cloud_space_environment_templates,
        org_id=organization,
    ).templates
    return next((template.id for template in templates or [] if not template.disabled), None)


def _instance(raw: Any) -> Instance | None:
    if raw is None or not raw.phase:
        return None
    return Instance(
        id=raw.cloud_space_instance_id or "",
        phase=raw.phase.removeprefix(_PHASE_PREFIX),
        machine=raw.compute_config.name if raw.compute_config else "",
        interruptible=bool(raw.compute_config and raw.compute_config.spot),
        message=raw.status_message or "",
        restored=bool(raw.startup_status and raw.startup_status.initial_restore_finished),
    )
