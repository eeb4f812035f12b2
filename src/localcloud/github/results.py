"""GitHub Actions' own service for the artifacts of a workflow run, and the blob store that it has them in.

Sources: what `packages/artifact` of https://github.com/actions/toolkit sends and reads (Twirp in JSON, version 7 of the
format), https://twitchtv.github.io/twirp/docs/errors.html and
https://learn.microsoft.com/rest/api/storageservices/put-blob. docs/assumptions.md says what is guessed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/{method}"
BLOBS = "/blobs/{number}"
_REFUSED_IN_NAMES = re.compile(r'["<>:|*?\r\n\\/]')
_STATUS = {
    "malformed": 400,
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "failed_precondition": 412,
    "resource_exhausted": 429,
}
"""HTTP status of an error, by Twirp's name of it."""
_IDS = {"workflow_run_backend_id": str, "workflow_job_run_backend_id": str}
_FIELDS: dict[str, dict[str, type]] = {
    "CreateArtifact": {**_IDS, "name": str, "version": int, "mime_type": str},
    "FinalizeArtifact": {**_IDS, "name": str, "size": str, "hash": str},
    "ListArtifacts": {**_IDS, "name_filter": str},
}
_OPTIONAL = frozenset({"mime_type", "hash", "name_filter"})


class _TwirpError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.response = JSONResponse({"code": code, "msg": message}, _STATUS[code])


@dataclass(kw_only=True)
class RunArtifact:
    """An artifact of a workflow run.

    Args:
        id: its id, in the address of its page.
        name: its name.
        content: what was uploaded; None: nothing was.
        is_final: whether it was finished, so that people see it.
    """

    id: int
    name: str
    content: bytes | None = None
    is_final: bool = False


class Results:
    """The artifacts of one workflow run, and who may add some.

    Args:
        origin: where it answers.

    Attributes:
        runtime_token: the token of the one job, to be used as `ACTIONS_RUNTIME_TOKEN`.
        is_full: whether the storage of the account's plan is used up.
        tells_ids_as_numbers: whether ids are told as numbers and fields in camel case, as JSON allows as well.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._run_id, self._job_id = (secrets.token_hex(16) for _ in range(2))
        self._signature = f"{secrets.token_urlsafe(24)}+/="
        self.runtime_token = _token(f"Actions.ExampleScope Actions.Results:{self._run_id}:{self._job_id}")
        self.is_full = False
        self.tells_ids_as_numbers = False
        self._artifacts: list[RunArtifact] = []
        self._methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "CreateArtifact": self._create,
            "FinalizeArtifact": self._finalize,
            "ListArtifacts": self._list,
        }

    @property
    def artifacts(self) -> list[RunArtifact]:
        """The finished ones, oldest first."""
        return [one for one in list(self._artifacts) if one.is_final]

    @property
    def signature(self) -> str:
        """The secret part of the addresses to which contents are uploaded."""
        return self._signature

    def call(self, request: Request, content: bytes) -> Response:
        """Answers a call of the service."""
        try:
            return JSONResponse(self._called(request, content))
        except _TwirpError as error:
            return error.response

    def put(self, request: Request, content: bytes) -> Response:
        """Puts a blob, all at once."""
        if request.query_params.get("sig") != self._signature or "authorization" in request.headers:
            return _blob_error(403, "AuthenticationFailed")
        if request.headers.get("x-ms-blob-type") != "BlockBlob":
            return _blob_error(400, "MissingRequiredHeader")
        if "content-length" not in request.headers:
            return _blob_error(411, "MissingContentLengthHeader")
        artifact = next((one for one in self._artifacts if str(one.id) == request.path_params["number"]), None)
        if artifact is None or artifact.is_final:
            return _blob_error(404, "ResourceNotFound")
        artifact.content = content
        return Response(status_code=201, headers={"ETag": f'"{len(content)}"'})

    def _called(self, request: Request, content: bytes) -> dict[str, Any]:
        method = request.path_params["method"]
        if method not in self._methods:
            raise _TwirpError("bad_route", f"no handler for path {request.url.path}")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise _TwirpError("bad_route", "unexpected Content-Type")
        if request.headers.get("authorization") != f"Bearer {self.runtime_token}":
            raise _TwirpError("unauthenticated", "invalid token")
        try:
            asked = json.loads(content)
        except ValueError:
            asked = None
        fields = _FIELDS[method]
        if not isinstance(asked, dict) or not set(asked) <= set(fields):
            raise _TwirpError("malformed", "the json request could not be decoded")
        for name, kind in fields.items():
            if not isinstance(asked.get(name), kind) and not (name in _OPTIONAL and name not in asked):
                raise _TwirpError("malformed", f"the json request could not be decoded: {name}")
        if (asked["workflow_run_backend_id"], asked["workflow_job_run_backend_id"]) != (self._run_id, self._job_id):
            raise _TwirpError("permission_denied", "the token is not of this workflow run")
        answer = self._methods[method](asked)
        return _as_json_has_it(answer) if self.tells_ids_as_numbers else answer

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["name"]
        if not name or _REFUSED_IN_NAMES.search(name):
            raise _TwirpError("invalid_argument", f"the artifact name is not valid: {name}")
        if asked["version"] not in (4, 7):
            raise _TwirpError("invalid_argument", f"unsupported version {asked['version']}")
        if self.is_full:
            raise _TwirpError("resource_exhausted", "insufficient usage to create artifact")
        if any(one.name == name for one in self._artifacts):
            raise _TwirpError("already_exists", "an artifact with this name already exists on the workflow run")
        artifact = RunArtifact(id=2_000_000_000 + len(self._artifacts), name=name)
        self._artifacts.append(artifact)
        signed = re.sub(r"[+/=]", lambda found: f"%{ord(found[0]):02X}", self._signature)
        return {"ok": True, "signed_upload_url": f"{self._origin}/blobs/{artifact.id}?sv=2025-07-05&sig={signed}"}

    def _finalize(self, asked: dict[str, Any]) -> dict[str, Any]:
        artifact = next((one for one in self._artifacts if one.name == asked["name"]), None)
        if artifact is None or artifact.is_final:
            raise _TwirpError("not_found", "there is no artifact of this name to be finalized")
        if artifact.content is None:
            raise _TwirpError("failed_precondition", "nothing was uploaded")
        if asked["size"] != str(len(artifact.content)):
            raise _TwirpError("invalid_argument", "the size is not the blob's")
        if "hash" in asked and asked["hash"] != f"sha256:{hashlib.sha256(artifact.content).hexdigest()}":
            raise _TwirpError("invalid_argument", "the hash is not the blob's")
        artifact.is_final = True
        return {"ok": True, "artifact_id": str(artifact.id)}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = [one for one in self.artifacts if asked.get("name_filter", one.name) == one.name]
        return {"artifacts": [{**_ids(asked), "database_id": str(one.id), "name": one.name} for one in found]}


def _ids(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: asked[name] for name in _IDS}


def _token(scopes: str) -> str:
    """A JSON Web Token."""
    header, claims = (
        {"alg": "RS256", "typ": "JWT"},
        {"scp": scopes, "iss": "https://token.actions.githubusercontent.com"},
    )
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), secrets.token_bytes(32)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _as_json_has_it(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            re.sub(r"_(\w)", lambda found: found[1].upper(), name): int(one)
            if name in ("artifact_id", "database_id")
            else _as_json_has_it(one)
            for name, one in value.items()
        }
    return [_as_json_has_it(one) for one in value] if isinstance(value, list) else value


def _blob_error(status: int, code: str) -> Response:
    content = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(content, status, {"x-ms-error-code": code}, "application/xml")
