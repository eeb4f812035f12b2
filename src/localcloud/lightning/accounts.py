"""Who there is: one user, one organization, and a teamspace of each."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from typing import Any

from .machines import CLUSTERS
from .server import ApiError, Call, Route

_CREATED = "2024-01-01T00:00:00Z"


def _id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Teamspace:
    """A project: where studios live.

    Args:
        name: as users write it.
        owner_id: of the user or organization.
        owner_type: `user` or `organization`.
        id: the project's id.
    """

    name: str
    owner_id: str
    owner_type: str
    id: str = field(default_factory=_id)


class Accounts:
    """The user `ada` of the organization `acme`, with the teamspaces `acme/vision` and `ada/sandbox`."""

    def __init__(self) -> None:
        self.user_id = str(uuid.uuid4())
        self.username = "ada"
        self.api_key = str(uuid.uuid4())
        self.organization = "acme"
        self.organization_id = _id()
        self.standing: dict[str, Any] = {}
        """What memberships tell besides, as the platform may or may not: `roles`, `balance`, `quotas`."""
        self.teamspaces = (
            Teamspace("vision", self.organization_id, "organization"),
            Teamspace("sandbox", self.user_id, "user"),
        )

    def authorised(self, header: str) -> bool:
        """Whether an `Authorization` header is this user's: `Basic base64(user:key)` or `Bearer key`."""
        basic = base64.b64encode(f"{self.user_id}:{self.api_key}".encode()).decode()
        return header in (f"Basic {basic}", f"Bearer {self.api_key}")

    def teamspace(self, project_id: str) -> Teamspace:
        """The teamspace with this id.

        Raises:
            ApiError: 404.
        """
        for teamspace in self.teamspaces:
            if teamspace.id == project_id:
                return teamspace
        raise ApiError(5, f"project {project_id} not found")

    def owner_name(self, teamspace: Teamspace) -> str:
        """Name of the user or organization that owns a teamspace."""
        return self.organization if teamspace.owner_type == "organization" else self.username

    def routes(self) -> list[Route]:
        """Users, organizations, teamspaces and the templates of new studios."""
        return [
            Route("GET", "/v1/auth/user", self._user, answer="V1GetUserResponse"),
            Route("GET", "/v1/auth/whoami", self._whoami, answer="V1WhoamiResponse"),
            Route(
                "GET",
                "/v1/users/search",
                self._search_users,
                query=("pageToken", "pageSize", "query", "organizationId"),
                answer="V1SearchUsersResponse",
            ),
            Route("GET", "/v1/orgs", self._organizations, query=("roleName",), answer="V1ListOrganizationsResponse"),
            Route("GET", "/v1/orgs/", self._organization_by_name, query=("name",), answer="V1Organization"),
            Route("GET", "/v1/orgs/{id}", self._organization_by_id, query=("name",), answer="V1Organization"),
            Route(
                "GET",
                "/v1/memberships",
                self._memberships,
                query=("organizationId", "filterByUserId", "disableOrgMigrationCompat"),
                answer="V1ListMembershipsResponse",
            ),
            Route("GET", "/v1/projects/{id}", self._project, answer="V1Project"),
            Route(
                "GET",
                "/v1/cloudspaces/environment-templates/managed",
                self._templates,
                query=("orgId", "pageToken", "limit"),
                answer="V1ListCloudSpaceEnvironmentTemplatesResponse",
            ),
            Route(
                "GET",
                "/v1/cloudspaces/environment-templates",
                lambda call: {"templates": []},
                query=("orgId", "pageToken", "limit"),
                answer="V1ListCloudSpaceEnvironmentTemplatesResponse",
            ),
            Route(
                "POST",
                "/v1/sdk-command-history",
                lambda call: {},
                body="V1CreateSDKCommandHistoryRequest",
                answer="V1CreateSDKCommandHistoryResponse",
            ),
        ]

    def _user(self, call: Call) -> Any:
        return {"id": self.user_id, "username": self.username, "email": "ada@example.com"}

    def _whoami(self, call: Call) -> Any:
        return {"userId": self.user_id, "username": self.username, "authType": "AUTH_TYPE_USER"}

    def _search_users(self, call: Call) -> Any:
        found = call.query.get("query", "") in (self.user_id, self.username)
        return {"users": [{"id": self.user_id, "username": self.username}] if found else []}

    def _organizations(self, call: Call) -> Any:
        return {"organizations": [self._organization_view()]}

    def _organization_by_name(self, call: Call) -> Any:
        if call.query.get("name") != self.organization:
            raise ApiError(5, "organization not found")
        return self._organization_view()

    def _organization_by_id(self, call: Call) -> Any:
        if call.params["id"] != self.organization_id:
            raise ApiError(5, "organization not found")
        return self._organization_view()

    def _organization_view(self) -> dict[str, Any]:
        return {
            "id": self.organization_id,
            "name": self.organization,
            "displayName": self.organization,
            "createdAt": _CREATED,
            "preferredCluster": CLUSTERS[0].id,
        }

    def _memberships(self, call: Call) -> Any:
        wanted = call.query.get("organizationId")
        rows = [
            {
                "projectId": teamspace.id,
                "name": teamspace.name,
                "displayName": teamspace.name,
                "ownerId": teamspace.owner_id,
                "ownerType": teamspace.owner_type,
                "userId": self.user_id,
                "createdAt": _CREATED,
                **self.standing,
            }
            for teamspace in self.teamspaces
            if wanted in (None, teamspace.owner_id)
        ]
        return {"memberships": rows}

    def _project(self, call: Call) -> Any:
        teamspace = self.teamspace(call.params["id"])
        return {
            "id": teamspace.id,
            "name": teamspace.name,
            "displayName": teamspace.name,
            "ownerId": teamspace.owner_id,
            "ownerType": teamspace.owner_type,
            "createdAt": _CREATED,
            "layoutConfig": [{"slug": "studio", "isEnabled": True}, {"slug": "jobs", "isEnabled": True}],
            "projectSettings": {
                "preferredCluster": CLUSTERS[0].id,
                "startStudioOnSpotInstance": False,
                "sameComputeOnResume": False,
            },
        }

    def _templates(self, call: Call) -> Any:
        template = {
            "id": "standard",
            "name": "Standard",
            "managed": True,
            "managedId": "standard",
            "disabled": False,
            "createdAt": _CREATED,
            "config": {"defaultMachine": "cpu-4"},
        }
        return {"templates": [template]}
