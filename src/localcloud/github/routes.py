"""The operations of the REST interface that are stood in for, and the one GraphQL query."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.github.checks import Checks
from localcloud.github.deployments import Deployments
from localcloud.github.store import Store
from localcloud.github.wire import (
    DESCRIPTION_LIMIT,
    Operation,
    RefusedError,
    check_address,
    check_sha,
    comment_body,
    page,
    refuse_field,
    repository_of,
)
from localcloud.schemas.objects import Comment, Place, PullRequest, comparison, permission, reaction

_PULLS_OF_COMMIT = "/repos/{owner}/{repo}/commits/{commit_sha}/pulls"
_COMPARE = "/repos/{owner}/{repo}/compare/{basehead}"
_PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
_ACTIVITY = "/repos/{owner}/{repo}/activity"
_PERMISSION = "/repos/{owner}/{repo}/collaborators/{username}/permission"
_COMMENTS = "/repos/{owner}/{repo}/issues/{issue_number}/comments"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}"
_REACTIONS = "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"
_STATUSES = "/repos/{owner}/{repo}/statuses/{sha}"


class Routes:
    """Answers requests from what the store holds.

    Args:
        store: what GitHub knows.
        place: where it answers.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = place
        self.operations: dict[tuple[str, str], Operation] = {
            ("GET", _PULLS_OF_COMMIT): self._list_pull_requests,
            ("GET", _COMPARE): self._compare,
            ("GET", _PULL): self._get_pull_request,
            ("GET", _COMMENTS): self._list_comments,
            ("POST", _COMMENTS): self._create_comment,
            ("GET", _COMMENT): self._get_comment,
            ("PATCH", _COMMENT): self._update_comment,
            ("DELETE", _COMMENT): self._delete_comment,
            ("POST", _REACTIONS): self._create_reaction,
            ("GET", _ACTIVITY): self._list_activity,
            ("GET", _PERMISSION): self._get_permission,
            ("POST", _STATUSES): self._create_status,
            **Checks(store, place).operations,
            **Deployments(store, place).operations,
        }

    def graphql(self, request: Request, body: Any) -> Response:
        """Tells whom the token belongs to, and nothing else."""
        query = body.get("query", "") if isinstance(body, dict) else ""
        if re.sub(r"\s+", "", query).removeprefix("query") != "{viewer{login}}":
            return JSONResponse({"errors": [{"message": "Not stood in for", "type": "undefinedField"}]})
        return JSONResponse({"data": {"viewer": {"login": self._store.login}}})

    def _list_pull_requests(self, request: Request, _: Any) -> Response:
        repository, sha = self._repository(request), request.path_params["commit_sha"]
        check_sha(sha)
        found = [
            pull_request.json(self._place)
            for pull_request in self._store.pull_requests(repository)
            if sha in (*pull_request.commits, pull_request.merge_commit_sha)
        ]
        return page(self._place.server_url, request, found)

    def _compare(self, request: Request, _: Any) -> Response:
        repository, names = self._repository(request), request.path_params["basehead"].split("...")
        histories = [self._store.history(repository, name) for name in names]
        if len(histories) != 2 or None in histories:
            raise RefusedError(404, "Not Found")
        base, head = (history or () for history in histories)
        ahead, behind = len(set(head) - set(base)), len(set(base) - set(head))
        return JSONResponse(comparison(self._place, repository, ahead, behind))

    def _get_pull_request(self, request: Request, _: Any) -> Response:
        found = self._pull_request(request, "pull_number")
        return JSONResponse(found.json(self._place, "pull-request"))

    def _list_comments(self, request: Request, _: Any) -> Response:
        pull_request = self._pull_request(request, "issue_number")
        found = self._store.comments(pull_request.repository, pull_request.number)
        return page(self._place.server_url, request, [comment.json(self._place) for comment in found])

    def _create_comment(self, request: Request, body: Any) -> Response:
        pull_request = self._pull_request(request, "issue_number")
        comment = self._store.add_comment(pull_request.repository, pull_request.number, comment_body(body))
        payload = comment.json(self._place)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _get_comment(self, request: Request, _: Any) -> Response:
        return JSONResponse(self._comment(request).json(self._place))

    def _update_comment(self, request: Request, body: Any) -> Response:
        comment = self._comment(request)
        comment.history.append(comment_body(body))
        comment.updated = datetime.now(UTC)
        return JSONResponse(comment.json(self._place))

    def _delete_comment(self, request: Request, _: Any) -> Response:
        self._store.delete_comment(self._comment(request).id)
        return Response(status_code=204)

    def _create_reaction(self, request: Request, body: Any) -> Response:
        comment, given = self._comment(request), (self._store.login, body["content"])
        is_new = given not in comment.reactions
        if is_new:
            comment.reactions.append(given)
        return JSONResponse(reaction(self._place, comment, *given), 201 if is_new else 200)

    def _list_activity(self, request: Request, _: Any) -> Response:
        found = self._store.pushes(self._repository(request), request.query_params["ref"])
        return page(self._place.server_url, request, [push.json(self._place) for push in found])

    def _get_permission(self, request: Request, _: Any) -> Response:
        repository, login = self._repository(request), request.path_params["username"]
        return JSONResponse(permission(self._place, repository, login, self._store.role(repository, login)))

    def _create_status(self, request: Request, body: Any) -> Response:
        repository, sha = self._repository(request), request.path_params["sha"]
        check_sha(sha)
        description, target_url = body.get("description"), body.get("target_url")
        if len(description or "") > DESCRIPTION_LIMIT:
            refuse_field("Status", "description", f"is too long (maximum is {DESCRIPTION_LIMIT} characters)")
        check_address("Status", "target_url", target_url)
        status = self._store.add_status(
            repository,
            sha,
            state=body["state"],
            context=body.get("context", "default"),
            target_url=target_url,
            description=description,
        )
        payload = status.json(self._place)
        return JSONResponse(payload, 201, {"Location": payload["url"]})

    def _repository(self, request: Request) -> str:
        return repository_of(request, self._store)

    def _pull_request(self, request: Request, parameter: str) -> PullRequest:
        repository, number = self._repository(request), request.path_params[parameter]
        for pull_request in self._store.pull_requests(repository):
            if str(pull_request.number) == number:
                return pull_request
        raise RefusedError(404, "Not Found")

    def _comment(self, request: Request) -> Comment:
        number = request.path_params["comment_id"]
        comment = self._store.comment(int(number) if number.isdecimal() else 0)
        if comment is None or comment.repository != self._repository(request):
            raise RefusedError(404, "Not Found")
        return comment
