"""A studio: find, create, start, switch, run, upload, stop, delete. Verbs only; the story is in provision.py."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lightning_sdk.lightning_cloud.openapi import (
    CloudSpaceServiceKeepAliveCloudSpaceInstanceBody,
    CloudSpaceServiceStartCloudSpaceInstanceBody,
    CloudSpaceServiceUpdateCloudSpaceInstanceConfigBody,
    CloudSpaceServiceUpdateCloudSpaceSleepConfigBody,
    V1UserRequestedComputeConfig,
)

from lightning_zenml.launch.agreement import Agreement
from lightning_zenml.launch.errors import (
    CommandLostError,
    CredentialsError,
    MachineError,
    StudioAwayError,
    StudioError,
    StudioLostError,
)
from lightning_zenml.launch.lightning import answers, commands, creation, ending
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, UnreachableError
from lightning_zenml.launch.lightning.files import FAILURES, upload
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import Completed, StudioAnswer, StudioState

T = TypeVar("T")

_PATIENCE = 60.0
"""Seconds for a machine to be on its way."""
_PAUSE = 1.0
"""Seconds between two requests for it."""
_SENDS = 3
"""How often a command is sent that gets lost on a studio that runs."""


class Studio:
    """A studio of the teamspace.

    Args:
        lightning: teamspace of the studio.
        id: id of the studio (a cloud space, in the API's words).
        name: name of the studio, as users know it.
        cluster: id of its cloud account, fixed at creation.
        stays_awake: whether Lightning's auto-sleep was off when the studio was found.

    Attributes:
        ended: when its end, since come, was asked for last, seconds since 1970; None: it wasn't.
    """

    def __init__(self, lightning: Lightning, *, id: str, name: str, cluster: str, stays_awake: bool = False) -> None:
        self._lightning = lightning
        self.id = id
        self.name = name
        self.cluster = cluster
        self.stays_awake = stays_awake
        self.ended: float | None = None

    @property
    def url(self) -> str:
        """Where users look at the studio."""
        return f"{self._lightning.page}/studios/{self.name}/code"

    @classmethod
    def find(cls, lightning: Lightning, name: str) -> Studio | None:
        """The studio of that name, or None."""
        found = creation.find(lightning, name)
        return None if found is None else cls.of(lightning, found)

    @classmethod
    def create(cls, lightning: Lightning, name: str, *, cluster: str | None) -> Studio:
        """Creates a studio, from the account's first enabled template as the SDK does.

        Args:
            lightning: teamspace of the studio.
            name: name of the studio.
            cluster: id of its cloud account; None: the teamspace's default.

        Raises:
            StudioError: when the platform refuses, or fails for a minute.
        """
        made, is_ours = creation.create(lightning, name, cluster=cluster)
        studio = cls.of(lightning, made)
        try:
            if is_ours:
                creation.create_run(lightning, made)
        except BaseException:
            # Found by its name, it may work for another launch already.
            if studio.state().stopped:
                studio.delete()
            raise
        return studio

    def let_sleep(self) -> None:
        """Turns Lightning's auto-sleep on: what stops a studio that everybody else has failed to stop."""
        self._call(
            self._lightning.client.cloud_space_service_update_cloud_space_sleep_config,
            body=CloudSpaceServiceUpdateCloudSpaceSleepConfigBody(disable_auto_shutdown=False),
        )

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
            MachineError: when Lightning refuses to start this machine, twice.
            LaunchError: when no machine is on its way for a minute, whatever Lightning answers.
        """
        body = CloudSpaceServiceStartCloudSpaceInstanceBody(
            compute_config=V1UserRequestedComputeConfig(name=machine.compute_name, spot=interruptible)
        )
        start = self._lightning.client.cloud_space_service_start_cloud_space_instance
        deadline, refused, lost = time.monotonic() + _PATIENCE, False, False
        while True:
            try:
                self._call(start, body=body, idempotent=False)
                return True
            except (UnreachableError, CredentialsError, StudioAwayError, ApiError) as error:
                refusal = error if isinstance(error, ApiError) and error.is_refusal else None
                lost = lost or refusal is None
                # A lost answer, or another client was faster: what counts is whether a machine is on its way.
                if not self.state().stopped:
                    return lost
                if refusal and refused:
                    # No capacity, no quota, or not on this plan: what the catalog tells is not all.
                    raise MachineError(f"Lightning doesn't start {machine.name}: {refusal.message}") from refusal
                if time.monotonic() > deadline:
                    raise
                refused = refusal is not None
            time.sleep(_PAUSE)

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

    def run(
        self, command: str, *, timeout: float = 120, looks: tuple[float, float] = commands.LOOKS, is_short: bool = False
    ) -> Completed:
        """Runs a bash command, which must be safe to run twice: it is sent again when it or an answer is lost.

        Args:
            command: bash command; its output must be valid UTF-8.
            timeout: seconds for the whole call.
            looks: seconds until the first look whether it has ended, and at most between two of them.
            is_short: whether it ends within seconds and has output: then a single call is tried first.

        Raises:
            StudioAwayError: when the studio does not run (any more).
            StudioError: when the command does not end within the timeout, or the platform refuses or loses it.
        """
        if is_short and self.single_calls.have_not_failed and (completed := commands.run_at_once(self, command)):
            self.single_calls.note_answer()
            return completed
        for _ in range(_SENDS - 1):
            with contextlib.suppress(CommandLostError):
                return self._run(command, timeout, looks)
        return self._run(command, timeout, looks)

    def _run(self, command: str, timeout: float, looks: tuple[float, float]) -> Completed:
        try:
            return commands.run(self, command, timeout=timeout, looks=looks)
        except (ApiError, StudioAwayError) as error:
            # A 404 may be about the session alone; a studio that is gone has no state either.
            state = self._state()
            if not state.running:
                raise StudioAwayError(self._not_running(state)) from None
            kind = CommandLostError if isinstance(error, StudioAwayError) else StudioError
            raise kind(f"The studio '{self.name}' refuses a command: {error}") from None

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
            StudioError: when the upload fails each time, or gets stuck.
        """
        try:
            upload(self._lightning, source, target, studio_id=self.id, cluster=self.cluster)
        except FAILURES as error:
            raise StudioError(f"Can't upload {target} to the studio '{self.name}': {error}") from None

    def stop(self) -> None:
        """Stops the machine, and looks until it is on its way out. Harmless when it is stopped or gone.

        Raises:
            LaunchError: when the platform refuses, or the machine runs on all the same.
        """
        stop = self._lightning.client.cloud_space_service_stop_cloud_space_instance
        self._end(lambda: self._call(stop), lambda state: state.ends)

    def delete(self) -> None:
        """Deletes the studio, running or not, and looks until it is gone. Harmless when it is.

        Raises:
            LaunchError: when the platform refuses, or the studio is there all the same.
        """
        delete = self._lightning.client.cloud_space_service_delete_cloud_space
        self._end(lambda: self._call(delete), lambda state: False)

    def _end(self, request: Callable[[], None], is_over: Callable[[StudioState], bool]) -> None:
        """Looks at the studio and in the list of studios, each once: it is the two of them that must agree."""
        self.ended = ending.end(
            request,
            [lambda: is_over(self._state(once=True)), lambda: is_over(self._listed_state())],
            gone=StudioAwayError,
            otherwise=lambda: StudioError(
                f"The studio '{self.name}' does not end, though Lightning was asked: {self.url}"
            ),
        )

    @classmethod
    def of(cls, lightning: Lightning, record: StudioAnswer) -> Studio:
        """A studio as it was listed."""
        return cls(lightning, id=record.id, name=record.name, cluster=record.cluster, stays_awake=record.stays_awake)

    def _call(self, operation: Callable[..., Any], **kwargs: Any) -> None:
        self.ask(answers.nothing, operation, **kwargs)

    @property
    def single_calls(self) -> commands.SingleCalls:
        """What is known of commands that are a single call."""
        return self._lightning.single_calls

    @property
    def client(self) -> Any:
        """The SDK's generated client."""
        return self._lightning.client

    def ask(self, read: Callable[[Any], T], operation: Callable[..., Any], **kwargs: Any) -> T:
        """Calls an operation on this studio; see `Lightning.ask`.

        Raises:
            StudioAwayError: when Lightning answers 404.
        """
        try:
            return self._lightning.ask(read, operation, project_id=self._lightning.teamspace_id, id=self.id, **kwargs)
        except ApiError as error:
            if error.status == 404:
                raise StudioAwayError(self._gone()) from None
            raise

    def _state(self, *, once: bool = False) -> StudioState:
        """One look; a `StudioAwayError` when it finds no such studio."""
        look = self._lightning.client.cloud_space_service_get_cloud_space_instance_status
        return self.ask(answers.studio_state, look, once=once)

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
