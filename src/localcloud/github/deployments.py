"""Deployments and their statuses: made by whoever has `deployments: write`.

Source: https://docs.github.com/rest/deployments/deployments and https://docs.github.com/rest/deployments/statuses.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.github.store import Store
from localcloud.github.wire import (
    DESCRIPTION_LIMIT,
    Operation,
    RefusedError,
    check_address,
    page,
    refuse_field,
    repository_of,
)
from localcloud.schemas.objects import Deployment, DeploymentStatus, Place

ENVIRONMENT_LIMIT = 255

_DEPLOYMENTS = "/repos/{owner}/{repo}/deployments"
_STATUSES = "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"


class Deployments:
    """Answers requests for deployments.

    Args:
        store: what GitHub knows.
        place: where it answers.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = place
        self.operations: dict[tuple[str, str], Operation] = {
            ("GET", _DEPLOYMENTS): self._list,
            ("POST", _DEPLOYMENTS): self._create,
            ("GET", _STATUSES): self._list_statuses,
            ("POST", _STATUSES): self._create_status,
        }

    def _list(self, request: Request, _: Any) -> Response:
        wanted = request.query_params
        found = [
            one
            for one in reversed(self._store.deployments(repository_of(request, self._store), wanted.get("environment")))
            if all(wanted.get(name, getattr(one, name)) == getattr(one, name) for name in ("sha", "ref", "task"))
        ]
        return page(self._place.server_url, request, [one.json(self._place) for one in found])

    def _create(self, request: Request, body: Any) -> Response:
        repository, environment = repository_of(request, self._store), body.get("environment", "production")
        sha = self._commit(repository, body["ref"])
        if not environment.strip() or len(environment) > ENVIRONMENT_LIMIT:
            refuse_field("Environment", "name", f"is too long (maximum is {ENVIRONMENT_LIMIT} characters)")
        if re.search(r"""['"`,;\\\x00-\x1f]""", environment):
            refuse_field("Environment", "name", "contains an invalid character")
        statuses = {one.context: one.state for one in self._store.statuses(repository, sha)}
        required = body.get("required_contexts", list(statuses))
        if any(statuses.get(context) != "success" for context in required):
            raise RefusedError(409, "Conflict: Commit status checks failed for the ref.")
        if body.get("auto_merge", True) and self._is_behind(repository, sha):
            return JSONResponse({"message": f"Auto-merged main into {body['ref']} on deployment."}, 202)
        deployment = self._store.add_deployment(
            repository,
            body["ref"],
            environment,
            sha=sha,
            task=body.get("task", "deploy"),
            payload=body.get("payload", ""),
            description=body.get("description", ""),
            is_transient=body.get("transient_environment", False),
            is_production=body.get("production_environment", environment == "production"),
        )
        payload = deployment.json(self._place)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _list_statuses(self, request: Request, _: Any) -> Response:
        deployment = self._deployment(request)
        found = [deployment.status_json(self._place, status) for status in reversed(deployment.statuses)]
        return page(self._place.server_url, request, found)

    def _create_status(self, request: Request, body: Any) -> Response:
        deployment = self._deployment(request)
        if len(body.get("description", "")) > DESCRIPTION_LIMIT:
            message = f"is too long (maximum is {DESCRIPTION_LIMIT} characters)"
            refuse_field("DeploymentStatus", "description", message)
        for name in ("environment_url", "log_url", "target_url"):
            check_address("DeploymentStatus", name, body.get(name))
        status = self._add_status(deployment, body)
        if body["state"] == "success" and body.get("auto_inactive", True):
            self._end_earlier(deployment)
        payload = deployment.status_json(self._place, status)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _end_earlier(self, deployment: Deployment) -> None:
        """Does what `auto_inactive` does, which leaves transient environments alone."""
        for other in self._store.deployments(deployment.repository, deployment.environment):
            is_ended = other.statuses and other.statuses[-1].state == "success"
            if other.id < deployment.id and is_ended and not (other.is_transient or other.is_production):
                self._add_status(other, {"state": "inactive"})

    def _add_status(self, deployment: Deployment, body: dict[str, Any]) -> DeploymentStatus:
        status = DeploymentStatus(
            id=len(deployment.statuses) + 1,
            state=body["state"],
            description=body.get("description", ""),
            environment_url=body.get("environment_url", ""),
            log_url=body.get("log_url") or body.get("target_url") or "",
            created=datetime.now(UTC),
        )
        deployment.statuses.append(status)
        return status

    def _commit(self, repository: str, ref: str) -> str:
        """The commit of a branch, or that of the hash."""
        history = self._store.history(repository, ref)
        if history:
            return history[-1]
        heads = {one.head_ref: one.head_sha for one in self._store.pull_requests(repository)}
        if ref in heads:
            return heads[ref]
        if not re.fullmatch(r"[0-9a-f]{40}", ref):
            raise RefusedError(422, f"No ref found for: {ref}")
        return ref

    def _is_behind(self, repository: str, sha: str) -> bool:
        main = self._store.history(repository, "main")
        return bool(main and main[-1] not in (self._store.history(repository, sha) or ()))

    def _deployment(self, request: Request) -> Deployment:
        repository, number = repository_of(request, self._store), request.path_params["deployment_id"]
        for deployment in self._store.deployments(repository):
            if str(deployment.id) == number:
                return deployment
        raise RefusedError(404, "Not Found")
