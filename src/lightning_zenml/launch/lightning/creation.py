"""A studio made: one, whatever becomes of the answers."""

from __future__ import annotations

from typing import Any

from lightning_sdk.lightning_cloud.openapi import (
    CloudSpaceServiceCreateCloudSpaceBody,
    CloudSpaceServiceCreateLightningRunBody,
)

from lightning_zenml.launch.errors import StudioError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError, UnreachableError, retrying
from lightning_zenml.launch.lightning.records import StudioAnswer


def find(lightning: Lightning, name: str) -> StudioAnswer | None:
    """The studio of that name, or None."""
    listing = lightning.client.cloud_space_service_list_cloud_spaces
    found = lightning.ask(answers.studios, listing, project_id=lightning.teamspace_id, name=name)
    return next((studio for studio in found if studio.name == name), None)


def listed(lightning: Lightning) -> list[StudioAnswer]:
    """All studios of the teamspace, of all pages."""
    studios: list[StudioAnswer] = []
    following: str | None = None
    while following is None or following:
        wanted: dict[str, Any] = {"page_token": following} if following else {}
        listing = lightning.client.cloud_space_service_list_cloud_spaces
        page = lightning.ask(answers.studio_page, listing, project_id=lightning.teamspace_id, **wanted)
        studios += page.studios
        following = page.following
    return studios


def create(lightning: Lightning, name: str, *, cluster: str | None) -> tuple[StudioAnswer, bool]:
    """Creates a studio, from the account's first enabled template as the SDK does.

    Args:
        lightning: teamspace of the studio.
        name: name of the studio.
        cluster: id of its cloud account; None: the teamspace's default.

    Returns:
        The studio, and whether we have made it: somebody else may have been a moment faster.

    Raises:
        StudioError: when the platform refuses, or fails for a minute.
    """
    listing = lightning.client.cloud_space_environment_template_service_list_managed_cloud_space_environment_templates
    template = lightning.found(lambda: lightning.ask(answers.template, listing, org_id=lightning.organization_id))
    body = CloudSpaceServiceCreateCloudSpaceBody(
        cluster_id=cluster or lightning.default_cluster,
        name=name,
        display_name=name,
        seed_files=[],
        disable_secrets=False,
        sandbox=False,
        cloud_space_environment_template_id=template,
    )
    operation = lightning.client.cloud_space_service_create_cloud_space
    lost = False

    def send() -> tuple[StudioAnswer, bool]:
        nonlocal lost
        try:
            return lightning.ask(answers.studio, operation, body, lightning.teamspace_id, idempotent=False), True
        except (UnreachableError, ApiError) as error:
            is_taken = isinstance(error, ApiError) and error.status == 409
            if isinstance(error, ApiError) and error.is_refusal and not is_taken:
                raise StudioError(f"Can't create the studio '{name}': {error}") from None
            # The answer may be lost while the studio exists: it would be billed with nobody knowing of it.
            found = lightning.found(lambda: find(lightning, name))
            if found is not None:
                return found, lost or not is_taken
            lost = True
            raise

    try:
        return retrying(idempotent=True)(send)
    except (UnreachableError, ApiError) as error:
        raise StudioError(f"Can't create the studio '{name}': {error}") from None


def create_run(lightning: Lightning, studio: StudioAnswer) -> None:
    """Gives a new studio its first run, as the SDK does."""
    lightning.call(
        lightning.client.cloud_space_service_create_lightning_run,
        project_id=lightning.teamspace_id,
        cloudspace_id=studio.id,
        body=CloudSpaceServiceCreateLightningRunBody(cluster_id=studio.cluster, local_source=True),
    )
