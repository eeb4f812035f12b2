"""The operations of the REST interface on git's own objects, as far as files on a branch need them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.github.git import Commit
from localcloud.github.store import Store
from localcloud.github.wire import Operation, RefusedError, page
from localcloud.schemas.git_objects import git_commit, git_reference, git_tree, short_blob
from localcloud.schemas.objects import Place

_GIT = "/repos/{owner}/{repo}/git"


class GitRoutes:
    """Answers requests from the objects that the store holds.

    Args:
        store: what GitHub knows.
        place: where it answers.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._objects = store.objects
        self._place = place
        self.operations: dict[tuple[str, str], Operation] = {
            ("POST", f"{_GIT}/blobs"): self._create_blob,
            ("POST", f"{_GIT}/trees"): self._create_tree,
            ("POST", f"{_GIT}/commits"): self._create_commit,
            ("GET", f"{_GIT}/commits/{{commit_sha}}"): self._get_commit,
            ("GET", f"{_GIT}/matching-refs/{{ref}}"): self._list_references,
            ("POST", f"{_GIT}/refs"): self._create_reference,
            ("PATCH", f"{_GIT}/refs/{{ref}}"): self._update_reference,
            ("DELETE", f"{_GIT}/refs/{{ref}}"): self._delete_reference,
        }

    def _create_blob(self, request: Request, body: Any) -> Response:
        repository, content = self._repository(request), body["content"]
        try:
            data = base64.b64decode(content, validate=True) if body.get("encoding") == "base64" else content.encode()
        except binascii.Error:
            raise RefusedError(422, "content is not valid Base64") from None
        return JSONResponse(short_blob(self._place, repository, self._objects.add_blob(data)), 201)

    def _create_tree(self, request: Request, body: Any) -> Response:
        repository, base = self._repository(request), body.get("base_tree")
        files = self._objects.tree(base) if base else {}
        if files is None:
            raise RefusedError(404, "Not Found")
        added = {entry["path"]: entry["sha"] for entry in body["tree"]}
        if not all(map(self._objects.has_blob, added.values())):
            raise RefusedError(422, "tree.sha is not a valid blob")
        tree = {**files, **added}
        return JSONResponse(git_tree(self._place, repository, self._objects.add_tree(tree), tree), 201)

    def _create_commit(self, request: Request, body: Any) -> Response:
        repository, parents = self._repository(request), body.get("parents", [])
        if self._objects.tree(body["tree"]) is None:
            raise RefusedError(422, "Tree SHA does not exist")
        if not all(map(self._objects.commit, parents)):
            raise RefusedError(422, "Parent SHA does not exist or is not a commit object")
        return self._answer(repository, self._objects.add_commit(body["tree"], parents, body["message"]), 201)

    def _get_commit(self, request: Request, _: Any) -> Response:
        repository, found = self._repository(request), self._objects.commit(request.path_params["commit_sha"])
        if found is None:
            raise RefusedError(404, "Not Found")
        return self._answer(repository, found, 200)

    def _list_references(self, request: Request, _: Any) -> Response:
        repository = self._repository(request)
        found = self._objects.references(repository, f"refs/{request.path_params['ref']}")
        items = [git_reference(self._place, repository, name, sha) for name, sha in found.items()]
        return page(self._place.server_url, request, items)

    def _create_reference(self, request: Request, body: Any) -> Response:
        repository, name, sha = self._repository(request), body["ref"], body["sha"]
        if not name.startswith("refs/") or name.count("/") < 2:
            raise RefusedError(422, f"Reference name must start with 'refs/' and have at least two slashes: {name}")
        if self._objects.commit(sha) is None:
            raise RefusedError(422, "Object does not exist")
        if name in self._objects.references(repository):
            raise RefusedError(422, "Reference already exists")
        self._objects.refer(repository, name, sha)
        return JSONResponse(git_reference(self._place, repository, name, sha), 201)

    def _update_reference(self, request: Request, body: Any) -> Response:
        repository, name, sha = self._repository(request), self._reference(request), body["sha"]
        if self._objects.commit(sha) is None:
            raise RefusedError(422, "Object does not exist")
        present = self._objects.references(repository)[name]
        if not body.get("force", False) and not self._objects.descends(sha, present):
            raise RefusedError(422, "Update is not a fast forward")
        self._objects.refer(repository, name, sha)
        return JSONResponse(git_reference(self._place, repository, name, sha))

    def _delete_reference(self, request: Request, _: Any) -> Response:
        self._objects.refer(self._repository(request), self._reference(request), None)
        return Response(status_code=204)

    def _reference(self, request: Request) -> str:
        name = f"refs/{request.path_params['ref']}"
        if name not in self._objects.references(self._repository(request)):
            raise RefusedError(422, "Reference does not exist")
        return name

    def _answer(self, repository: str, commit: Commit, status: int) -> Response:
        payload = git_commit(
            self._place, repository, commit.sha, commit.tree, commit.parents, commit.message, commit.date
        )
        return JSONResponse(payload, status)

    def _repository(self, request: Request) -> str:
        known = self._store.repository(f"{request.path_params['owner']}/{request.path_params['repo']}")
        if known is None:
            raise RefusedError(404, "Not Found")
        return known
