"""A studio: find, create, start, switch, run, upload, stop, delete. Verbs only; the story is in provision.py."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
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

from lightning_zenml.launch.agreement import Agreement
from lightning_zenml.launch.errors import MachineError, StudioAwayError, StudioError, StudioLostError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, OddAnswerError, UnreachableError
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import Completed, StudioAnswer, StudioState

T = TypeVar("T")


class Studio:
    """A studio of the teamspace.

    Args:
        lightning: teamspace of the studio.
        id: id of the studio (a cloud space, in the API's words).
        name: name of the studio, as users know it.
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
        return f"{self._lightning.page}/studios/{self.name}/code"

    @classmethod
    def find(cls, lightning: Lightning, name: str) -> Studio | None:
        """The studio of that name, or None."""
        listing = lightning.client.cloud_space_service_list_cloud_spaces
        found = lightning.ask(answers.studios, listing, project_id=lightning.teamspace_id, name=name)
        return next((cls._of(lightning, record) for record in found if record.name == name), None)

    @classmethod
    def create(cls, lightning: Lightning, name: str, *, cluster: str | None) -> Studio:
        """Creates a studio, from the account's first enabled template as the SDK does.

        Args:
            lightning: teamspace of the studio.
            name: name of the studio.
            cluster: id of its cloud account; None: the teamspace's default.

        Raises:
            StudioError: when the platform refuses.
        """
        body = CloudSpaceServiceCreateCloudSpaceBody(
            cluster_id=cluster or lightning.default_cluster,
            name=name,
            display_name=name,
            seed_files=[],
            disable_secrets=False,
            sandbox=False,
            cloud_space_environment_template_id=lightning.ask(
                answers.template,
                lightning.client.cloud_space_environment_template_service_list_managed_cloud_space_environment_templates,
                org_id=lightning.organization_id,
            ),
        )
        create = lightning.client.cloud_space_service_create_cloud_space
        try:
            made = lightning.ask(answers.studio, create, body, lightning.teamspace_id, idempotent=False)
            studio = cls._of(lightning, made)
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

    def state(self) -> StudioState:
        """Asks the platform.

        Raises:
            StudioLostError: when the studio is gone, as several looks have found.
        """
        gone = Agreement()
        for look in itertools.cycle((self._state, self._listed_state)):
            try:
                return look()
            except StudioAwayError as error:
                if gone.settles(True):
                    raise StudioLostError(str(error)) from None
            time.sleep(gone.pause)
        raise AssertionError("unreachable")

    def why_lost(self) -> str:
        """Looks for half a minute, at the studio and at the teamspace's list of studios in turn.

        Returns:
            Why the studio is lost, in words, once all looks agree that it does not run; '' as soon as one finds it
            running.

        Raises:
            LaunchError: when the platform does not tell.
        """
        lost = Agreement()
        for look in itertools.cycle((self._state, self._listed_state)):
            try:
                state = look()
                why = "" if state.running else self._not_running(state)
            except StudioAwayError as error:
                why = str(error)
            if not why or lost.settles(True):
                return why
            time.sleep(lost.pause)
        raise AssertionError("unreachable")

    def start(self, machine: Machine, *, interruptible: bool = False) -> bool:
        """Asks for a machine; `state` tells when it is there.

        Args:
            machine: kind of machine.
            interruptible: whether a spot machine will do.

        Returns:
            Whether it comes up for us, as far as one can tell; another client may have been faster.

        Raises:
            MachineError: when Lightning refuses to start this machine.
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
                return isinstance(error, UnreachableError) or not error.is_refusal
            try:
                self._call(start, body=body, idempotent=False)
            except ApiError as refusal:
                if not refusal.is_refusal or refusal.status in (401, 404):
                    raise
                # No capacity, no quota, or not on this plan: what the catalog tells is not all.
                raise MachineError(f"Lightning doesn't start {machine.name}: {refusal.message}") from refusal
        return True

    def request_switch(self, compute_name: str, *, interruptible: bool = False) -> None:
        """Asks for another machine under a running studio; `confirm_switch` follows once it is restored.

        Args:
            compute_name: the API's name of the machine.
            interruptible: whether a spot machine will do.

        Raises:
            ApiError: when the platform refuses, which it may do and switch all the same.
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
            command: bash command; its output must be valid UTF-8.
            timeout: seconds for the whole call.

        Raises:
            StudioAwayError: when the studio does not run (any more).
            StudioError: when the command does not end within the timeout, or the platform refuses it.
        """
        client = self._lightning.client
        try:
            session = self._ask(
                answers.session,
                client.cloud_space_service_execute_command_in_cloud_space,
                body=CloudSpaceServiceExecuteCommandInCloudSpaceBody(command, detached=True),
            )
            # Most commands here end within this time, so most need one poll.
            deadline, pause = time.monotonic() + timeout, 0.35
            time.sleep(pause)
            while (completed := self._poll(session)) is None:
                if time.monotonic() > deadline:
                    raise StudioError(f"A command on the studio '{self.name}' did not end within {timeout:.0f} s.")
                time.sleep(pause)
                pause = min(pause * 1.5, 2)
        except (ApiError, StudioAwayError) as error:
            # A 404 may be about the session alone; a studio that is gone has no state either.
            state = self._state()
            if not state.running:
                raise StudioAwayError(self._not_running(state)) from None
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
            source: path of the file on this machine.
            target: path on the studio, relative to its home.

        Raises:
            StudioError: when the upload fails for all the SDK's own retries.
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
        with contextlib.suppress(StudioAwayError):
            try:
                self._call(self._lightning.client.cloud_space_service_stop_cloud_space_instance)
            except ApiError as error:
                # Refused since there is nothing to stop: the end we want.
                if error.status >= 500 or not self.state().stopped:
                    raise

    def delete(self) -> None:
        """Deletes the studio, running or not. Harmless when it is gone."""
        with contextlib.suppress(StudioAwayError):
            self._call(self._lightning.client.cloud_space_service_delete_cloud_space)

    @classmethod
    def _of(cls, lightning: Lightning, record: StudioAnswer) -> Studio:
        return cls(lightning, id=record.id, name=record.name, cluster=record.cluster)

    def _call(self, operation: Callable[..., Any], **kwargs: Any) -> None:
        self._ask(answers.nothing, operation, **kwargs)

    def _ask(self, read: Callable[[Any], T], operation: Callable[..., Any], **kwargs: Any) -> T:
        try:
            return self._lightning.ask(read, operation, project_id=self._lightning.teamspace_id, id=self.id, **kwargs)
        except ApiError as error:
            if error.status == 404:
                raise StudioAwayError(self._gone()) from None
            raise

    def _poll(self, session: str) -> Completed | None:
        """How a command has ended; None while it runs."""
        stream = self._lightning.client.cloud_space_service_get_long_running_command_in_cloud_space_stream
        try:
            state = self._ask(answers.command_state, stream, session=session, _preload_content=False)
        except OddAnswerError:
            raise StudioError(
                f"Lightning's answer about a command on the studio '{self.name}' makes no sense."
            ) from None
        if state.lost:
            raise StudioError(f"The studio '{self.name}' lost a command: {state.lost}")
        return state.completed

    def _state(self) -> StudioState:
        """One look; a `StudioAwayError` when it finds no such studio."""
        return self._ask(
            answers.studio_state, self._lightning.client.cloud_space_service_get_cloud_space_instance_status
        )

    def _listed_state(self) -> StudioState:
        """The same by another question."""
        listing = self._lightning.client.cloud_space_service_list_cloud_spaces
        listed = self._lightning.ask(answers.studios, listing, project_id=self._lightning.teamspace_id, name=self.name)
        found = next((one for one in listed if one.id == self.id), None)
        if found is None:
            raise StudioAwayError(self._gone())
        return found.state or self._state()

    def _gone(self) -> str:
        return f"The studio '{self.name}' is gone (404): it was deleted."

    def _not_running(self, state: StudioState) -> str:
        phase = state.in_use.phase.lower() if state.in_use else "stopped"
        message = state.in_use.message if state.in_use else ""
        return (
            f"The studio '{self.name}' is {phase}{f' ({message})' if message else ''}. It was stopped from outside, "
            "slept, was preempted or reached its plan's time limit. Look at it on Lightning AI and run again."
        )
